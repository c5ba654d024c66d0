/* See cast.h. Blocks of values go through one small buffer of doubles or floats, so that each type needs one reader and one writer. */
#include "ckpt/cast.h"

#include "base/error.h"

enum { BLOCK = 1024 };

static void to_float(cs_dtype from, const uint8_t *src, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (from == CS_F32) {
            memcpy(out + i, src + i * 4, 4);
        } else if (from == CS_F64) {
            double d;
            memcpy(&d, src + i * 8, 8);
            out[i] = (float)d;
        } else {
            uint16_t h;
            memcpy(&h, src + i * 2, 2);
            out[i] = from == CS_BF16 ? cs_bf16_to_f32(h) : cs_f16_to_f32(h);
        }
    }
}

static void from_float(cs_dtype to, uint8_t *dst, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (to == CS_F32) {
            memcpy(dst + i * 4, in + i, 4);
        } else if (to == CS_F64) {
            double d = (double)in[i];
            memcpy(dst + i * 8, &d, 8);
        } else {
            uint16_t h = to == CS_BF16 ? cs_bf16_from_f32(in[i]) : cs_f16_from_f32(in[i]);
            memcpy(dst + i * 2, &h, 2);
        }
    }
}

void cs_cast(cs_dtype to, void *dst, cs_dtype from, const void *src, int64_t n)
{
    CS_ASSERT(cs_cast_can(to) && cs_cast_can(from));
    if (to == from) {
        memcpy(dst, src, (size_t)n * cs_dtype_size(to));
        return;
    }
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 256)
    for (int64_t b = 0; b < blocks; b++) {
        float buf[BLOCK];
        int64_t lo = b * BLOCK, count = n - lo < BLOCK ? n - lo : BLOCK;
        to_float(from, (const uint8_t *)src + (size_t)lo * cs_dtype_size(from), buf, count);
        from_float(to, (uint8_t *)dst + (size_t)lo * cs_dtype_size(to), buf, count);
    }
}
