/* Vectors of W floats for the files compiled with -mavx2 or -mavx512*: the few operations the kernels are written in.
 * Arithmetic uses the operators of the compiler's vector types. `m` in *_part is the number of elements left; only the first min(m, W) are touched.
 * Never included by a file that is compiled without those flags. */
#ifndef CS_KERN_CPU_SIMD_H
#define CS_KERN_CPU_SIMD_H

#include <immintrin.h>

#include "base/dtype.h"

#if defined(__AVX512F__)

enum { W = 16 };
typedef __m512 vf;

static inline __mmask16 first_lanes(int64_t n)
{
    return (__mmask16)(n >= W ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u);
}

static inline vf vset1(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf vload(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline vf vload_part(const float *p, int64_t m)
{
    return m >= W ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first_lanes(m), p);
}

static inline void vstore(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}

static inline void vstore_part(float *p, vf x, int64_t m)
{
    if (m >= W)
        _mm512_storeu_ps(p, x);
    else
        _mm512_mask_storeu_ps(p, first_lanes(m), x);
}

static inline vf vload_bf16_part(const cs_bf16 *p, int64_t m)
{
    __m256i h = m >= W ? _mm256_loadu_si256((const __m256i *)(const void *)p) : _mm256_maskz_loadu_epi16(first_lanes(m), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* Round to nearest even, NaN stays a quiet NaN, as cs_bf16_from_f32. */
static inline void vstore_bf16_part(cs_bf16 *p, vf x, int64_t m)
{
    __m512i u = _mm512_castps_si512(x), high = _mm512_srli_epi32(u, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i r = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), high, _mm512_set1_epi32(0x40));
    if (m >= W)
        _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(r));
    else
        _mm256_mask_storeu_epi16(p, first_lanes(m), _mm512_cvtepi32_epi16(r));
}

static inline vf vload_f16_part(const cs_f16 *p, int64_t m)
{
    return _mm512_cvtph_ps(m >= W ? _mm256_loadu_si256((const __m256i *)(const void *)p) : _mm256_maskz_loadu_epi16(first_lanes(m), p));
}

/* Round to nearest even; too large becomes infinity. */
static inline void vstore_f16_part(cs_f16 *p, vf x, int64_t m)
{
    __m256i h = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (m >= W)
        _mm256_storeu_si256((__m256i *)(void *)p, h);
    else
        _mm256_mask_storeu_epi16(p, first_lanes(m), h);
}

static inline vf vfma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* The second operand when either is NaN. */
static inline vf vmax(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf vmin(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vf vsqrt(vf x)
{
    return _mm512_sqrt_ps(x);
}

static inline vf vround(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n for integral n. */
static inline vf vscale2(vf x, vf n)
{
    return _mm512_scalef_ps(x, n);
}

static inline float vsum(vf x)
{
    return _mm512_reduce_add_ps(x);
}

static inline float vmax_lane(vf x)
{
    return _mm512_reduce_max_ps(x);
}

/* Sum of squares in f64. */
static inline double vsumsq(const float *p, int64_t n)
{
    __m512d s0 = _mm512_setzero_pd(), s1 = s0;
    for (int64_t i = 0; i < n; i += W) {
        vf x = vload_part(p + i, n - i);
        __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
        s0 = _mm512_fmadd_pd(a, a, s0);
        s1 = _mm512_fmadd_pd(b, b, s1);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(s0, s1));
}

/* Lanes [0, n) become `value`. */
static inline vf vfill_first(vf x, int64_t n, float value)
{
    return _mm512_mask_mov_ps(x, first_lanes(n), _mm512_set1_ps(value));
}

/* Lanes [n, W) become `value`. */
static inline vf vfill_from(vf x, int64_t n, float value)
{
    return _mm512_mask_mov_ps(_mm512_set1_ps(value), first_lanes(n), x);
}

#else

enum { W = 8 };
typedef __m256 vf;

static inline __m256i first_lanes(int64_t n)
{
    static const int32_t table[2 * W] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    n = n < 0 ? 0 : n > W ? W : n;
    return _mm256_loadu_si256((const __m256i *)(const void *)(table + W - n));
}

static inline vf vset1(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf vload(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline vf vload_part(const float *p, int64_t m)
{
    return m >= W ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(m));
}

static inline void vstore(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}

static inline void vstore_part(float *p, vf x, int64_t m)
{
    if (m >= W)
        _mm256_storeu_ps(p, x);
    else
        _mm256_maskstore_ps(p, first_lanes(m), x);
}

static inline vf vload_bf16_part(const cs_bf16 *p, int64_t m)
{
    __m128i h = _mm_setzero_si128();
    if (m >= W)
        h = _mm_loadu_si128((const __m128i *)(const void *)p);
    else
        memcpy(&h, p, (size_t)m * sizeof *p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* Round to nearest even, NaN stays a quiet NaN, as cs_bf16_from_f32. */
static inline void vstore_bf16_part(cs_bf16 *p, vf x, int64_t m)
{
    __m256i u = _mm256_castps_si256(x), high = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i r = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    r = _mm256_blendv_epi8(r, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
    __m128i h = _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
    if (m >= W)
        _mm_storeu_si128((__m128i *)(void *)p, h);
    else
        memcpy(p, &h, (size_t)m * sizeof *p);
}

static inline vf vload_f16_part(const cs_f16 *p, int64_t m)
{
    __m128i h = _mm_setzero_si128();
    if (m >= W)
        h = _mm_loadu_si128((const __m128i *)(const void *)p);
    else
        memcpy(&h, p, (size_t)m * sizeof *p);
    return _mm256_cvtph_ps(h);
}

/* Round to nearest even; too large becomes infinity. */
static inline void vstore_f16_part(cs_f16 *p, vf x, int64_t m)
{
    __m128i h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
    if (m >= W)
        _mm_storeu_si128((__m128i *)(void *)p, h);
    else
        memcpy(p, &h, (size_t)m * sizeof *p);
}

static inline vf vfma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* The second operand when either is NaN. */
static inline vf vmax(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

static inline vf vmin(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

static inline vf vsqrt(vf x)
{
    return _mm256_sqrt_ps(x);
}

static inline vf vround(vf x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n for integral |n| <= 252, in two steps so that results below the normal range and overflow come out right. */
static inline vf vscale2(vf x, vf n)
{
    __m256i e = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(e, 1), bias = _mm256_set1_epi32(127);
    __m256i rest = _mm256_sub_epi32(e, half);
    vf a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vf b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return x * a * b;
}

static inline float vsum(vf x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float vmax_lane(vf x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Sum of squares in f64. */
static inline double vsumsq(const float *p, int64_t n)
{
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    for (int64_t i = 0; i < n; i += W) {
        vf x = vload_part(p + i, n - i);
        __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), b = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
        s0 = _mm256_fmadd_pd(a, a, s0);
        s1 = _mm256_fmadd_pd(b, b, s1);
    }
    double lane[4];
    _mm256_storeu_pd(lane, _mm256_add_pd(s0, s1));
    return lane[0] + lane[1] + (lane[2] + lane[3]);
}

/* Lanes [0, n) become `value`. */
static inline vf vfill_first(vf x, int64_t n, float value)
{
    return _mm256_blendv_ps(x, _mm256_set1_ps(value), _mm256_castsi256_ps(first_lanes(n)));
}

/* Lanes [n, W) become `value`. */
static inline vf vfill_from(vf x, int64_t n, float value)
{
    return _mm256_blendv_ps(_mm256_set1_ps(value), x, _mm256_castsi256_ps(first_lanes(n)));
}

#endif

/* e^x with at most 2 ulp of error: x = n ln2 + r, |r| <= ln2/2, polynomial of degree 6 for e^r (coefficients of the Cephes expf).
 * Gives 0 below -105 (so for -inf), inf above 89, NaN for NaN. */
static inline vf vexp(vf x)
{
    x = vmax(vset1(-105.0f), vmin(vset1(89.0f), x));
    vf n = vround(x * vset1(1.44269504088896341f));
    vf r = vfma(n, vset1(-0.693359375f), x);
    r = vfma(n, vset1(2.12194440e-4f), r);
    vf p = vset1(1.9875691500e-4f);
    p = vfma(p, r, vset1(1.3981999507e-3f));
    p = vfma(p, r, vset1(8.3334519073e-3f));
    p = vfma(p, r, vset1(4.1665795894e-2f));
    p = vfma(p, r, vset1(1.6666665459e-1f));
    p = vfma(p, r, vset1(5.0000001201e-1f));
    p = vfma(p, r * r, r + vset1(1.0f));
    return vscale2(p, n);
}

static inline vf vzero(void)
{
    return vset1(0.0f);
}

/* 0, 1, 2, ... by lane. */
static inline vf viota(void)
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vload(lanes);
}

#endif
