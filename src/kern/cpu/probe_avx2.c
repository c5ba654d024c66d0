/* Raw loops with 256-bit vectors. */
#include "kern/cpu/probe.h"

#if defined(__AVX2__)
#include <immintrin.h>

enum { AHEAD = 4096 };

float cs_probe_fma_avx2(int64_t steps)
{
    __m256 acc[CS_PROBE_CHAINS], m = _mm256_set1_ps(0.5f), a = _mm256_set1_ps(1.0f);
    for (int i = 0; i < CS_PROBE_CHAINS; i++)
        acc[i] = _mm256_set1_ps((float)i);
    for (int64_t s = 0; s < steps; s++)
        for (int i = 0; i < CS_PROBE_CHAINS; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], m, a);
    for (int i = 1; i < CS_PROBE_CHAINS; i++)
        acc[0] = _mm256_add_ps(acc[0], acc[i]);
    return _mm256_cvtss_f32(acc[0]);
}

uint64_t cs_probe_read_avx2(const void *src, size_t bytes)
{
    const char *p = src;
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
        _mm_prefetch(p + i + AHEAD, _MM_HINT_NTA);
        _mm_prefetch(p + i + AHEAD + 64, _MM_HINT_NTA);
        for (size_t j = 0; j < 128; j += 2 * sizeof s0) {
            s0 = _mm256_xor_si256(s0, _mm256_load_si256((const void *)(p + i + j)));
            s1 = _mm256_xor_si256(s1, _mm256_load_si256((const void *)(p + i + j + sizeof s0)));
        }
    }
    uint64_t lanes[sizeof s0 / 8];
    _mm256_storeu_si256((void *)lanes, _mm256_xor_si256(s0, s1));
    return lanes[0] ^ lanes[1];
}

void cs_probe_copy_avx2(void *dst, const void *src, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(__m256i))
        _mm256_stream_si256((void *)((char *)dst + i), _mm256_load_si256((const void *)((const char *)src + i)));
    _mm_sfence();
}
#endif
