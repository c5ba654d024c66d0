/* One decoder layer: y = r + mlp(norm2(r)), r = x + out(attention(rope(qkv(norm1(x))))). */
#ifndef CS_MODEL_BLOCK_H
#define CS_MODEL_BLOCK_H

#include "nn/attention.h"
#include "nn/mlp.h"
#include "nn/norm.h"
#include "nn/rope.h"

typedef struct cs_block {
    cs_norm norm1, norm2;
    cs_linear qkv, out;
    cs_attention attention;
    cs_mlp mlp;
    const cs_rope *rope; /* NULL = positions by ALiBi */
} cs_block;

typedef struct cs_block_saved {
    cs_norm_saved norm1, norm2;
    cs_tensor n1; /* input of qkv */
    cs_attention_saved attention;
    cs_mlp_saved mlp;
} cs_block_saved;

/* x, y S [cs_ctx_rows, H]. saved != NULL keeps in ctx->stash what backward needs (x by reference); NULL keeps nothing. */
void cs_block_forward(const cs_block *b, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_block_saved *saved);
/* dx S [cs_ctx_rows, H], overwritten; it may be dy. saved is used up. */
void cs_block_backward(const cs_block *b, const cs_ctx *ctx, cs_tensor dy, cs_block_saved *saved, cs_tensor dx);

#endif
