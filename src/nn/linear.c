/* Linear module. */
#include "nn/linear.h"

#include "nn/region.h"

/* Of the terms of a sum one has the bias. */
static bool adds_bias(const cs_linear *lin, const cs_ctx *ctx)
{
    return lin->cut != CS_CUT_COLS || ctx->mesh->coord[CS_AXIS_TP] == 0;
}

/* Under sequence parallelism gradients of what every rank has are added up over the ranks in the end: one brings the bias's, which is complete. */
static bool adds_bias_grad(const cs_linear *lin, const cs_ctx *ctx)
{
    return lin->dbias && (!ctx->sequence_parallel || adds_bias(lin, ctx));
}

void cs_linear_forward(const cs_linear *lin, const cs_ctx *ctx, cs_tensor x, cs_tensor y)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor in = lin->cut == CS_CUT_ROWS ? cs_region_gather(ctx, x) : x;
    cs_tensor out = lin->cut == CS_CUT_COLS ? cs_region_terms(ctx, y) : y;
    CS_ASSERT(in.cols == lin->w->cols && out.cols == lin->w->rows && in.rows == out.rows);
    ctx->k->gemm_fwd(in.rows, in.data, in.ld, lin->w, adds_bias(lin, ctx) ? lin->bias : NULL, out.data, out.ld, out.dtype, 0);
    if (lin->cut == CS_CUT_COLS)
        cs_region_sum(ctx, out, y);
    cs_arena_restore(ctx->scratch, mark);
}

cs_tensor cs_linear_output_grad(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy)
{
    return lin->cut == CS_CUT_COLS ? cs_region_gather(ctx, dy) : dy;
}

void cs_linear_backward_input(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor dx)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor out = lin->cut == CS_CUT_ROWS ? cs_region_terms(ctx, dx) : dx;
    CS_ASSERT(out.cols == lin->w->cols && dy.cols == lin->w->rows && out.rows == dy.rows);
    ctx->k->gemm_dgrad(dy.rows, dy.data, dy.ld, lin->w, out.data, out.ld, 0);
    if (lin->cut == CS_CUT_ROWS)
        cs_region_sum(ctx, out, dx);
    cs_arena_restore(ctx->scratch, mark);
}

void cs_linear_backward_weight(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor x)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor in = lin->cut == CS_CUT_ROWS ? cs_region_gather(ctx, x) : x;
    CS_ASSERT(in.rows == dy.rows);
    ctx->k->gemm_wgrad(dy.rows, dy.cols, in.cols, dy.data, dy.ld, in.data, in.ld, lin->dw);
    if (adds_bias_grad(lin, ctx))
        ctx->k->bias_grad(dy.rows, dy.cols, dy.data, dy.ld, lin->dbias);
    cs_arena_restore(ctx->scratch, mark);
}
