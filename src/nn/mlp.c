/* Feed-forward module. */
#include "nn/mlp.h"

void cs_mlp_forward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor x, cs_tensor y, bool keep_u, cs_mlp_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor u = cs_ctx_tensor(ctx, saved && keep_u ? ctx->stash : ctx->scratch, ctx->batch->rows, mlp->up.w->rows);
    cs_tensor h = cs_ctx_tensor(ctx, ctx->scratch, u.rows, mlp->ffn);
    cs_linear_forward(&mlp->up, ctx, x, u);
    (mlp->act == CS_ACT_GELU ? ctx->k->gelu_fwd : ctx->k->swiglu_fwd)(u.rows, mlp->ffn, u.data, h.data);
    cs_linear_forward(&mlp->down, ctx, h, y);
    if (saved)
        *saved = (cs_mlp_saved){x, keep_u ? u : (cs_tensor){0}};
    cs_arena_restore(ctx->scratch, mark);
}

void cs_mlp_again(const cs_mlp *mlp, const cs_ctx *ctx, cs_mlp_saved *saved)
{
    saved->u = cs_ctx_tensor(ctx, ctx->scratch, ctx->batch->rows, mlp->up.w->rows);
    cs_linear_forward(&mlp->up, ctx, saved->x, saved->u);
}

void cs_mlp_backward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor dy, cs_mlp_saved *saved, cs_tensor dx)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor u = saved->u, h = cs_ctx_tensor(ctx, ctx->scratch, u.rows, mlp->ffn), dh = cs_ctx_tensor(ctx, ctx->scratch, u.rows, mlp->ffn);
    cs_tensor whole = cs_linear_output_grad(&mlp->down, ctx, dy);
    cs_linear_backward_input(&mlp->down, ctx, whole, dh);
    (mlp->act == CS_ACT_GELU ? ctx->k->gelu_bwd : ctx->k->swiglu_bwd)(u.rows, mlp->ffn, dh.data, u.data, u.data, h.data);
    cs_linear_backward_weight(&mlp->down, ctx, whole, h);
    cs_linear_backward_weight(&mlp->up, ctx, u, saved->x);
    cs_linear_backward_input(&mlp->up, ctx, u, dx);
    cs_arena_restore(ctx->scratch, mark);
}
