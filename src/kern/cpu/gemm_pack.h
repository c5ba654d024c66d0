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

/* Two bf16 rows of the source interleave to one row of pairs. */
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

/* bf16 rows become rows of f32, padded to an even number of them. */
CS_GEMM_INLINE void pack_cols_widen(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const cs_bf16 *s = src;
    for (int64_t i = 0; i < k; i++, s += ld, dst += pw)
        for (int j = 0; j < pw; j++)
            dst[j] = j < n ? (uint32_t)s[j] << 16 : 0;
    for (int j = 0; (k & 1) && j < pw; j++)
        dst[j] = 0;
}

/* Pairs to two rows of f32. */
CS_GEMM_INLINE void widen_panel(int64_t words, const uint32_t *src, uint32_t *dst, int pw)
{
    for (int64_t i = 0; i < words; i++, src += pw, dst += 2 * pw)
        for (int j = 0; j < pw; j++) {
            dst[j] = src[j] << 16;
            dst[pw + j] = src[j] & 0xffff0000u;
        }
}

CS_GEMM_INLINE void start_tile(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc,
                               cs_dtype store)
{
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) {
            float v = 0;
            if (bias)
                v = store == CS_F32 ? ((const float *)bias)[j] : cs_bf16_to_f32(((const cs_bf16 *)bias)[j]);
            if (beta)
                v += y_dtype == CS_F32 ? ((const float *)y)[i * ldy + j] : cs_bf16_to_f32(((const cs_bf16 *)y)[i * ldy + j]);
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

#endif
