/* SwiGLU feed-forward (Shazeer 2020): y = down(silu(gate(x)) * up(x)), gate and up in one product. F ffn width. */
#ifndef CS_NN_MLP_H
#define CS_NN_MLP_H

#include "nn/linear.h"

typedef struct cs_mlp {
    cs_linear gate_up, down;
    int64_t ffn;
} cs_mlp;

typedef struct cs_mlp_saved {
    cs_tensor x, gu; /* x by reference, gu [T, 2F] = gate | up; the product h is computed again in backward */
} cs_mlp_saved;

/* x, y S [T, H]; y overwritten. */
void cs_mlp_forward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor x, cs_tensor y, cs_mlp_saved *saved);
/* dx S [T, H], overwritten. saved->gu is used up (it becomes its own gradient). */
void cs_mlp_backward(const cs_mlp *mlp, const cs_ctx *ctx, cs_tensor dy, cs_mlp_saved *saved, cs_tensor dx);

#endif
