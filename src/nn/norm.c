/* Norm module: the kernels and what they keep. */
#include "nn/norm.h"

static void run(const cs_norm *norm, const cs_ctx *ctx, const cs_norm_saved *s, cs_tensor y)
{
    if (norm->rule == CS_NORM_LAYER)
        ctx->k->layernorm_fwd(s->x.rows, s->x.cols, s->x.data, norm->w, norm->b, norm->eps, y.data, s->mean, s->rstd);
    else
        ctx->k->rmsnorm_fwd(s->x.rows, s->x.cols, s->x.data, norm->w, norm->eps, y.data, s->rstd);
}

void cs_norm_forward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_norm_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_arena *keep = saved ? ctx->stash : ctx->scratch;
    size_t bytes = (size_t)x.rows * cs_dtype_size(ctx->prec.acc);
    cs_norm_saved s = {.x = x, .rstd = cs_arena_must(keep, bytes)};
    if (norm->rule == CS_NORM_LAYER)
        s.mean = cs_arena_must(keep, bytes);
    run(norm, ctx, &s, y);
    if (saved)
        *saved = s;
    cs_arena_restore(ctx->scratch, mark);
}

void cs_norm_again(const cs_norm *norm, const cs_ctx *ctx, const cs_norm_saved *saved, cs_tensor y)
{
    run(norm, ctx, saved, y); /* the statistics get the values that they have */
}

void cs_norm_backward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor dy, const cs_norm_saved *saved, cs_tensor dx)
{
    if (norm->rule == CS_NORM_LAYER)
        ctx->k->layernorm_bwd(dy.rows, dy.cols, dy.data, saved->x.data, norm->w, saved->mean, saved->rstd, dx.data, norm->dw, norm->db);
    else
        ctx->k->rmsnorm_bwd(dy.rows, dy.cols, dy.data, saved->x.data, norm->w, saved->rstd, dx.data, norm->dw);
}
