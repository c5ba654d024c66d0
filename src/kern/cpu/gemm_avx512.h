/* What the two AVX-512 micro-kernel files share: the 16 x 16 transposition behind row packing, and storing a row of C. */
#ifndef CS_KERN_CPU_GEMM_AVX512_H
#define CS_KERN_CPU_GEMM_AVX512_H

#include "kern/cpu/gemm_pack.h"

#include <immintrin.h>

/* How far ahead of the reads a weight stream is prefetched, bytes. */
#define CS_GEMM_AHEAD 4096

CS_GEMM_INLINE void store_row_avx512(__m512 v0, __m512 v1, float *c, int nr, bool add)
{
    if (nr == 32) {
        if (add) {
            v0 = _mm512_add_ps(_mm512_loadu_ps(c), v0);
            v1 = _mm512_add_ps(_mm512_loadu_ps(c + 16), v1);
        }
        _mm512_storeu_ps(c, v0);
        _mm512_storeu_ps(c + 16, v1);
        return;
    }
    __mmask16 m0 = nr >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << nr) - 1);
    __mmask16 m1 = nr <= 16 ? (__mmask16)0 : (__mmask16)((1u << (nr - 16)) - 1);
    if (add) {
        v0 = _mm512_add_ps(_mm512_maskz_loadu_ps(m0, c), v0);
        v1 = _mm512_add_ps(_mm512_maskz_loadu_ps(m1, c + 16), v1);
    }
    _mm512_mask_storeu_ps(c, m0, v0);
    _mm512_mask_storeu_ps(c + 16, m1, v1);
}

/* r[i] lane j <-> r[j] lane i. */
CS_GEMM_INLINE void transpose_avx512(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Panel rows [0, words) of columns [i0, i0+16) from r, which holds one source row each. */
CS_GEMM_INLINE void store_block_avx512(__m512i r[16], int words, int i0, int pw, uint32_t *dst)
{
    int width = pw - i0 < 16 ? pw - i0 : 16;
    __mmask16 mask = width == 16 ? (__mmask16)0xffff : (__mmask16)((1u << width) - 1);
    transpose_avx512(r);
    for (int k = 0; k < 16; k++)
        if (k < words)
            _mm512_mask_storeu_epi32(dst + (int64_t)k * pw + i0, mask, r[k]);
}

/* Rows of 32-bit words, ld_bytes apart: word w of row i goes to dst[w*pw + i]. */
CS_GEMM_INLINE void pack_rows_words_avx512(int64_t words, int n, const void *src, int64_t ld_bytes, int pw, uint32_t *dst)
{
    for (int64_t w = 0; w < words; w += 16) {
        int valid = words - w < 16 ? (int)(words - w) : 16;
        __mmask16 mask = valid == 16 ? (__mmask16)0xffff : (__mmask16)((1u << valid) - 1);
        for (int i0 = 0; i0 < pw; i0 += 16) {
            __m512i r[16];
            for (int i = 0; i < 16; i++)
                r[i] = i0 + i < n ? _mm512_maskz_loadu_epi32(mask, (const char *)src + (i0 + i) * ld_bytes + w * 4) : _mm512_setzero_si512();
            store_block_avx512(r, valid, i0, pw, dst + w * pw);
        }
    }
}

/* Rows of a 16-bit type as pairs. */
CS_GEMM_INLINE void pack_rows_pairs_avx512(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const cs_bf16 *s = src;
    pack_rows_words_avx512(k / 2, n, src, ld * 2, pw, dst);
    for (int i = 0; (k & 1) && i < pw; i++)
        dst[k / 2 * pw + i] = i < n ? s[i * ld + k - 1] : 0;
}

/* 16 values of bf16 or f16 as f32 bits. */
CS_GEMM_INLINE __m512i widen_avx512(cs_dtype store, __m256i h)
{
    return store == CS_F16 ? _mm512_castps_si512(_mm512_cvtph_ps(h)) : _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
}

/* Rows of a 16-bit type widened to f32, padded to an even number of words. */
CS_GEMM_INLINE void pack_rows_widen_avx512(cs_dtype store, int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const uint16_t *s = src;
    for (int64_t w = 0; w < k; w += 16) {
        int valid = k - w < 16 ? (int)(k - w) : 16;
        __mmask16 mask = valid == 16 ? (__mmask16)0xffff : (__mmask16)((1u << valid) - 1);
        for (int i0 = 0; i0 < pw; i0 += 16) {
            __m512i r[16];
            for (int i = 0; i < 16; i++)
                r[i] = i0 + i < n ? widen_avx512(store, _mm256_maskz_loadu_epi16(mask, s + (i0 + i) * ld + w)) : _mm512_setzero_si512();
            store_block_avx512(r, valid, i0, pw, dst + w * pw);
        }
    }
    for (int i = 0; (k & 1) && i < pw; i++)
        dst[k * pw + i] = 0;
}

#endif
