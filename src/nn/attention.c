/* Attention module: lays the batch's borders and the cache out for the kernel. */
#include "nn/attention.h"

#include <math.h>
#include <string.h>

void cs_alibi_slopes(int64_t n_heads, double *slope)
{
    int64_t n = 1;
    while (2 * n <= n_heads)
        n *= 2;
    for (int64_t h = 0; h < n_heads; h++)
        slope[h] = h < n ? exp2(-8.0 * (double)(h + 1) / (double)n) : exp2(-4.0 * (double)(2 * (h - n) + 1) / (double)n);
}

/* The kernel's arguments for keys and values inside qkv itself; pointer arrays in scratch. */
static cs_attn describe(const cs_attention *att, const cs_ctx *ctx, cs_tensor qkv, cs_tensor out)
{
    const cs_batch *b = ctx->batch;
    int64_t d = att->head_dim;
    const void **k = cs_arena_must(ctx->scratch, (size_t)b->n_seq * sizeof *k), **v = cs_arena_must(ctx->scratch, (size_t)b->n_seq * sizeof *v);
    int64_t *n_keys = cs_arena_must(ctx->scratch, (size_t)b->n_seq * sizeof *n_keys);
    cs_tensor keys = cs_tensor_cols(qkv, att->n_heads * d, att->n_kv_heads * d);
    cs_tensor values = cs_tensor_cols(qkv, (att->n_heads + att->n_kv_heads) * d, att->n_kv_heads * d);
    for (int64_t s = 0; s < b->n_seq; s++) {
        k[s] = cs_tensor_rows(keys, b->seq_start[s], 0).data;
        v[s] = cs_tensor_rows(values, b->seq_start[s], 0).data;
        n_keys[s] = b->seq_start[s + 1] - b->seq_start[s];
    }
    return (cs_attn){.n_seq = b->n_seq, .n_heads = att->n_heads, .n_kv_heads = att->n_kv_heads, .head_dim = d, .q_start = b->seq_start,
                     .n_keys = n_keys, .q = qkv.data, .ldq = qkv.ld, .k = k, .v = v, .k_ld = qkv.ld, .k_head = d,
                     .scale = 1.0 / sqrt((double)d), .alibi = att->alibi, .window = att->window, .out = out.data, .ld_out = out.ld};
}

/* Copies the new rows behind the cached ones and points the kernel at the cache. */
static void use_cache(const cs_attention *att, const cs_ctx *ctx, cs_attn *a)
{
    const cs_kv *kv = ctx->kv;
    size_t elem = cs_dtype_size(ctx->prec.store), head_bytes = (size_t)att->head_dim * elem;
    const void **k = (const void **)a->k, **v = (const void **)a->v;
    int64_t *n_keys = (int64_t *)a->n_keys;
    for (int64_t s = 0; s < a->n_seq; s++) {
        char *k_cache = kv->k[att->layer * kv->n_seq + s], *v_cache = kv->v[att->layer * kv->n_seq + s];
        for (int64_t i = 0; i < n_keys[s]; i++) {
            for (int64_t g = 0; g < att->n_kv_heads; g++) {
                size_t to = (size_t)((kv->n_past[s] + i) * kv->ld + g * kv->head) * elem;
                size_t from = (size_t)(i * a->k_ld + g * a->k_head) * elem;
                memcpy(k_cache + to, (const char *)k[s] + from, head_bytes);
                memcpy(v_cache + to, (const char *)v[s] + from, head_bytes);
            }
        }
        k[s] = k_cache;
        v[s] = v_cache;
        n_keys[s] += kv->n_past[s];
    }
    a->k_ld = kv->ld;
    a->k_head = kv->head;
}

void cs_attention_forward(const cs_attention *att, const cs_ctx *ctx, cs_tensor qkv, cs_tensor out, cs_attention_saved *saved)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_attn a = describe(att, ctx, qkv, out);
    if (ctx->kv) {
        CS_ASSERT(!saved && ctx->kv->n_seq == a.n_seq);
        use_cache(att, ctx, &a);
    }
    if (saved) {
        a.lse = cs_arena_must(ctx->stash, (size_t)(att->n_heads * qkv.rows) * cs_dtype_size(ctx->prec.acc));
        *saved = (cs_attention_saved){qkv, out, a.lse};
    }
    ctx->k->attn_fwd(&a);
    cs_arena_restore(ctx->scratch, mark);
}

void cs_attention_again(const cs_attention *att, const cs_ctx *ctx, cs_attention_saved *saved, cs_tensor out)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_attn a = describe(att, ctx, saved->qkv, out);
    a.lse = saved->lse; /* gets the values that it has */
    ctx->k->attn_fwd(&a);
    saved->out = out;
    cs_arena_restore(ctx->scratch, mark);
}

void cs_attention_backward(const cs_attention *att, const cs_ctx *ctx, cs_tensor dout, const cs_attention_saved *saved, cs_tensor dqkv)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    int64_t d = att->head_dim;
    cs_attn a = describe(att, ctx, saved->qkv, saved->out);
    a.lse = saved->lse;
    cs_attn_grad g = {.fwd = &a, .dout = dout.data, .ld_dout = dout.ld, .dq = dqkv.data, .ld_dq = dqkv.ld,
                      .dk = cs_tensor_cols(dqkv, att->n_heads * d, 0).data,
                      .dv = cs_tensor_cols(dqkv, (att->n_heads + att->n_kv_heads) * d, 0).data, .ld_dkv = dqkv.ld,
                      .work = cs_arena_must(ctx->scratch, ctx->k->attn_work_bytes(dout.rows, att->n_heads, att->n_kv_heads, d))};
    ctx->k->attn_bwd(&g);
    cs_arena_restore(ctx->scratch, mark);
}
