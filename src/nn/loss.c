/* Head + cross-entropy, chunked. */
#include "nn/loss.h"

#include <string.h>

enum { CHUNK_BYTES = 64 << 20 }; /* of one chunk of logits; cut by sizes only, so results do not depend on threads */

int64_t cs_loss_chunk_rows(int64_t T, int64_t V, cs_dtype acc)
{
    int64_t n = CHUNK_BYTES / (V * (int64_t)cs_dtype_size(acc));
    n = n < 16 ? 16 : n / 16 * 16;
    return n < T ? n : T;
}

double cs_loss_forward(const cs_loss *loss, const cs_ctx *ctx, cs_tensor x, double scale, cs_loss_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    const cs_batch *b = ctx->batch;
    int64_t T = x.rows, V = loss->head.w->rows, step = cs_loss_chunk_rows(T, V, ctx->prec.acc);
    int64_t ldd = V * (int64_t)(cs_dtype_size(ctx->prec.acc) / cs_dtype_size(ctx->prec.store));
    void *logits = cs_arena_must(ctx->scratch, (size_t)(step * V) * cs_dtype_size(ctx->prec.acc));
    double *row_loss = cs_arena_must(ctx->scratch, (size_t)step * sizeof *row_loss), sum = 0;
    if (saved)
        saved->dx = cs_ctx_tensor(ctx, ctx->stash, T, x.cols);
    for (int64_t at = 0; at < T; at += step) {
        int64_t n = T - at < step ? T - at : step;
        cs_tensor xc = cs_tensor_rows(x, at, n), z = {logits, ctx->prec.acc, n, V, V}, dz = {logits, ctx->prec.store, n, V, ldd};
        cs_linear_forward(&loss->head, ctx, xc, z);
        ctx->k->cross_entropy(n, V, logits, b->labels + at, b->weights + at, scale, row_loss, saved ? logits : NULL, ldd);
        for (int64_t i = 0; i < n; i++)
            sum += row_loss[i];
        if (saved) {
            cs_linear_backward_input(&loss->head, ctx, dz, cs_tensor_rows(saved->dx, at, n));
            cs_linear_backward_weight(&loss->head, ctx, dz, xc);
        }
    }
    cs_arena_restore(ctx->scratch, mark);
    return sum;
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
