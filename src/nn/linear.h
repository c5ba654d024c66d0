/* y = x W^T + b. T rows, K in features, N out features. Parameter gradients add, activation gradients overwrite. */
#ifndef CS_NN_LINEAR_H
#define CS_NN_LINEAR_H

#include "nn/ctx.h"

/* How a matrix [N, K] is cut over the ranks of the tensor parallel group. */
typedef enum cs_cut {
    CS_CUT_NONE, /* not: every rank has it */
    CS_CUT_ROWS, /* by outputs: x enters whole, y stays in parts (Megatron's column parallel; Shoeybi et al. 2019) */
    CS_CUT_COLS  /* by inputs: x comes in parts, y is summed over the ranks (row parallel) */
} cs_cut;

typedef struct cs_linear {
    cs_cut cut;
    cs_weight *w;     /* [N, K], of this rank */
    const void *bias; /* S [N] or NULL; with CS_CUT_COLS the same on every rank */
    void *dw, *dbias; /* A [N, K], A [N] */
} cs_linear;

/* Row counts: all T rows of the batch where tensors are in parts (by columns), and cs_ctx_rows(ctx) of them where they are whole: under sequence
 * parallelism those are this rank's rows only (Korthikanti et al. 2022), and forward and backward gather and scatter them here. The communication of
 * backward_input and forward mirror each other. */

/* x S [rows, K]; y [rows, N] of type S or A (S with CS_CUT_COLS); overwritten. Backward needs x again: the caller keeps it. */
void cs_linear_forward(const cs_linear *lin, const cs_ctx *ctx, cs_tensor x, cs_tensor y);
/* The gradient of y as the two functions below take it: dy itself, or (CS_CUT_COLS under sequence parallelism) all T rows of it in ctx->scratch. */
cs_tensor cs_linear_output_grad(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy);
/* dx S = dy W, overwritten. */
void cs_linear_backward_input(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor dx);
/* dw += dy^T x, dbias += column sums of dy. */
void cs_linear_backward_weight(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor x);

#endif
