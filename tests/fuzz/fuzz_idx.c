/* .idx: first 2 bytes of the input give the size of the .bin, the rest is the index. An index that is accepted lets every token be read
 * inside the .bin, and its arrays agree with each other. */
// seeds: tests/data/megatron/*.idx tests/data/indexmap/*.idx
#include "fmt/idxbin.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *index, size_t size, const uint8_t *bin, size_t bin_size)
{
    cs_idx ix;
    cs_error err = {0};
    cs_status s = cs_idx_init(&ix, index, size, bin_size, "fuzz", &err);
    if (s != CS_OK) {
        if (s != CS_E_FORMAT || err.msg[0] == '\0')
            abort();
        return;
    }
    int64_t tokens = 0, documents = 0;
    for (int64_t i = 0; i < ix.n_seq; i++) {
        int64_t n = cs_idx_length(&ix, i);
        int32_t *out = malloc((size_t)n * 4 + 1);
        if (cs_idx_read(&ix, bin, i, 0, n, out, &err) != CS_OK && ix.dtype != CS_I64)
            abort();
        free(out);
        tokens += n;
    }
    for (int64_t d = 0; d + 1 < ix.n_doc; d++)
        documents += cs_idx_document(&ix, d + 1) - cs_idx_document(&ix, d);
    if (tokens != ix.n_tokens || documents != ix.n_seq)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t bin_size = data[0] | (size_t)data[1] << 8;
    uint8_t *bin = calloc(bin_size + 1, 1);
    check(data + 2, size - 2, bin, bin_size);
    check(data, size, bin, bin_size); /* whole files as seeds */
    free(bin);
    return 0;
}
