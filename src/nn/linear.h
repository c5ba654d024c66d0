/* y = x W^T + b. T rows, K in features, N out features. Parameter gradients add, activation gradients overwrite. */
#ifndef CS_NN_LINEAR_H
#define CS_NN_LINEAR_H

#include "nn/ctx.h"

typedef struct cs_linear {
    cs_weight *w;     /* [N, K] */
    const void *bias; /* S [N] or NULL */
    void *dw, *dbias; /* A [N, K], A [N] */
} cs_linear;

/* x S [T, K]; y [T, N] of type S or A; overwritten. Backward needs x again: the caller keeps it. */
void cs_linear_forward(const cs_linear *lin, const cs_ctx *ctx, cs_tensor x, cs_tensor y);
/* dx S [T, K] = dy W, overwritten. */
void cs_linear_backward_input(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor dx);
/* dw += dy^T x, dbias += column sums of dy. */
void cs_linear_backward_weight(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor x);

#endif
