/* Reference kernels in f64: proofs, gradient checks, parity tests. */
#include "tensor/kernels.h"

typedef double S;
typedef double A;
typedef double S_alias;

static inline double ld(S x)
{
    return x;
}

static inline S st(double x)
{
    return x;
}

#define REF_TABLE cs_ref_f64
#define REF_NAME "ref-f64"
#define REF_STORE CS_F64
#define REF_ACC CS_F64
#define REF_VEC_BYTES 16
#include "kern/ref/ref_impl.inc.h"
