/* Reference kernels for f16 storage with f32 statistics, gradients and logits; sums are kept in f64. */
#include "tensor/kernels.h"

typedef cs_f16 S;
typedef float A;
typedef cs_f16 __attribute__((may_alias)) S_alias; /* dlogits may lie on top of f32 logits */

static inline double ld(S x)
{
    return cs_f16_to_f32(x);
}

static inline S st(double x)
{
    return cs_f16_from_f32((float)x);
}

#define REF_TABLE cs_ref_f16
#define REF_NAME "ref-f16"
#define REF_STORE CS_F16
#define REF_ACC CS_F32
#define REF_VEC_BYTES 16
#include "kern/ref/ref_impl.inc.h"
