/* RMSNorm module: the kernel and what it keeps. */
#include "nn/norm.h"

void cs_norm_forward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_norm_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    void *rstd = cs_arena_must(saved ? ctx->stash : ctx->scratch, (size_t)x.rows * cs_dtype_size(ctx->prec.acc));
    ctx->k->rmsnorm_fwd(x.rows, x.cols, x.data, norm->w, norm->eps, y.data, rstd);
    if (saved)
        *saved = (cs_norm_saved){x, rstd};
    cs_arena_restore(ctx->scratch, mark);
}

void cs_norm_backward(const cs_norm *norm, const cs_ctx *ctx, cs_tensor dy, const cs_norm_saved *saved, cs_tensor dx)
{
    ctx->k->rmsnorm_bwd(dy.rows, dy.cols, dy.data, saved->x.data, norm->w, saved->rstd, dx.data, norm->dw);
}
