/* Conversion between the float types of files and of buffers. */
#ifndef CS_CKPT_CAST_H
#define CS_CKPT_CAST_H

#include "base/dtype.h"

/* f64, f32, bf16, f16: the types weights may have. */
static inline bool cs_cast_can(cs_dtype t)
{
    return t == CS_F64 || t == CS_F32 || t == CS_BF16 || t == CS_F16;
}

/* dst[0..n) = src[0..n), rounded to nearest even (f64 to 16 bits through f32, as PyTorch does). Neither side needs alignment; they must not overlap.
 * Large arrays are cut over the threads. */
void cs_cast(cs_dtype to, void *dst, cs_dtype from, const void *src, int64_t n);

#endif
