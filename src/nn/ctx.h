/* What every module's forward and backward get besides their own operands. Borrowed pointers, passed down, never global. */
#ifndef CS_NN_CTX_H
#define CS_NN_CTX_H

#include "base/mem.h"
#include "base/timeline.h"
#include "comm/mesh.h"
#include "data/batch.h"
#include "tensor/kernels.h"

/* Cached keys and values of the sequences of one forward call, seen by attention only. Sequence s of the batch has n_past[s] positions in
 * the cache before the call; attention writes its new rows behind them and attends to all. Whoever owns the cache advances n_past after the forward.
 * Element (position p, kv head g, d) of layer l, sequence s: k[l*n_seq + s] + p*ld + g*head + d. Room for n_past + new rows is the owner's duty. */
typedef struct cs_kv {
    int64_t n_seq;
    const int64_t *n_past; /* [n_seq] */
    void *const *k;
    void *const *v; /* [n_layers * n_seq] */
    int64_t ld, head;
} cs_kv;

typedef struct cs_ctx {
    const cs_kernels *k;
    cs_precision prec;
    const cs_mesh *mesh;
    bool sequence_parallel; /* norms, residuals and what they keep: this rank's rows of the batch only */
    const cs_batch *batch;
    const cs_kv *kv;   /* NULL = no cache */
    cs_arena *scratch; /* temporaries of one call */
    cs_timeline *timeline; /* NULL = nobody records */
    cs_arena *stash;   /* what forward keeps for backward; NULL = keep nothing (eval, decode) */
} cs_ctx;

/* Row of the batch at which the share of tensor parallel rank r begins under sequence parallelism (r == size: the end). */
static inline int64_t cs_ctx_first_row(const cs_ctx *ctx, int r)
{
    return ctx->batch->rows * r / ctx->mesh->size[CS_AXIS_TP];
}

/* Rows of tensors that are whole: of the residual stream and the norms. */
static inline int64_t cs_ctx_rows(const cs_ctx *ctx)
{
    int rank = ctx->mesh->coord[CS_AXIS_TP];
    return ctx->sequence_parallel ? cs_ctx_first_row(ctx, rank + 1) - cs_ctx_first_row(ctx, rank) : ctx->batch->rows;
}

/* New tensor [rows, cols] of the store type in the given arena, undefined content. */
static inline cs_tensor cs_ctx_tensor(const cs_ctx *ctx, cs_arena *arena, int64_t rows, int64_t cols)
{
    size_t bytes = (size_t)rows * (size_t)cols * cs_dtype_size(ctx->prec.store);
    return cs_tensor_2d(cs_arena_must(arena, bytes), ctx->prec.store, rows, cols);
}

/* Where a value goes that backward wants: the stash, or scratch when nothing is kept. */
static inline cs_arena *cs_ctx_keep(const cs_ctx *ctx)
{
    return ctx->stash ? ctx->stash : ctx->scratch;
}

/* Residual sum, y += x; both contiguous. */
static inline void cs_add(const cs_ctx *ctx, cs_tensor y, cs_tensor x)
{
    ctx->k->add(y.rows * y.cols, y.data, x.data);
}

#endif
