/* SwiGLU module. */
#include "nn/mlp.h"

void cs_mlp_forward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_mlp_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor gu = cs_ctx_tensor(ctx, saved ? ctx->stash : ctx->scratch, x.rows, 2 * mlp->ffn);
    cs_tensor h = cs_ctx_tensor(ctx, ctx->scratch, x.rows, mlp->ffn);
    cs_linear_forward(&mlp->gate_up, ctx, x, gu);
    ctx->k->swiglu_fwd(x.rows, mlp->ffn, gu.data, h.data);
    cs_linear_forward(&mlp->down, ctx, h, y);
    if (saved)
        *saved = (cs_mlp_saved){x, gu};
    cs_arena_restore(ctx->scratch, mark);
}

void cs_mlp_backward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor dy, cs_mlp_saved *saved, cs_tensor dx)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor h = cs_ctx_tensor(ctx, ctx->scratch, dy.rows, mlp->ffn), dh = cs_ctx_tensor(ctx, ctx->scratch, dy.rows, mlp->ffn);
    cs_linear_backward_input(&mlp->down, ctx, dy, dh);
    ctx->k->swiglu_bwd(dy.rows, mlp->ffn, dh.data, saved->gu.data, saved->gu.data, h.data);
    cs_linear_backward_weight(&mlp->down, ctx, dy, h);
    cs_linear_backward_weight(&mlp->gate_up, ctx, saved->gu, saved->x);
    cs_linear_backward_input(&mlp->gate_up, ctx, saved->gu, dx);
    cs_arena_restore(ctx->scratch, mark);
}
