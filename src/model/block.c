/* The decoder layer, forward and backward mirrored. */
#include "model/block.h"

#include "base/clock.h"

#define SAVED(field) (saved ? &saved->field : NULL)

enum { NORMS, QKV, ATTENTION, UP }; /* of cs_part_times */

/* A tensor that backward wants, unless it is one that is dropped. */
static cs_tensor kept(const cs_block *b, const cs_ctx *ctx, const cs_block_saved *saved, unsigned drop, int64_t rows, int64_t cols)
{
    return cs_ctx_tensor(ctx, saved && !(b->drop & drop) ? ctx->stash : ctx->scratch, rows, cols);
}

static cs_tensor query_and_key(const cs_block *b, cs_tensor qkv)
{
    return cs_tensor_cols(qkv, 0, (b->attention.n_heads + b->attention.n_kv_heads) * b->attention.head_dim);
}

void cs_block_forward(const cs_block *b, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_block_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    int64_t T = ctx->batch->rows, R = x.rows, H = x.cols, width = b->attention.n_heads * b->attention.head_dim;
    cs_tensor n1 = kept(b, ctx, saved, CS_DROP_NORMS, R, H), qkv = kept(b, ctx, saved, CS_DROP_QKV, T, b->qkv.w->rows);
    cs_tensor att = kept(b, ctx, saved, CS_DROP_ATTENTION, T, width), r = kept(b, ctx, saved, 0, R, H), n2 = kept(b, ctx, saved, CS_DROP_NORMS, R, H);

    cs_norm_forward(&b->norm1, ctx, x, n1, SAVED(norm1));
    cs_linear_forward(&b->qkv, ctx, n1, qkv);
    if (b->rope)
        cs_rope_forward(b->rope, ctx, query_and_key(b, qkv));
    cs_attention_forward(&b->attention, ctx, qkv, att, SAVED(attention));
    cs_linear_forward(&b->out, ctx, att, r);
    cs_add(ctx, r, x);
    cs_norm_forward(&b->norm2, ctx, r, n2, SAVED(norm2));
    cs_mlp_forward(&b->mlp, ctx, n2, y, !(b->drop & CS_DROP_UP), SAVED(mlp));
    cs_add(ctx, y, r);

    if (saved)
        saved->n1 = n1;
    cs_arena_restore(ctx->scratch, mark);
}

static void note(const cs_block *b, int part, double *begin)
{
    double now = b->times ? cs_clock_now() : 0;
    if (b->times && b->drop == CS_DROP_PARTS)
        b->times->part[part] += now - *begin;
    *begin = now;
}

/* The dropped tensors of the feed-forward part; the norm's output where its gradient will be, which is written after its last use. */
static void again_mlp(const cs_block *b, const cs_ctx *ctx, cs_block_saved *saved, cs_tensor n2)
{
    double begin = b->times ? cs_clock_now() : 0;
    if (b->drop & CS_DROP_NORMS) {
        cs_norm_again(&b->norm2, ctx, &saved->norm2, n2);
        saved->mlp.x = n2;
    }
    note(b, NORMS, &begin);
    if (b->drop & CS_DROP_UP)
        cs_mlp_again(&b->mlp, ctx, &saved->mlp);
    note(b, UP, &begin);
}

/* Those of the attention part. */
static void again_attention(const cs_block *b, const cs_ctx *ctx, cs_block_saved *saved, cs_tensor n1)
{
    int64_t T = ctx->batch->rows;
    double begin = b->times ? cs_clock_now() : 0;
    if (b->drop & CS_DROP_NORMS) {
        cs_norm_again(&b->norm1, ctx, &saved->norm1, n1);
        saved->n1 = n1;
    }
    note(b, NORMS, &begin);
    if (b->drop & CS_DROP_QKV) {
        cs_tensor qkv = saved->attention.qkv = cs_ctx_tensor(ctx, ctx->scratch, T, b->qkv.w->rows);
        cs_linear_forward(&b->qkv, ctx, saved->n1, qkv);
        if (b->rope)
            cs_rope_forward(b->rope, ctx, query_and_key(b, qkv));
    }
    note(b, QKV, &begin);
    if (b->drop & CS_DROP_ATTENTION)
        cs_attention_again(&b->attention, ctx, &saved->attention,
                           cs_ctx_tensor(ctx, ctx->scratch, T, b->attention.n_heads * b->attention.head_dim));
    note(b, ATTENTION, &begin);
    if (b->times && b->drop == CS_DROP_PARTS)
        b->times->n_parts++;
}

void cs_block_backward(const cs_block *b, const cs_ctx *ctx, cs_tensor dy, cs_block_saved *saved, cs_tensor dx)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    int64_t T = ctx->batch->rows, R = dy.rows, H = dy.cols, width = b->attention.n_heads * b->attention.head_dim;
    cs_tensor dr = cs_ctx_tensor(ctx, ctx->scratch, R, H), datt = cs_ctx_tensor(ctx, ctx->scratch, T, width);
    cs_tensor dqkv = cs_ctx_tensor(ctx, ctx->scratch, T, b->qkv.w->rows);

    cs_arena_mark before = cs_arena_save(ctx->scratch);
    again_mlp(b, ctx, saved, dr);
    cs_mlp_backward(&b->mlp, ctx, dy, &saved->mlp, dr);                     /* forward: mlp(n2) -> y, y += r */
    cs_arena_restore(ctx->scratch, before);
    cs_norm_backward(&b->norm2, ctx, dr, &saved->norm2, dr);                /* forward: norm2(r) -> n2 */
    cs_add(ctx, dr, dy);                                                    /* the residual's share */
    again_attention(b, ctx, saved, dx);                                     /* dy, which dx may be, is not read any more */
    cs_tensor whole = cs_linear_output_grad(&b->out, ctx, dr);
    cs_linear_backward_weight(&b->out, ctx, whole, saved->attention.out);   /* forward: out(att) -> r, r += x */
    cs_linear_backward_input(&b->out, ctx, whole, datt);
    cs_attention_backward(&b->attention, ctx, datt, &saved->attention, dqkv); /* forward: attention(qkv) -> att */
    if (b->rope)
        cs_rope_backward(b->rope, ctx, query_and_key(b, dqkv));             /* forward: rope(q, k) */
    cs_linear_backward_weight(&b->qkv, ctx, dqkv, saved->n1);               /* forward: qkv(n1) -> qkv */
    cs_linear_backward_input(&b->qkv, ctx, dqkv, dx);
    cs_norm_backward(&b->norm1, ctx, dx, &saved->norm1, dx);                /* forward: norm1(x) -> n1 */
    cs_add(ctx, dx, dr);                                                    /* the residual's share */

    cs_arena_restore(ctx->scratch, mark);
}
