/* RMSNorm over the columns: y = x / sqrt(mean(x^2) + eps) * w (Zhang & Sennrich 2019). T rows, H hidden. */
#ifndef CS_NN_NORM_H
#define CS_NN_NORM_H

#include "nn/ctx.h"

typedef struct cs_norm {
    const void *w; /* S [H] */
    void *dw;      /* A [H], += in backward */
    double eps;
} cs_norm;

typedef struct cs_norm_saved {
    cs_tensor x; /* by reference */
    void *rstd;  /* A [T] */
} cs_norm_saved;

/* x, y: S [T, H] contiguous; y overwritten. saved NULL keeps nothing. */
void cs_norm_forward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_norm_saved *saved);
/* dx overwritten; it may be dy. */
void cs_norm_backward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor dy, const cs_norm_saved *saved, cs_tensor dx);

#endif
