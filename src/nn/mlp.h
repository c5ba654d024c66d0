/* Feed-forward: y = down(act(up(x))). SwiGLU (Shazeer 2020): act is silu(gate) * up with gate and up in one product; GELU: act is gelu of one
 * projection. F ffn width, U rows of the first matrix (2F for SwiGLU, F for GELU). */
#ifndef CS_NN_MLP_H
#define CS_NN_MLP_H

#include "nn/linear.h"

typedef enum cs_act { CS_ACT_SWIGLU, CS_ACT_GELU } cs_act;

typedef struct cs_mlp {
    cs_act act;
    cs_linear up, down; /* up: gate | up for SwiGLU */
    int64_t ffn;
} cs_mlp;

typedef struct cs_mlp_saved {
    cs_tensor x, u; /* x by reference, u [T, U] before the activation; act(u) is computed again in backward */
} cs_mlp_saved;

/* x, y S [T, H]; y overwritten. keep_u false: saved->u is left without data, and cs_mlp_again makes it before backward. */
void cs_mlp_forward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor x, cs_tensor y, bool keep_u, cs_mlp_saved *saved);
/* saved->u once more, bit for bit, from saved->x; in ctx->scratch. */
void cs_mlp_again(const cs_mlp *mlp, const cs_ctx *ctx, cs_mlp_saved *saved);
/* dx S [T, H], overwritten. saved->u is used up (it becomes its own gradient). */
void cs_mlp_backward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor dy, cs_mlp_saved *saved, cs_tensor dx);

#endif
