/* Linear module. */
#include "nn/linear.h"

void cs_linear_forward(const cs_linear *lin, const cs_ctx *ctx, cs_tensor x, cs_tensor y)
{
    CS_ASSERT(x.cols == lin->w->cols && y.cols == lin->w->rows && x.rows == y.rows);
    ctx->k->gemm_fwd(x.rows, x.data, x.ld, lin->w, lin->bias, y.data, y.ld, y.dtype, 0);
}

void cs_linear_backward_input(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor dx)
{
    CS_ASSERT(dx.cols == lin->w->cols && dy.cols == lin->w->rows && dx.rows == dy.rows);
    ctx->k->gemm_dgrad(dy.rows, dy.data, dy.ld, lin->w, dx.data, dx.ld, 0);
}

void cs_linear_backward_weight(const cs_linear *lin, const cs_ctx *ctx, cs_tensor dy, cs_tensor x)
{
    ctx->k->gemm_wgrad(dy.rows, dy.cols, x.cols, dy.data, dy.ld, x.data, x.ld, lin->dw);
    if (lin->dbias)
        ctx->k->bias_grad(dy.rows, dy.cols, dy.data, dy.ld, lin->dbias);
}
