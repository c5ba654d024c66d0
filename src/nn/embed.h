/* Token embedding: y[t] = w[tokens[t]]. V vocabulary rows of this rank, H hidden. Rows of tokens that lie on another rank become zeros, so that the
 * sum over the ranks is the embedding. */
#ifndef CS_NN_EMBED_H
#define CS_NN_EMBED_H

#include "nn/ctx.h"

typedef struct cs_embed {
    const void *w;       /* S [V, H] */
    void *dw;            /* A [V, H], += in backward */
    int64_t rows, first; /* V, and the vocabulary row that is row 0 here */
} cs_embed;

/* y S [cs_ctx_rows, H], overwritten with the rows of the batch's tokens (checked against V by whoever made the batch). */
void cs_embed_forward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor y);
void cs_embed_backward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor dy);

#endif
