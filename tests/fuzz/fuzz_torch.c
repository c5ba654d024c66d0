/* A checkpoint from any bytes, twice: as the whole file, and as the pickle of a well-formed file with four storages whose sizes are the first
 * four bytes. Either way: an error, or tensors whose elements can all be read and a list of them in order. */
// seeds: tests/data/torch/*.pt
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/torch_file.h"

#include <stdlib.h>
#include <string.h>

#include "zip_build.h"

static void check_file(const cs_torch_file *f, const uint8_t *data, size_t size)
{
    cs_torch_list list;
    cs_error err = {0};
    for (uint32_t i = 0; i < f->pickle.n_tensor; i++) {
        const cs_torch_tensor *t = &f->tensor[i];
        size_t bytes = (size_t)t->n * cs_dtype_size(t->dtype);
        FUZZ_CHECK(bytes <= size && t->data >= data && t->data <= data + size && t->storage < f->n_storages);
        uint8_t *out = malloc(bytes + 1);
        cs_torch_read(t, 0, t->n / 2, out);
        cs_torch_read(t, t->n / 2, t->n - t->n / 2, out);
        free(out);
    }
    if (cs_torch_list_init(&list, f, f->pickle.root, &err) == CS_OK) {
        for (size_t i = 0; i < list.n; i++)
            FUZZ_CHECK(cs_torch_list_find(&list, list.item[i].name) == list.item[i].tensor && strlen(list.item[i].name) <= CS_TORCH_MAX_NAME);
        cs_torch_list_release(&list);
    } else {
        FUZZ_CHECK(err.status == CS_E_FORMAT && err.msg[0]);
    }
}

static void open_file(const uint8_t *data, size_t size)
{
    cs_torch_file f;
    cs_error err = {0};
    int64_t held = cs_mem_bytes();
    if (cs_torch_file_init(&f, data, size, "f", &err) == CS_OK) {
        check_file(&f, data, size);
        cs_torch_check_all(&f, &err);
        cs_torch_file_release(&f);
    } else {
        FUZZ_CHECK(err.status == CS_E_FORMAT && strstr(err.msg, "byte"));
    }
    FUZZ_CHECK(cs_mem_bytes() == held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zeros[256];
    open_file(data, size);
    if (size < 4)
        return 0;
    zip_build z = {.b = calloc(1, size + 8192)};
    zip_add(&z, "f/data.pkl", data + 4, size - 4);
    for (int i = 0; i < 4; i++) {
        char name[] = "f/data/0";
        name[7] = (char)('0' + i);
        zip_add(&z, name, zeros, data[i]);
    }
    zip_add(&z, "f/version", "3\n", 2);
    zip_finish(&z);
    open_file(z.b, z.n);
    free(z.b);
    return 0;
}
