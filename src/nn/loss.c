/* Head + cross-entropy, chunked. */
#include "nn/loss.h"

#include "nn/region.h"

#include <math.h>
#include <string.h>

enum { CHUNK_BYTES = 64 << 20 }; /* of one chunk of logits; cut by sizes only, so results do not depend on threads */

int64_t cs_loss_chunk_rows(int64_t T, int64_t V, cs_dtype acc)
{
    int64_t n = CHUNK_BYTES / (V * (int64_t)cs_dtype_size(acc));
    n = n < 16 ? 16 : n / 16 * 16;
    return n < T ? n : T;
}

size_t cs_loss_row_bytes(void)
{
    return 4 * sizeof(double) + sizeof(int32_t);
}

/* n rows of the batch from row `at` on, and what is known of each. sum and picked lie one behind the other: one message. */
typedef struct chunk {
    int64_t at, n;
    double *lse, *top, *sum, *picked;
    int32_t *label; /* counted from this rank's first vocabulary row */
} chunk;

static chunk make_chunk(int64_t at, int64_t n, void *work)
{
    double *d = work;
    return (chunk){at, n, d, d + n, d + 2 * n, d + 3 * n, (int32_t *)(void *)(d + 4 * n)};
}

/* lse of every row over the whole vocabulary; returns total + the weighted losses, row by row. Collective over TP. */
static double join_stats(const cs_loss *loss, const cs_ctx *ctx, const void *logits, const chunk *c, double total)
{
    const cs_batch *b = ctx->batch;
    const float *weight = b->weights + c->at;
    cs_comm *tp = ctx->mesh->group[CS_AXIS_TP];
    for (int64_t i = 0; i < c->n; i++)
        c->label[i] = (int32_t)(b->labels[c->at + i] - loss->first);
    ctx->k->ce_stats(c->n, loss->head.w->rows, logits, c->label, weight, c->top, c->sum, c->picked);
    double *own_top = c->lse;
    memcpy(own_top, c->top, (size_t)c->n * sizeof *own_top);
    cs_comm_allreduce_max(tp, c->top, c->n, CS_F64);
    for (int64_t i = 0; i < c->n; i++)
        c->sum[i] *= exp(own_top[i] - c->top[i]); /* exactly 1 where the largest is here */
    cs_comm_allreduce_sum(tp, c->sum, 2 * c->n, CS_F64);
    for (int64_t i = 0; i < c->n; i++) {
        c->lse[i] = c->top[i] + log(c->sum[i]);
        total += (double)weight[i] * (c->lse[i] - c->picked[i]);
    }
    return total;
}

double cs_loss_forward(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, double scale, cs_loss_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    int64_t T = ctx->batch->rows, V = loss->head.w->rows, step = cs_loss_chunk_rows(T, loss->most, ctx->prec.acc);
    int64_t ldd = V * (int64_t)(cs_dtype_size(ctx->prec.acc) / cs_dtype_size(ctx->prec.store));
    void *logits = cs_arena_must(ctx->scratch, (size_t)(step * V) * cs_dtype_size(ctx->prec.acc));
    void *work = cs_arena_must(ctx->scratch, (size_t)step * cs_loss_row_bytes());
    double total = 0;
    cs_tensor dx = {0};
    if (saved) {
        saved->dx = cs_ctx_tensor(ctx, ctx->stash, x.rows, x.cols);
        dx = cs_region_terms(ctx, saved->dx);
    }
    x = cs_region_gather(ctx, x);
    for (int64_t at = 0; at < T; at += step) {
        chunk c = make_chunk(at, T - at < step ? T - at : step, work);
        cs_tensor xc = cs_tensor_rows(x, at, c.n), z = {logits, ctx->prec.acc, c.n, V, V}, dz = {logits, ctx->prec.store, c.n, V, ldd};
        cs_linear_forward(&loss->head, ctx, xc, z);
        total = join_stats(loss, ctx, logits, &c, total);
        if (saved) {
            ctx->k->ce_grad(c.n, V, logits, c.label, ctx->batch->weights + at, scale, c.lse, logits, ldd);
            cs_linear_backward_input(&loss->head, ctx, dz, cs_tensor_rows(dx, at, c.n));
            cs_linear_backward_weight(&loss->head, ctx, dz, xc);
        }
    }
    if (saved)
        cs_region_sum(ctx, dx, saved->dx);
    cs_arena_restore(ctx->scratch, mark);
    return total;
}

void cs_loss_backward(const cs_loss *loss, const cs_ctx *ctx, const cs_loss_saved *saved, cs_tensor dx)
{
    (void)loss;
    memcpy(dx.data, saved->dx.data, (size_t)(dx.rows * dx.cols) * cs_dtype_size(ctx->prec.store));
}

void cs_loss_logits(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, void *logits)
{
    cs_linear_forward(&loss->head, ctx, x, cs_tensor_2d(logits, ctx->prec.acc, x.rows, loss->head.w->rows));
}
