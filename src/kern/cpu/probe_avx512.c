/* Raw loops with 512-bit vectors. */
#include "kern/cpu/probe.h"

#if defined(__AVX512F__)
#include <immintrin.h>

enum { AHEAD = 4096 };

float cs_probe_fma_avx512(int64_t steps)
{
    __m512 acc[CS_PROBE_CHAINS], m = _mm512_set1_ps(0.5f), a = _mm512_set1_ps(1.0f);
    for (int i = 0; i < CS_PROBE_CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (int64_t s = 0; s < steps; s++)
        for (int i = 0; i < CS_PROBE_CHAINS; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], m, a);
    for (int i = 1; i < CS_PROBE_CHAINS; i++)
        acc[0] = _mm512_add_ps(acc[0], acc[i]);
    return _mm512_cvtss_f32(acc[0]);
}

uint64_t cs_probe_read_avx512(const void *src, size_t bytes)
{
    const char *p = src;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0;
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
        _mm_prefetch(p + i + AHEAD, _MM_HINT_NTA);
        _mm_prefetch(p + i + AHEAD + 64, _MM_HINT_NTA);
        for (size_t j = 0; j < 128; j += 2 * sizeof s0) {
            s0 = _mm512_xor_si512(s0, _mm512_load_si512((const void *)(p + i + j)));
            s1 = _mm512_xor_si512(s1, _mm512_load_si512((const void *)(p + i + j + sizeof s0)));
        }
    }
    uint64_t lanes[sizeof s0 / 8];
    _mm512_storeu_si512((void *)lanes, _mm512_xor_si512(s0, s1));
    return lanes[0] ^ lanes[1];
}

void cs_probe_copy_avx512(void *dst, const void *src, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(__m512i))
        _mm512_stream_si512((void *)((char *)dst + i), _mm512_load_si512((const void *)((const char *)src + i)));
    _mm_sfence();
}
#endif
