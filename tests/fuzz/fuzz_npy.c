/* .npy: an array that is accepted has all its bytes, and its header written anew parses to the same array. */
// seeds: tests/data/indexmap/*.npy tests/data/megatron/*.npy
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/npy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_npy a, b;
    cs_error err = {0};
    cs_status s = cs_npy_parse(&a, data, size, "f", &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return 0;
    }
    size_t bytes = (size_t)(data + size - a.data);
    FUZZ_CHECK(bytes == (size_t)a.shape[0] * (size_t)a.shape[1] * cs_dtype_size(a.dtype));
    uint8_t *again = cs_malloc(CS_NPY_HEAD_MAX + bytes);
    FUZZ_CHECK(again);
    size_t head = cs_npy_header((char *)again, a.dtype, a.ndim, a.shape);
    FUZZ_CHECK(head <= CS_NPY_HEAD_MAX && head % 64 == 0);
    memcpy(again + head, a.data, bytes);
    FUZZ_CHECK(cs_npy_parse(&b, again, head + bytes, "again", &err) == CS_OK);
    FUZZ_CHECK(b.dtype == a.dtype && b.ndim == a.ndim && b.shape[0] == a.shape[0] && b.shape[1] == a.shape[1]);
    cs_free(again);
    return 0;
}
