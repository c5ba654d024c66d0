/* Head and cross-entropy in one module, chunk by chunk of rows: the logits of more than one chunk never exist.
 * Because the divisor of the loss (the step's global number of trained tokens) is known before the step, forward with `saved` also computes the
 * gradients of the chunk while its logits are there: dw of the head is added, dx is kept; backward hands dx over. T rows, H hidden, V vocabulary. */
#ifndef CS_NN_LOSS_H
#define CS_NN_LOSS_H

#include "nn/linear.h"

typedef struct cs_loss {
    cs_linear head; /* [V, H] */
} cs_loss;

typedef struct cs_loss_saved {
    cs_tensor dx; /* S [T, H] */
} cs_loss_saved;

/* Returns sum over rows of weight * -log p(label), f64, in row order. x S [T, H] (after the final norm). With `saved`: dw += scale * d(sum)/dw. */
double cs_loss_forward(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, double scale, cs_loss_saved *saved);
/* dx S [T, H] = scale * d(sum)/dx. */
void cs_loss_backward(const cs_loss *loss, const cs_ctx *ctx, const cs_loss_saved *saved, cs_tensor dx);
/* Rows whose logits exist at a time. */
int64_t cs_loss_chunk_rows(int64_t T, int64_t V, cs_dtype acc);
/* Logits A [T, V] of the given rows, overwritten. */
void cs_loss_logits(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, void *logits);

#endif
