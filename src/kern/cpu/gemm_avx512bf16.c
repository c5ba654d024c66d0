/* AVX512_BF16 micro-kernel, 14 x 32: vdpbf16ps adds the two products of a pair to an f32 accumulator. */
#include "kern/cpu/gemm_pack.h"

#if defined(__AVX512BF16__)
#include "kern/cpu/gemm_avx512.h"

enum { MR = 14, NR = 32 };

CS_GEMM_INLINE void body(const int mr, const bool stream, int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int nr,
                         bool add)
{
    __m512 acc[MR][2];
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    for (int i = 0; i < mr; i++) { /* C is wanted only after the loop */
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
        _mm_prefetch((const char *)(c + i * ldc + 16), _MM_HINT_T0);
    }
    for (int64_t k = 0; k < words; k++, a += pw, b += NR) {
        if (stream) {
            _mm_prefetch((const char *)b + CS_GEMM_AHEAD, _MM_HINT_NTA);
            _mm_prefetch((const char *)b + CS_GEMM_AHEAD + 64, _MM_HINT_NTA);
        }
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 16);
        for (int i = 0; i < mr; i++) {
            __m512bh av = (__m512bh)_mm512_set1_epi32((int)a[i]);
            acc[i][0] = _mm512_dpbf16_ps(acc[i][0], av, b0);
            acc[i][1] = _mm512_dpbf16_ps(acc[i][1], av, b1);
        }
    }
    for (int i = 0; i < mr; i++)
        store_row_avx512(acc[i][0], acc[i][1], c + i * ldc, nr, add);
}

CS_GEMM_INLINE void by_height(const bool stream, int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr,
                              bool add)
{
    switch (mr) {
    case 1: body(1, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 2: body(2, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 3: body(3, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 4: body(4, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 5: body(5, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 6: body(6, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 7: body(7, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 8: body(8, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 9: body(9, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 10: body(10, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 11: body(11, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 12: body(12, stream, words, a, pw, b, c, ldc, nr, add); break;
    case 13: body(13, stream, words, a, pw, b, c, ldc, nr, add); break;
    default: body(14, stream, words, a, pw, b, c, ldc, nr, add); break;
    }
}

static void tile(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add)
{
    by_height(false, words, a, pw, b, c, ldc, mr, nr, add);
}

static void tile_stream(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add)
{
    by_height(true, words, a, pw, b, c, ldc, mr, nr, add);
}

static void pack_rows(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    pack_rows_pairs_avx512(k, n, src, ld, pw, dst);
}

static void pack_cols_a(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_pairs(k, n, src, ld, MR, dst);
}

static void pack_cols_b(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst)
{
    (void)pw;
    pack_cols_pairs(k, n, src, ld, NR, dst);
}

static void start(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc)
{
    start_tile(mr, nr, bias, y, ldy, y_dtype, beta, c, ldc, CS_BF16);
}

static void round_bf16(int mr, int nr, const float *c, int64_t ldc, cs_bf16 *y, int64_t ldy)
{
    round_tile(mr, nr, c, ldc, y, ldy);
}

static const cs_gemm_kind kind = {
    .store = CS_BF16, .a_pairs = true, .b_pairs = true, .mr = MR, .nr = NR, .kc = 1024, .mc = 168,
    .tile = tile, .tile_stream = tile_stream,
    .pack_a_rows = pack_rows, .pack_a_cols = pack_cols_a, .pack_b_rows = pack_rows, .pack_b_cols = pack_cols_b,
    .start = start, .round = round_bf16,
};

CS_GEMM_OPS(cs_gemm_bf16_dot, kind);
#endif
