/* Head and cross-entropy in one module, chunk by chunk of rows: the logits of more than one chunk never exist.
 * Because the divisor of the loss (the step's global number of trained tokens) is known before the step, forward with `saved` also computes the
 * gradients of the chunk while its logits are there: dw of the head is added, dx is kept; backward hands dx over.
 * The head may hold a part of the vocabulary: the statistics of a row are joined over TP, and dx is then this rank's part of a sum over TP.
 * T rows, H hidden, V vocabulary rows of this rank. */
#ifndef CS_NN_LOSS_H
#define CS_NN_LOSS_H

#include "nn/linear.h"

typedef struct cs_loss {
    cs_linear head; /* [V, H], this rank's rows; its cut is CS_CUT_NONE: the input and its gradient are brought here, once for all chunks */
    int64_t first;  /* the vocabulary row that is row 0 of head */
    int64_t most;   /* vocabulary rows of the rank that has most of them: all ranks cut their chunks by it */
} cs_loss;

typedef struct cs_loss_saved {
    cs_tensor dx; /* S [cs_ctx_rows, H] */
} cs_loss_saved;

/* Returns sum over rows of weight * -log p(label), f64, in row order, over the whole vocabulary: the same bits on every rank. x S [cs_ctx_rows, H]
 * (after the final norm). With `saved`: dw += scale * d(sum)/dw. Collective over TP. */
double cs_loss_forward(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, double scale, cs_loss_saved *saved);
/* dx S [cs_ctx_rows, H] = scale * d(sum)/dx. */
void cs_loss_backward(const cs_loss *loss, const cs_ctx *ctx, const cs_loss_saved *saved, cs_tensor dx);
/* Rows whose logits exist at a time, where the rank that has most holds V > 0 vocabulary rows; and bytes beside the logits of each of them. */
int64_t cs_loss_chunk_rows(int64_t T, int64_t V, cs_dtype acc);
size_t cs_loss_row_bytes(void);
/* Logits A [T, V] of the given rows for this rank's part of the vocabulary, overwritten. */
void cs_loss_logits(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, void *logits);

#endif
