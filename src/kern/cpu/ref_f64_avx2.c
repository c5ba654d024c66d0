/* The f64 reference product with 32-byte vectors. Contraction stays off, so the sums are those of ref_f64.c. */
#include "kern/cpu/cpu.h"

#if defined(__AVX2__)
typedef double S;
typedef double A;

static inline double ld(S x)
{
    return x;
}

static inline S st(double x)
{
    return x;
}

#define REF_VEC_BYTES 32
#define REF_STORE CS_F64
#include "kern/ref/ref_gemm.inc.h"

void cs_cpu_install_f64_avx2(cs_kernels *table)
{
    table->gemm_fwd = gemm_fwd;
    table->gemm_dgrad = gemm_dgrad;
    table->gemm_wgrad = gemm_wgrad;
}
#else
void cs_cpu_install_f64_avx2(cs_kernels *table)
{
    (void)table;
}
#endif
