/* Packing, start and rounding loops shared by the micro-kernel files. Everything is static inline so that each file compiles them for
 * its own instruction set; the panel width is a constant at each call, which lets the compiler vectorise the inner loops. */
#ifndef CS_KERN_CPU_GEMM_PACK_H
#define CS_KERN_CPU_GEMM_PACK_H

#include "kern/cpu/gemm.h"

#define CS_GEMM_INLINE static inline __attribute__((always_inline))

CS_GEMM_INLINE uint32_t load_word(const void *p)
{
    uint32_t u;
    memcpy(&u, p, 4);
    return u;
}

/* f32 rows of the source become rows of the panel. */
CS_GEMM_INLINE void pack_cols_f32(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const uint32_t *s = src;
    for (int64_t i = 0; i < k; i++, s += ld, dst += pw) {
        if (n == pw) {
            for (int j = 0; j < pw; j++)
                dst[j] = s[j];
        } else {
            for (int j = 0; j < pw; j++)
                dst[j] = j < n ? s[j] : 0;
        }
    }
}

/* Two rows of a 16-bit type interleave to one row of pairs. */
CS_GEMM_INLINE void pack_cols_pairs(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const cs_bf16 *s = src;
    int64_t i = 0;
    for (; i + 1 < k; i += 2, s += 2 * ld, dst += pw) {
        if (n == pw) {
            for (int j = 0; j < pw; j++)
                dst[j] = s[j] | (uint32_t)s[ld + j] << 16;
        } else {
            for (int j = 0; j < pw; j++)
                dst[j] = j < n ? s[j] | (uint32_t)s[ld + j] << 16 : 0;
        }
    }
    for (int j = 0; i < k && j < pw; j++)
        dst[j] = j < n ? s[j] : 0;
}

/* The f32 bits of a bf16 or f16. */
CS_GEMM_INLINE uint32_t widen_bits(cs_dtype store, uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    if (store == CS_F16) {
        float f = cs_f16_to_f32(h);
        memcpy(&u, &f, 4);
    }
    return u;
}

/* Rows of a 16-bit type become rows of f32, padded to an even number of them. */
CS_GEMM_INLINE void pack_cols_widen(cs_dtype store, int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const uint16_t *s = src;
    for (int64_t i = 0; i < k; i++, s += ld, dst += pw)
        for (int j = 0; j < pw; j++)
            dst[j] = j < n ? widen_bits(store, s[j]) : 0;
    for (int j = 0; (k & 1) && j < pw; j++)
        dst[j] = 0;
}

/* Pairs of bf16 to two rows of f32. */
CS_GEMM_INLINE void widen_panel(int64_t words, const uint32_t *src, uint32_t *dst, int pw)
{
    for (int64_t i = 0; i < words; i++, src += pw, dst += 2 * pw)
        for (int j = 0; j < pw; j++) {
            dst[j] = src[j] << 16;
            dst[pw + j] = src[j] & 0xffff0000u;
        }
}

CS_GEMM_INLINE float load_as_f32(cs_dtype type, const void *p, int64_t i)
{
    return type == CS_F32 ? ((const float *)p)[i] : type == CS_F16 ? cs_f16_to_f32(((const cs_f16 *)p)[i]) : cs_bf16_to_f32(((const cs_bf16 *)p)[i]);
}

CS_GEMM_INLINE void start_tile(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc,
                               cs_dtype store)
{
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) {
            float v = 0;
            if (bias)
                v = load_as_f32(store, bias, j);
            if (beta)
                v += load_as_f32(y_dtype, y, i * ldy + j);
            c[i * ldc + j] = v;
        }
}

CS_GEMM_INLINE void round_tile(int mr, int nr, const float *c, int64_t ldc, cs_bf16 *y, int64_t ldy)
{
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) {
            uint32_t u = load_word(c + i * ldc + j);
            uint32_t r = (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
            y[i * ldy + j] = (cs_bf16)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40 : r);
        }
}

CS_GEMM_INLINE void round_tile_f16(int mr, int nr, const float *c, int64_t ldc, cs_f16 *y, int64_t ldy)
{
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++)
            y[i * ldy + j] = cs_f16_from_f32(c[i * ldc + j]);
}

#endif
