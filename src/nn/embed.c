/* Embedding module. */
#include "nn/embed.h"

#include "nn/region.h"

void cs_embed_forward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor y)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor terms = cs_region_terms(ctx, y); /* rows of other ranks' tokens are zero */
    ctx->k->embed_fwd(terms.rows, terms.cols, embed->rows, embed->first, ctx->batch->tokens, embed->w, terms.data);
    cs_region_sum(ctx, terms, y);
    cs_arena_restore(ctx->scratch, mark);
}

void cs_embed_backward(const cs_embed *embed, const cs_ctx *ctx, cs_tensor dy)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor whole = cs_region_gather(ctx, dy);
    ctx->k->embed_bwd(whole.rows, whole.cols, embed->rows, embed->first, ctx->batch->tokens, whole.data, embed->dw);
    cs_arena_restore(ctx->scratch, mark);
}
