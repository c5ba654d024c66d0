/* Baichuan 2's NormHead: logits come from the head's rows scaled to length 1, y = x (w_v / max(|w_v|, 1e-12))^T. The scaled copy is made again when
 * the weight has changed; gradients with respect to it are gathered over one micro-batch and pulled back. V vocabulary, H hidden. */
#ifndef CS_NN_NORMHEAD_H
#define CS_NN_NORMHEAD_H

#include "nn/ctx.h"

typedef struct cs_normhead {
    cs_weight *raw; /* the parameter [V, H]; NULL = the model has no such head */
    void *draw;     /* A [V, H], += in backward */
    cs_weight unit; /* rows of length 1: what the loss multiplies by */
    void *dunit;    /* A [V, H] of one micro-batch */
    void *length;   /* A [V] */
} cs_normhead;

/* Buffers in `arena`; dunit only with `training`. CS_E_NOMEM. */
cs_status cs_normhead_init(cs_normhead *n, cs_weight *raw, bool training, cs_precision prec, cs_arena *arena, cs_error *err);
/* Brings `unit` up to date with `raw`, and clears dunit when there is one. Call before the loss of every micro-batch. */
void cs_normhead_forward(cs_normhead *n, const cs_kernels *k);
/* draw += d(unit)/d(raw)^T dunit. */
void cs_normhead_backward(const cs_normhead *n, const cs_kernels *k);

#endif
