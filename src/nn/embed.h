/* Token embedding: y[t] = w[tokens[t]]. V vocabulary, H hidden. */
#ifndef CS_NN_EMBED_H
#define CS_NN_EMBED_H

#include "nn/ctx.h"

typedef struct cs_embed {
    const void *w; /* S [V, H] */
    void *dw;      /* A [V, H], += in backward */
} cs_embed;

/* y S [T, H], overwritten with the rows of the batch's tokens (checked against V by whoever made the batch). */
void cs_embed_forward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor y);
void cs_embed_backward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor dy);

#endif
