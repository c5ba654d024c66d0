/* AVX-512 micro-kernels with f32 arithmetic, 14 x 32: 28 accumulators, two registers of B, one of A. */
#include "kern/cpu/gemm_pack.h"

#if defined(__AVX512F__)
#include "kern/cpu/gemm_avx512.h"

enum { MR = 14, NR = 32 };

typedef enum b_form { B_CACHED, B_STREAM, B_STREAM_PAIRS, B_STREAM_HALVES } b_form; /* PAIRS: of bf16; HALVES: pairs of f16 */

CS_GEMM_INLINE void body(const int mr, const b_form form, int64_t words, const float *a, int pw, const uint32_t *b, float *c, int64_t ldc, int nr,
                         bool add)
{
    __m512 acc[MR][2];
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    for (int i = 0; i < mr; i++) { /* C is wanted only after the loop */
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
        _mm_prefetch((const char *)(c + i * ldc + 16), _MM_HINT_T0);
    }
    if (form == B_STREAM_HALVES) {
        for (int64_t k = 0; k < words; k += 2, a += 2 * pw, b += NR) {
            _mm_prefetch((const char *)b + CS_GEMM_AHEAD, _MM_HINT_NTA);
            _mm_prefetch((const char *)b + CS_GEMM_AHEAD + 64, _MM_HINT_NTA);
            __m512i w0 = _mm512_loadu_si512(b), w1 = _mm512_loadu_si512(b + 16);
            __m512 e0 = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w0)), e1 = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w1));
            __m512 o0 = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(w0, 16)));
            __m512 o1 = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(w1, 16)));
            for (int i = 0; i < mr; i++) {
                __m512 ae = _mm512_set1_ps(a[i]), ao = _mm512_set1_ps(a[pw + i]);
                acc[i][0] = _mm512_fmadd_ps(ao, o0, _mm512_fmadd_ps(ae, e0, acc[i][0]));
                acc[i][1] = _mm512_fmadd_ps(ao, o1, _mm512_fmadd_ps(ae, e1, acc[i][1]));
            }
        }
    } else if (form == B_STREAM_PAIRS) {
        const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
        for (int64_t k = 0; k < words; k += 2, a += 2 * pw, b += NR) {
            _mm_prefetch((const char *)b + CS_GEMM_AHEAD, _MM_HINT_NTA);
            _mm_prefetch((const char *)b + CS_GEMM_AHEAD + 64, _MM_HINT_NTA);
            __m512i w0 = _mm512_loadu_si512(b), w1 = _mm512_loadu_si512(b + 16);
            __m512 e0 = _mm512_castsi512_ps(_mm512_slli_epi32(w0, 16)), e1 = _mm512_castsi512_ps(_mm512_slli_epi32(w1, 16));
            __m512 o0 = _mm512_castsi512_ps(_mm512_and_si512(w0, high)), o1 = _mm512_castsi512_ps(_mm512_and_si512(w1, high));
            for (int i = 0; i < mr; i++) {
                __m512 ae = _mm512_set1_ps(a[i]), ao = _mm512_set1_ps(a[pw + i]);
                acc[i][0] = _mm512_fmadd_ps(ao, o0, _mm512_fmadd_ps(ae, e0, acc[i][0]));
                acc[i][1] = _mm512_fmadd_ps(ao, o1, _mm512_fmadd_ps(ae, e1, acc[i][1]));
            }
        }
    } else {
        for (int64_t k = 0; k < words; k++, a += pw, b += NR) {
            if (form == B_STREAM) {
                _mm_prefetch((const char *)b + CS_GEMM_AHEAD, _MM_HINT_NTA);
                _mm_prefetch((const char *)b + CS_GEMM_AHEAD + 64, _MM_HINT_NTA);
            }
            __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
            for (int i = 0; i < mr; i++) {
                __m512 av = _mm512_set1_ps(a[i]);
                acc[i][0] = _mm512_fmadd_ps(av, b0, acc[i][0]);
                acc[i][1] = _mm512_fmadd_ps(av, b1, acc[i][1]);
            }
        }
    }
    for (int i = 0; i < mr; i++)
        store_row_avx512(acc[i][0], acc[i][1], c + i * ldc, nr, add);
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
    case 6: body(6, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 7: body(7, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 8: body(8, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 9: body(9, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 10: body(10, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 11: body(11, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 12: body(12, form, words, fa, pw, b, c, ldc, nr, add); break;
    case 13: body(13, form, words, fa, pw, b, c, ldc, nr, add); break;
    default: body(14, form, words, fa, pw, b, c, ldc, nr, add); break;
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

static void pack_rows(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_words_avx512(k, n, src, ld * 4, pw, dst);
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

static void pack_rows_widen(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_widen_avx512(CS_BF16, k, n, src, ld, pw, dst);
}

static void pack_cols_a_widen(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_widen(CS_BF16, k, n, src, ld, MR, dst);
}

static void pack_rows_halves(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_widen_avx512(CS_F16, k, n, src, ld, pw, dst);
}

static void pack_cols_a_halves(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_widen(CS_F16, k, n, src, ld, MR, dst);
}

static void pack_rows_b_pairs(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_pairs_avx512(k, n, src, ld, pw, dst);
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
        for (int j = 0; j < NR; j += 16) {
            __m512i w = _mm512_loadu_si512(src + j);
            _mm512_storeu_ps(dst + j, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w)));
            _mm512_storeu_ps(dst + NR + j, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(w, 16))));
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

static const cs_gemm_kind kind_f32 = {
    .store = CS_F32, .mr = MR, .nr = NR, .kc = 768, .mc = 168,
    .tile = tile, .tile_stream = tile_stream,
    .pack_a_rows = pack_rows, .pack_a_cols = pack_cols_a, .pack_b_rows = pack_rows, .pack_b_cols = pack_cols_b,
    .start = start_f32, .round = round_bf16,
};

static const cs_gemm_kind kind_bf16 = {
    .store = CS_BF16, .b_pairs = true, .mr = MR, .nr = NR, .kc = 768, .mc = 168,
    .tile = tile, .tile_stream = tile_stream_pairs,
    .pack_a_rows = pack_rows_widen, .pack_a_cols = pack_cols_a_widen, .pack_b_rows = pack_rows_b_pairs, .pack_b_cols = pack_cols_b_pairs,
    .widen = widen, .start = start_bf16, .round = round_bf16,
};

static const cs_gemm_kind kind_f16 = {
    .store = CS_F16, .b_pairs = true, .mr = MR, .nr = NR, .kc = 768, .mc = 168,
    .tile = tile, .tile_stream = tile_stream_halves,
    .pack_a_rows = pack_rows_halves, .pack_a_cols = pack_cols_a_halves, .pack_b_rows = pack_rows_b_pairs, .pack_b_cols = pack_cols_b_pairs,
    .widen = widen_halves, .start = start_f16, .round = round_f16,
};

CS_GEMM_OPS(cs_gemm_f32_avx512, kind_f32);
CS_GEMM_OPS(cs_gemm_bf16_avx512, kind_bf16);
CS_GEMM_OPS(cs_gemm_f16_avx512, kind_f16);
#endif
