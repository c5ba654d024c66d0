/* Reference kernels for f32 storage; sums are kept in f64. */
#include "tensor/kernels.h"

typedef float S;
typedef float A;
typedef float S_alias;

static inline double ld(S x)
{
    return x;
}

static inline S st(double x)
{
    return (S)x;
}

#define REF_TABLE cs_ref_f32
#define REF_NAME "ref-f32"
#define REF_STORE CS_F32
#define REF_ACC CS_F32
#define REF_VEC_BYTES 16
#include "kern/ref/ref_impl.inc.h"
