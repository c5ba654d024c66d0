/* .idx: first 2 bytes of the input give the size of the .bin, the rest is the index. An index that is accepted lets every token be read
 * inside the .bin, its arrays agree with each other, and written anew from what was read it has the same bytes. */
// seeds: tests/data/megatron/*.idx tests/data/indexmap/*.idx $CS_SHARED_DATA/megatron/*/*.idx
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/idxbin.h"

static void put(uint8_t **at, const void *value, size_t n)
{
    memcpy(*at, value, n);
    *at += n;
}

/* The bytes of an index by the layout in idxbin.h. */
static void same_when_written(const cs_idx *ix, const uint8_t *index, size_t size)
{
    static const uint8_t code[] = {[CS_U8] = 1, [CS_I8] = 2, [CS_I16] = 3, [CS_I32] = 4, [CS_I64] = 5, [CS_U16] = 8};
    uint8_t *file = cs_malloc(size), *at = file;
    uint64_t version = 1;
    FUZZ_CHECK(file);
    put(&at, "MMIDIDX\0", 9);
    put(&at, &version, 8);
    put(&at, &code[ix->dtype], 1);
    put(&at, &ix->n_seq, 8);
    put(&at, &ix->n_doc, 8);
    for (int64_t i = 0; i < ix->n_seq; i++) {
        int32_t n = cs_idx_length(ix, i);
        put(&at, &n, 4);
    }
    for (int64_t i = 0; i < ix->n_seq; i++) {
        int64_t offset = cs_idx_offset(ix, i);
        put(&at, &offset, 8);
    }
    for (int64_t d = 0; d < ix->n_doc; d++) {
        int64_t border = cs_idx_document(ix, d);
        put(&at, &border, 8);
    }
    if (ix->modes)
        put(&at, ix->modes, (size_t)ix->n_seq);
    FUZZ_CHECK((size_t)(at - file) == size && memcmp(file, index, size) == 0);
    cs_free(file);
}

static void check(const uint8_t *index, size_t size, const uint8_t *bin, size_t bin_size)
{
    cs_idx ix;
    cs_error err = {0};
    cs_status s = cs_idx_init(&ix, index, size, bin_size, "f", &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return;
    }
    int64_t tokens = 0, documents = 0;
    int32_t *out = cs_malloc(bin_size * 4 + 4);
    FUZZ_CHECK(out);
    for (int64_t i = 0; i < ix.n_seq; i++) {
        int64_t n = cs_idx_length(&ix, i);
        if (i < 64 || i + 1 == ix.n_seq) /* sequences may overlap: all of all would be quadratic */
            FUZZ_CHECK(cs_idx_read(&ix, bin, i, 0, n, out, &err) == CS_OK || ix.dtype == CS_I64);
        tokens += n;
    }
    cs_free(out);
    for (int64_t d = 0; d + 1 < ix.n_doc; d++)
        documents += cs_idx_document(&ix, d + 1) - cs_idx_document(&ix, d);
    FUZZ_CHECK(tokens == ix.n_tokens && documents == ix.n_seq);
    same_when_written(&ix, index, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t bin_size = data[0] | (size_t)data[1] << 8;
    uint8_t *bin = cs_calloc(bin_size + 1, 1);
    FUZZ_CHECK(bin);
    for (size_t i = 0; i < bin_size; i++)
        bin[i] = (uint8_t)(i * 7);
    check(data + 2, size - 2, bin, bin_size);
    check(data, size, bin, bin_size); /* whole files as seeds */
    cs_free(bin);
    return 0;
}
