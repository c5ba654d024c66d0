/* Norm module: the kernels and what they keep. */
#include "nn/norm.h"

void cs_norm_forward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_norm_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_arena *keep = saved ? ctx->stash : ctx->scratch;
    size_t bytes = (size_t)x.rows * cs_dtype_size(ctx->prec.acc);
    cs_norm_saved s = {.x = x, .rstd = cs_arena_must(keep, bytes)};
    if (norm->rule == CS_NORM_LAYER) {
        s.mean = cs_arena_must(keep, bytes);
        ctx->k->layernorm_fwd(x.rows, x.cols, x.data, norm->w, norm->b, norm->eps, y.data, s.mean, s.rstd);
    } else {
        ctx->k->rmsnorm_fwd(x.rows, x.cols, x.data, norm->w, norm->eps, y.data, s.rstd);
    }
    if (saved)
        *saved = s;
    cs_arena_restore(ctx->scratch, mark);
}

void cs_norm_backward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor dy, const cs_norm_saved *saved, cs_tensor dx)
{
    if (norm->rule == CS_NORM_LAYER)
        ctx->k->layernorm_bwd(dy.rows, dy.cols, dy.data, saved->x.data, norm->w, saved->mean, saved->rstd, dx.data, norm->dw, norm->db);
    else
        ctx->k->rmsnorm_bwd(dy.rows, dy.cols, dy.data, saved->x.data, norm->w, saved->rstd, dx.data, norm->dw);
}
