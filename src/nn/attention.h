/* Causal self-attention over the sequences of the batch; query groups share key heads. Never forms T x T: keeps out and logsumexp. */
#ifndef CS_NN_ATTENTION_H
#define CS_NN_ATTENTION_H

#include "nn/ctx.h"

typedef struct cs_attention {
    int64_t n_heads, n_kv_heads, head_dim;
    int64_t layer; /* index into the key-value cache */
    const double *alibi; /* slope of each query head [n_heads]; NULL = none */
    int64_t window;      /* positions that a query sees, 0 = all */
} cs_attention;

typedef struct cs_attention_saved {
    cs_tensor qkv, out; /* by reference, after rotation */
    void *lse;          /* A [n_heads, T] */
} cs_attention_saved;

/* Slopes of ALiBi for any number of heads, as the paper's code and BLOOM have them: powers of 2^(-8/n) for the largest power of two n that is not
 * above n_heads, then every other power of 2^(-4/n). slope [n_heads]. */
void cs_alibi_slopes(int64_t n_heads, double *slope);

/* qkv S [T, (n_heads + 2 n_kv_heads) D] = q | k | v, rotated; out S [T, n_heads D], overwritten.
 * With ctx->kv the new keys and values are appended to the cache and all cached positions are seen; then saved must be NULL. */
void cs_attention_forward(const cs_attention *att, const cs_ctx *ctx, cs_tensor qkv, cs_tensor out, cs_attention_saved *saved);
/* The out of that forward pass once more, bit for bit, from saved->qkv; it becomes saved->out. */
void cs_attention_again(const cs_attention *att, const cs_ctx *ctx, cs_attention_saved *saved, cs_tensor out);
/* dqkv as qkv, overwritten. */
void cs_attention_backward(const cs_attention *att, const cs_ctx *ctx, cs_tensor dout, const cs_attention_saved *saved, cs_tensor dqkv);

#endif
