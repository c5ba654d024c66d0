/* Transitions between whole tensors and parts. */
#include "nn/region.h"

#include <string.h>

/* Elements of every rank's rows of a tensor with n columns. */
static int64_t *counts_of(const cs_ctx *ctx, int64_t n)
{
    int tp = ctx->mesh->size[CS_AXIS_TP];
    int64_t *counts = cs_arena_must(ctx->scratch, (size_t)tp * sizeof *counts);
    for (int r = 0; r < tp; r++)
        counts[r] = (cs_ctx_first_row(ctx, r + 1) - cs_ctx_first_row(ctx, r)) * n;
    return counts;
}

cs_tensor cs_region_gather(const cs_ctx *ctx, cs_tensor x)
{
    if (!ctx->sequence_parallel)
        return x;
    CS_ASSERT(x.rows == cs_ctx_rows(ctx) && x.ld == x.cols && x.dtype == ctx->prec.store);
    cs_tensor whole = cs_ctx_tensor(ctx, ctx->scratch, ctx->batch->rows, x.cols);
    int rank = ctx->mesh->coord[CS_AXIS_TP];
    cs_tensor own = cs_tensor_rows(whole, cs_ctx_first_row(ctx, rank), x.rows);
    memcpy(own.data, x.data, (size_t)(x.rows * x.cols) * cs_dtype_size(x.dtype));
    double begin = cs_span_begin(ctx->timeline);
    cs_comm_allgather_v(ctx->mesh->group[CS_AXIS_TP], whole.data, counts_of(ctx, x.cols), x.dtype);
    cs_span_end(ctx->timeline, begin, CS_SPAN_COLLECTIVE, -1, -1);
    return whole;
}

cs_tensor cs_region_terms(const cs_ctx *ctx, cs_tensor y)
{
    return ctx->sequence_parallel ? cs_ctx_tensor(ctx, ctx->scratch, ctx->batch->rows, y.cols) : y;
}

void cs_region_sum(const cs_ctx *ctx, cs_tensor terms, cs_tensor y)
{
    cs_comm *group = ctx->mesh->group[CS_AXIS_TP];
    CS_ASSERT(y.ld == y.cols && y.dtype == ctx->prec.store);
    double begin = cs_span_begin(ctx->timeline);
    if (ctx->sequence_parallel)
        cs_comm_reduce_scatter_sum_v(group, terms.data, y.data, counts_of(ctx, y.cols), y.dtype);
    else
        cs_comm_allreduce_sum(group, y.data, y.rows * y.cols, y.dtype);
    if (cs_comm_size(group) > 1)
        cs_span_end(ctx->timeline, begin, CS_SPAN_COLLECTIVE, -1, -1);
}
