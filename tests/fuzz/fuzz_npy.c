/* .npy: an array that is accepted has all its bytes, and its header written anew parses to the same array. */
// seeds: tests/data/indexmap/*.npy tests/data/megatron/*.npy
#include "fmt/npy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_npy a, b;
    cs_error err = {0};
    cs_status s = cs_npy_parse(&a, data, size, "fuzz", &err);
    if (s != CS_OK) {
        if (s != CS_E_FORMAT || err.msg[0] == '\0')
            abort();
        return 0;
    }
    size_t bytes = (size_t)(data + size - a.data);
    if (bytes != (size_t)a.shape[0] * (size_t)a.shape[1] * cs_dtype_size(a.dtype))
        abort();
    uint8_t *again = malloc(CS_NPY_HEAD_MAX + bytes);
    size_t head = cs_npy_header((char *)again, a.dtype, a.ndim, a.shape);
    memcpy(again + head, a.data, bytes);
    if (cs_npy_parse(&b, again, head + bytes, "fuzz", &err) != CS_OK || b.dtype != a.dtype || b.ndim != a.ndim || b.shape[0] != a.shape[0]
        || b.shape[1] != a.shape[1])
        abort();
    free(again);
    return 0;
}
