/* Norms over the columns. RMSNorm: y = x / sqrt(mean(x^2) + eps) * w (Zhang & Sennrich 2019). LayerNorm: y = (x - mean) / sqrt(var + eps) * w + b
 * (Ba et al. 2016). T rows, H hidden. */
#ifndef CS_NN_NORM_H
#define CS_NN_NORM_H

#include "nn/ctx.h"

typedef enum cs_norm_rule { CS_NORM_RMS, CS_NORM_LAYER } cs_norm_rule;

typedef struct cs_norm {
    cs_norm_rule rule;
    const void *w, *b; /* S [H]; b for LayerNorm only */
    void *dw, *db;     /* A [H], += in backward */
    double eps;
} cs_norm;

typedef struct cs_norm_saved {
    cs_tensor x;       /* by reference */
    void *mean, *rstd; /* A [T]; mean for LayerNorm only */
} cs_norm_saved;

/* x, y: S [T, H] contiguous; y overwritten. saved NULL keeps nothing. */
void cs_norm_forward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_norm_saved *saved);
/* The y of that forward pass once more, bit for bit, from what it saved. */
void cs_norm_again(const cs_norm *norm, const cs_ctx *ctx, const cs_norm_saved *saved, cs_tensor y);
/* dx overwritten; it may be dy. */
void cs_norm_backward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor dy, const cs_norm_saved *saved, cs_tensor dx);

#endif
