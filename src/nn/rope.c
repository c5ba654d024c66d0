/* Rotary position module. */
#include "nn/rope.h"

#include <math.h>

/* Radians per position of pair i of D/2. */
static double frequency(const cs_rope_scaling *s, double base, int64_t i, int64_t head_dim)
{
    double f = pow(base, -2.0 * (double)i / (double)head_dim);
    if (s->rule == CS_ROPE_PLAIN)
        return f;
    if (s->rule == CS_ROPE_LINEAR)
        return f / s->factor;
    double turns = (double)s->original_max_pos * f / (2 * acos(-1.0)); /* within the original context */
    if (turns <= s->low_freq_factor)
        return f / s->factor;
    if (turns >= s->high_freq_factor)
        return f;
    double keep = (turns - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
    return (1 - keep) * f / s->factor + keep * f;
}

cs_status cs_rope_init(cs_rope *rope, int64_t n_pos, int64_t head_dim, double base, const cs_rope_scaling *scaling, cs_precision prec,
                       cs_arena *arena, cs_error *err)
{
    int64_t half = head_dim / 2;
    size_t bytes = (size_t)(n_pos * half) * cs_dtype_size(prec.acc);
    *rope = (cs_rope){cs_arena_alloc(arena, bytes), cs_arena_alloc(arena, bytes), n_pos, head_dim};
    if (!rope->cos_table || !rope->sin_table)
        return cs_fail_nomem(err, 2 * bytes, "rotary tables");
    for (int64_t i = 0; i < half; i++) {
        double rate = frequency(scaling, base, i, head_dim);
        for (int64_t p = 0; p < n_pos; p++) {
            double angle = (double)p * rate;
            if (prec.acc == CS_F64) {
                ((double *)rope->cos_table)[p * half + i] = cos(angle);
                ((double *)rope->sin_table)[p * half + i] = sin(angle);
            } else {
                ((float *)rope->cos_table)[p * half + i] = (float)cos(angle);
                ((float *)rope->sin_table)[p * half + i] = (float)sin(angle);
            }
        }
    }
    return CS_OK;
}

void cs_rope_forward(const cs_rope *rope, const cs_ctx *ctx, cs_tensor x)
{
    ctx->k->rope(x.rows, x.cols / rope->head_dim, rope->head_dim, x.data, x.ld, ctx->batch->pos, rope->cos_table, rope->sin_table, 1);
}

void cs_rope_backward(const cs_rope *rope, const cs_ctx *ctx, cs_tensor dx)
{
    ctx->k->rope(dx.rows, dx.cols / rope->head_dim, rope->head_dim, dx.data, dx.ld, ctx->batch->pos, rope->cos_table, rope->sin_table, -1);
}
