/* AVX2 + FMA micro-kernels with f32 arithmetic, 6 x 16: 12 accumulators, two registers of B, one of A. */
#include "kern/cpu/gemm_pack.h"

#if defined(__AVX2__)
#include <immintrin.h>

enum { MR = 6, NR = 16, AHEAD = 4096 };

typedef enum b_form { B_CACHED, B_STREAM, B_STREAM_PAIRS, B_STREAM_HALVES } b_form; /* PAIRS: of bf16; HALVES: pairs of f16 */

/* Lanes [0, n) set, n <= 8. */
static __m256i lane_mask(int n)
{
    static const int32_t table[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(table + 8 - n));
}

CS_GEMM_INLINE void store_row(__m256 v0, __m256 v1, float *c, int nr, bool add)
{
    if (nr == NR) {
        if (add) {
            v0 = _mm256_add_ps(_mm256_loadu_ps(c), v0);
            v1 = _mm256_add_ps(_mm256_loadu_ps(c + 8), v1);
        }
        _mm256_storeu_ps(c, v0);
        _mm256_storeu_ps(c + 8, v1);
        return;
    }
    __m256i m0 = lane_mask(nr < 8 ? nr : 8), m1 = lane_mask(nr < 8 ? 0 : nr - 8);
    if (add) {
        v0 = _mm256_add_ps(_mm256_maskload_ps(c, m0), v0);
        v1 = _mm256_add_ps(_mm256_maskload_ps(c + 8, m1), v1);
    }
    _mm256_maskstore_ps(c, m0, v0);
    _mm256_maskstore_ps(c + 8, m1, v1);
}

CS_GEMM_INLINE void add_products(const int mr, __m256 acc[MR][2], const float *a, __m256 b0, __m256 b1)
{
    for (int i = 0; i < mr; i++) {
        __m256 av = _mm256_set1_ps(a[i]);
        acc[i][0] = _mm256_fmadd_ps(av, b0, acc[i][0]);
        acc[i][1] = _mm256_fmadd_ps(av, b1, acc[i][1]);
    }
}

/* The low halves of 8 words as f16. */
CS_GEMM_INLINE __m256 half_to_f32(__m256i w)
{
    w = _mm256_and_si256(w, _mm256_set1_epi32(0xffff));
    return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}

CS_GEMM_INLINE void body(const int mr, const b_form form, int64_t words, const float *a, int pw, const uint32_t *b, float *c, int64_t ldc, int nr,
                         bool add)
{
    __m256 acc[MR][2];
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < words; k += form >= B_STREAM_PAIRS ? 2 : 1, b += NR) {
        if (form != B_CACHED)
            _mm_prefetch((const char *)b + AHEAD, _MM_HINT_NTA);
        if (form == B_STREAM_PAIRS) {
            __m256i w0 = _mm256_loadu_si256((const __m256i *)b), w1 = _mm256_loadu_si256((const __m256i *)(b + 8));
            add_products(mr, acc, a, _mm256_castsi256_ps(_mm256_slli_epi32(w0, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(w1, 16)));
            add_products(mr, acc, a + pw, _mm256_castsi256_ps(_mm256_and_si256(w0, high)), _mm256_castsi256_ps(_mm256_and_si256(w1, high)));
            a += 2 * pw;
        } else if (form == B_STREAM_HALVES) {
            __m256i w0 = _mm256_loadu_si256((const __m256i *)b), w1 = _mm256_loadu_si256((const __m256i *)(b + 8));
            add_products(mr, acc, a, half_to_f32(w0), half_to_f32(w1));
            add_products(mr, acc, a + pw, half_to_f32(_mm256_srli_epi32(w0, 16)), half_to_f32(_mm256_srli_epi32(w1, 16)));
            a += 2 * pw;
        } else {
            add_products(mr, acc, a, _mm256_loadu_ps((const float *)b), _mm256_loadu_ps((const float *)b + 8));
            a += pw;
        }
    }
    for (int i = 0; i < mr; i++)
        store_row(acc[i][0], acc[i][1], c + i * ldc, nr, add);
}

CS_GEMM_INLINE void by_height(const b_form form, int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr,
                              bool add)
{
    const float *fa = (const float *)a;
    switch (mr) {
    case 1: body(1, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 2: body(2, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 3: body(3, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 4: body(4, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 5: body(5, form, words, fa, pw, b, c, ldc, nr, add); break;
    default: body(6, form, words, fa, pw, b, c, ldc, nr, add); break;
    }
}

static void tile(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add)
{
    by_height(B_CACHED, words, a, pw, b, c, ldc, mr, nr, add);
}

static void tile_stream(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add)
{
    by_height(B_STREAM, words, a, pw, b, c, ldc, mr, nr, add);
}

static void tile_stream_pairs(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add)
{
    by_height(B_STREAM_PAIRS, words, a, pw, b, c, ldc, mr, nr, add);
}

static void tile_stream_halves(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add)
{
    by_height(B_STREAM_HALVES, words, a, pw, b, c, ldc, mr, nr, add);
}

/* r[i] lane j <-> r[j] lane i. */
CS_GEMM_INLINE void transpose(__m256i r[8])
{
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}

/* Panel rows [0, words) of columns [i0, i0+8) from r, which holds one source row each. */
CS_GEMM_INLINE void store_block(__m256i r[8], int words, int i0, int pw, uint32_t *dst)
{
    __m256i mask = lane_mask(pw - i0 < 8 ? pw - i0 : 8);
    transpose(r);
    for (int k = 0; k < 8; k++)
        if (k < words)
            _mm256_maskstore_epi32((int *)dst + (int64_t)k * pw + i0, mask, r[k]);
}

CS_GEMM_INLINE void pack_words(int64_t words, int n, const void *src, int64_t ld_bytes, int pw, uint32_t *dst)
{
    for (int64_t w = 0; w < words; w += 8) {
        int valid = words - w < 8 ? (int)(words - w) : 8;
        __m256i mask = lane_mask(valid);
        for (int i0 = 0; i0 < pw; i0 += 8) {
            __m256i r[8];
            for (int i = 0; i < 8; i++)
                r[i] = i0 + i < n ? _mm256_maskload_epi32((const int *)((const char *)src + (i0 + i) * ld_bytes + w * 4), mask)
                                  : _mm256_setzero_si256();
            store_block(r, valid, i0, pw, dst + w * pw);
        }
    }
}

static void pack_rows(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_words(k, n, src, ld * 4, pw, dst);
}

static void pack_rows_pairs(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const cs_bf16 *s = src;
    pack_words(k / 2, n, src, ld * 2, pw, dst);
    for (int i = 0; (k & 1) && i < pw; i++)
        dst[k / 2 * pw + i] = i < n ? s[i * ld + k - 1] : 0;
}

/* 8 values of bf16 or f16 as f32 bits. */
CS_GEMM_INLINE __m256i widen_eight(cs_dtype store, const uint16_t *p)
{
    __m128i h = _mm_loadu_si128((const __m128i *)p);
    return store == CS_F16 ? _mm256_castps_si256(_mm256_cvtph_ps(h)) : _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
}

/* Rows of a 16-bit type widened to f32, padded to an even number of words. */
CS_GEMM_INLINE void pack_rows_wide(cs_dtype store, int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    const uint16_t *s = src;
    int64_t w = 0;
    for (; w + 8 <= k; w += 8)
        for (int i0 = 0; i0 < pw; i0 += 8) {
            __m256i r[8];
            for (int i = 0; i < 8; i++)
                r[i] = i0 + i < n ? widen_eight(store, s + (i0 + i) * ld + w) : _mm256_setzero_si256();
            store_block(r, 8, i0, pw, dst + w * pw);
        }
    for (; w < k + (k & 1); w++)
        for (int i = 0; i < pw; i++)
            dst[w * pw + i] = i < n && w < k ? widen_bits(store, s[i * ld + w]) : 0;
}

static void pack_rows_widen(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_wide(CS_BF16, k, n, src, ld, pw, dst);
}

static void pack_rows_halves(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_wide(CS_F16, k, n, src, ld, pw, dst);
}

static void pack_cols_a(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_f32(k, n, src, ld, MR, dst);
}

static void pack_cols_b(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_f32(k, n, src, ld, NR, dst);
}

static void pack_cols_a_widen(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_widen(CS_BF16, k, n, src, ld, MR, dst);
}

static void pack_cols_a_halves(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_widen(CS_F16, k, n, src, ld, MR, dst);
}

static void pack_cols_b_pairs(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_pairs(k, n, src, ld, NR, dst);
}

static void widen(int64_t words, const uint32_t *src, uint32_t *dst)
{
    widen_panel(words, src, dst, NR);
}

/* Pairs of f16 to two rows of f32. */
static void widen_halves(int64_t words, const uint32_t *src, uint32_t *dst)
{
    for (int64_t i = 0; i < words; i++, src += NR, dst += 2 * NR)
        for (int j = 0; j < NR; j += 8) {
            __m256i w = _mm256_loadu_si256((const __m256i *)(src + j));
            _mm256_storeu_ps((float *)dst + j, half_to_f32(w));
            _mm256_storeu_ps((float *)dst + NR + j, half_to_f32(_mm256_srli_epi32(w, 16)));
        }
}

static void start_f32(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc)
{
    start_tile(mr, nr, bias, y, ldy, y_dtype, beta, c, ldc, CS_F32);
}

static void start_bf16(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc)
{
    start_tile(mr, nr, bias, y, ldy, y_dtype, beta, c, ldc, CS_BF16);
}

static void round_bf16(int mr, int nr, const float *c, int64_t ldc, cs_bf16 *y, int64_t ldy)
{
    round_tile(mr, nr, c, ldc, y, ldy);
}

static void start_f16(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc)
{
    start_tile(mr, nr, bias, y, ldy, y_dtype, beta, c, ldc, CS_F16);
}

static void round_f16(int mr, int nr, const float *c, int64_t ldc, cs_f16 *y, int64_t ldy)
{
    round_tile_f16(mr, nr, c, ldc, y, ldy);
}

/* Blocks for a 256 KiB second-level cache. */
static const cs_gemm_kind kind_f32 = {
    .store = CS_F32, .mr = MR, .nr = NR, .kc = 256, .mc = 120,
    .tile = tile, .tile_stream = tile_stream,
    .pack_a_rows = pack_rows, .pack_a_cols = pack_cols_a, .pack_b_rows = pack_rows, .pack_b_cols = pack_cols_b,
    .start = start_f32, .round = round_bf16,
};

static const cs_gemm_kind kind_bf16 = {
    .store = CS_BF16, .b_pairs = true, .mr = MR, .nr = NR, .kc = 256, .mc = 120,
    .tile = tile, .tile_stream = tile_stream_pairs,
    .pack_a_rows = pack_rows_widen, .pack_a_cols = pack_cols_a_widen, .pack_b_rows = pack_rows_pairs, .pack_b_cols = pack_cols_b_pairs,
    .widen = widen, .start = start_bf16, .round = round_bf16,
};

static const cs_gemm_kind kind_f16 = {
    .store = CS_F16, .b_pairs = true, .mr = MR, .nr = NR, .kc = 256, .mc = 120,
    .tile = tile, .tile_stream = tile_stream_halves,
    .pack_a_rows = pack_rows_halves, .pack_a_cols = pack_cols_a_halves, .pack_b_rows = pack_rows_pairs, .pack_b_cols = pack_cols_b_pairs,
    .widen = widen_halves, .start = start_f16, .round = round_f16,
};

CS_GEMM_OPS(cs_gemm_f32_avx2, kind_f32);
CS_GEMM_OPS(cs_gemm_bf16_avx2, kind_bf16);
CS_GEMM_OPS(cs_gemm_f16_avx2, kind_f16);
#endif
