/* Rotary positions (Su et al. 2021), halves rotated as Hugging Face does:
 * (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), angle = pos * base^(-2i/D). */
#ifndef CS_NN_ROPE_H
#define CS_NN_ROPE_H

#include "nn/ctx.h"

/* How long contexts slow the rotation down. LINEAR: every frequency / factor. LLAMA3 (Llama 3.1's rule): frequencies whose wave length in positions
 * is above original_max_pos / low_freq_factor are divided, those below original_max_pos / high_freq_factor stay, those between are blended. */
typedef enum cs_rope_rule { CS_ROPE_PLAIN, CS_ROPE_LINEAR, CS_ROPE_LLAMA3 } cs_rope_rule;
typedef struct cs_rope_scaling {
    cs_rope_rule rule;
    double factor, low_freq_factor, high_freq_factor;
    int64_t original_max_pos;
} cs_rope_scaling;

typedef struct cs_rope {
    void *cos_table, *sin_table; /* A [n_pos, D/2], computed in f64 */
    int64_t n_pos, head_dim;
} cs_rope;

/* Tables in `arena`. CS_E_NOMEM. */
cs_status cs_rope_init(cs_rope *rope, int64_t n_pos, int64_t head_dim, double base, const cs_rope_scaling *scaling, cs_precision prec,
                       cs_arena *arena, cs_error *err);
/* Rotates the heads of x [T, n*D] in place by the batch's positions. */
void cs_rope_forward(const cs_rope *rope, const cs_ctx *ctx, cs_tensor x);
/* The transposed rotation, in place. */
void cs_rope_backward(const cs_rope *rope, const cs_ctx *ctx, cs_tensor dx);

#endif
