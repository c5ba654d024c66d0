/* One decoder layer: y = r + mlp(norm2(r)), r = x + out(attention(rope(qkv(norm1(x))))). */
#ifndef CS_MODEL_BLOCK_H
#define CS_MODEL_BLOCK_H

#include "nn/attention.h"
#include "nn/mlp.h"
#include "nn/norm.h"
#include "nn/rope.h"

/* What a layer's forward pass need not keep, because backward can compute it again from what is kept. Bits of cs_block.drop. */
enum {
    CS_DROP_NORMS = 1,     /* the outputs of both norms; two norms more */
    CS_DROP_QKV = 2,       /* queries, keys and values; one product more */
    CS_DROP_ATTENTION = 4, /* what attention puts out (its logsumexp stays); one attention more */
    CS_DROP_UP = 8,        /* the first product of the feed-forward part; one more */
    CS_DROP_PARTS = 15,    /* all of these; the input and the residual sum behind attention stay */
    CS_DROP_LAYER = 16     /* everything but the input: the layer runs again as a whole (model/stage.c); alone */
};

/* Seconds of computing a layer: of the parts in the order of the bits above, as backward makes them again, and of a forward pass. Sums of n_parts and
 * n_layers of them, or means. */
enum { CS_PARTS = 4 };
typedef struct cs_part_times {
    double part[CS_PARTS], layer;
    int64_t n_parts, n_layers;
} cs_part_times;

typedef struct cs_block {
    unsigned drop;        /* not to be changed between forward and backward */
    cs_part_times *times; /* sums, of backward passes of layers that drop all parts; NULL = nobody measures */
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

/* x, y S [cs_ctx_rows, H]. saved != NULL keeps in ctx->stash what backward needs (x by reference) less what b->drop says; NULL keeps nothing. */
void cs_block_forward(const cs_block *b, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_block_saved *saved);
/* dx S [cs_ctx_rows, H], overwritten; it may be dy. saved is used up. */
void cs_block_backward(const cs_block *b, const cs_ctx *ctx, cs_tensor dy, cs_block_saved *saved, cs_tensor dx);

#endif
