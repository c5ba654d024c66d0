/* A llama2.c model from any bytes: an error, or parts that lie inside the file, whose first and last values are read. The bytes are copied to
 * memory of exactly their size, aligned as a mapped file is. */
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/llama2c.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_llama2c m;
    cs_error err = {0};
    float sum = 0;
    uint8_t *copy = cs_malloc(size + 1);
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    if (cs_llama2c_init(&m, copy, size, "f", &err) == CS_OK) {
        FUZZ_CHECK(cs_llama2c_detect(copy, size));
        for (int p = 0; p < CS_L2C_PART_COUNT; p++) {
            if (m.part[p].count == 0)
                continue;
            int64_t n = m.part[p].rows * m.part[p].cols;
            sum += cs_llama2c_tensor(&m, (cs_llama2c_part)p, 0)[0] + cs_llama2c_tensor(&m, (cs_llama2c_part)p, m.part[p].count - 1)[n - 1];
        }
        for (int64_t r = 0; r < m.dim && r < 4096; r++)
            FUZZ_CHECK(cs_llama2c_row(r, m.head_dim) >= 0 && cs_llama2c_row(r, m.head_dim) < m.dim);
    } else {
        FUZZ_CHECK(err.status == CS_E_FORMAT && err.msg[0]);
    }
    cs_free(copy);
    volatile float seen = sum; /* keeps the reads */
    (void)seen;
    return 0;
}
