/* Raw loop of bf16 dot products. */
#include "kern/cpu/probe.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

float cs_probe_dot_avx512bf16(int64_t steps)
{
    __m512 acc[CS_PROBE_CHAINS];
    __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f80), b = (__m512bh)_mm512_set1_epi16(0x3c00);
    for (int i = 0; i < CS_PROBE_CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (int64_t s = 0; s < steps; s++)
        for (int i = 0; i < CS_PROBE_CHAINS; i++)
            acc[i] = _mm512_dpbf16_ps(acc[i], a, b);
    for (int i = 1; i < CS_PROBE_CHAINS; i++)
        acc[0] = _mm512_add_ps(acc[0], acc[i]);
    return _mm512_cvtss_f32(acc[0]);
}
#endif
