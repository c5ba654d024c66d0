/* The vector kernels for f16 storage, compiled for AVX2. */
#include "kern/cpu/cpu.h"

#if defined(__AVX2__)
#include "kern/cpu/simd.h"

typedef cs_f16 S;

/* The first min(m, W) elements at p; missing lanes are zero. */
static inline vf lds(const S *p, int64_t m)
{
    return vload_f16_part(p, m);
}

static inline void sts(S *p, vf x, int64_t m)
{
    vstore_f16_part(p, x, m);
}

#define VEC_INSTALL cs_cpu_install_f16_avx2
#include "kern/cpu/vec_impl.inc.h"
#else
void cs_cpu_install_f16_avx2(cs_kernels *table)
{
    (void)table;
}
#endif
