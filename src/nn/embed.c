/* Embedding module. */
#include "nn/embed.h"

void cs_embed_forward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor y)
{
    ctx->k->embed_fwd(y.rows, y.cols, embed->rows, embed->first, ctx->batch->tokens, embed->w, y.data);
}

void cs_embed_backward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor dy)
{
    ctx->k->embed_bwd(dy.rows, dy.cols, embed->rows, embed->first, ctx->batch->tokens, dy.data, embed->dw);
}
