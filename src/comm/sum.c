/* Ordered sums, one cache-sized block at a time: every input is read once and every output written once.
 * The order of additions depends on nothing but the order of the inputs; that is what makes all back ends agree in every bit. */
#include "comm/sum.h"

#include "base/error.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* STREAM_BYTES: what is larger has left the caches before somebody reads it; below it streaming costs two to three times the time. */
enum { BLOCK_BYTES = 8192, STREAM_BYTES = 8 << 20 };

/* Added in f32. */
static bool is_half(cs_dtype t)
{
    return t == CS_BF16 || t == CS_F16;
}

/* Elements whose accumulators fill one block. */
static int64_t block_elements(cs_dtype t)
{
    return BLOCK_BYTES / (is_half(t) ? 4 : (int64_t)cs_dtype_size(t));
}

static void add_f64(double *restrict acc, const double *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static void add_f32(float *restrict acc, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static void add_bf16(float *restrict acc, const cs_bf16 *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += cs_bf16_to_f32(x[i]);
}

static void add_f16(float *restrict acc, const cs_f16 *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += cs_f16_to_f32(x[i]);
}

static void add_u64(uint64_t *restrict acc, const uint64_t *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static void add_u32(uint32_t *restrict acc, const uint32_t *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static void add_u8(uint8_t *restrict acc, const uint8_t *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] = (uint8_t)(acc[i] + x[i]);
}

static void add_block(void *acc, const void *x, int64_t n, cs_dtype t)
{
    switch (t) {
    case CS_F64: add_f64(acc, x, n); break;
    case CS_F32: add_f32(acc, x, n); break;
    case CS_BF16: add_bf16(acc, x, n); break;
    case CS_F16: add_f16(acc, x, n); break;
    case CS_I64: add_u64(acc, x, n); break;
    case CS_I32: add_u32(acc, x, n); break;
    case CS_U8: add_u8(acc, x, n); break;
    default: CS_ASSERT(!"element type of a sum"); break;
    }
}

static void first_block(void *acc, const void *x, int64_t n, cs_dtype t)
{
    if (!is_half(t)) {
        memcpy(acc, x, (size_t)n * cs_dtype_size(t));
        return;
    }
    float *a = acc;
    const uint16_t *b = x;
    for (int64_t i = 0; i < n; i++)
        a[i] = t == CS_F16 ? cs_f16_to_f32(b[i]) : cs_bf16_to_f32(b[i]);
}

/* Without the fence that makes streamed data visible. */
static void copy_stream(void *dst, const void *src, size_t bytes)
{
    size_t done = 0;
#ifdef __SSE2__
    if (((uintptr_t)dst & 15) == 0) {
        for (; done + 64 <= bytes; done += 64) {
            const __m128i *s = (const __m128i *)((const char *)src + done);
            __m128i *d = (__m128i *)((char *)dst + done);
            __m128i a = _mm_loadu_si128(s), b = _mm_loadu_si128(s + 1), c = _mm_loadu_si128(s + 2), e = _mm_loadu_si128(s + 3);
            _mm_stream_si128(d, a);
            _mm_stream_si128(d + 1, b);
            _mm_stream_si128(d + 2, c);
            _mm_stream_si128(d + 3, e);
        }
    }
#endif
    memcpy((char *)dst + done, (const char *)src + done, bytes - done);
}

static void stream_fence(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

void cs_copy_shared(void *dst, const void *src, size_t bytes, size_t whole)
{
    if (whole < STREAM_BYTES) {
        memcpy(dst, src, bytes);
        return;
    }
    copy_stream(dst, src, bytes);
    stream_fence();
}

static bool among(const void *p, const void *const *in, int n_in)
{
    for (int r = 0; r < n_in; r++)
        if (in[r] == p)
            return true;
    return false;
}

void cs_sum_ordered(void *const *out, int n_out, const void *const *in, int n_in, int64_t n, cs_dtype t, size_t whole)
{
    bool stream = whole >= STREAM_BYTES;
    _Alignas(64) char acc[BLOCK_BYTES];
    size_t width = cs_dtype_size(t);
    int64_t step = block_elements(t);
    for (int64_t at = 0; at < n; at += step) {
        int64_t len = n - at < step ? n - at : step;
        size_t offset = (size_t)at * width;
        first_block(acc, (const char *)in[0] + offset, len, t);
        for (int r = 1; r < n_in; r++)
            add_block(acc, (const char *)in[r] + offset, len, t);
        if (is_half(t)) {
            for (int64_t i = 0; i < len; i++) { /* in place: element i is narrower and never behind what is still to be read */
                float f;
                memcpy(&f, acc + 4 * i, 4);
                uint16_t b = t == CS_F16 ? cs_f16_from_f32(f) : cs_bf16_from_f32(f);
                memcpy(acc + 2 * i, &b, 2);
            }
        }
        for (int k = 0; k < n_out; k++) {
            if (stream && !among(out[k], in, n_in))
                copy_stream((char *)out[k] + offset, acc, (size_t)len * width);
            else
                memcpy((char *)out[k] + offset, acc, (size_t)len * width);
        }
    }
    if (stream)
        stream_fence();
}

void cs_max_ordered(void *out, const void *const *in, int n_in, int64_t n, cs_dtype t)
{
    CS_ASSERT(t == CS_F64 || t == CS_I64);
    for (int64_t i = 0; i < n; i++) {
        if (t == CS_I64) {
            int64_t best = ((const int64_t *)in[0])[i];
            for (int r = 1; r < n_in; r++) {
                int64_t x = ((const int64_t *)in[r])[i];
                best = x > best ? x : best;
            }
            ((int64_t *)out)[i] = best;
        } else {
            double best = ((const double *)in[0])[i];
            for (int r = 1; r < n_in; r++) {
                double x = ((const double *)in[r])[i];
                best = x > best || x != x ? x : best;
            }
            ((double *)out)[i] = best;
        }
    }
}
