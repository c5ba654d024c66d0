/* The tensor rope_freqs of GGUF files: Llama 3's scaling of the rotation as numbers, one for each pair of a head. */
#ifndef CS_CKPT_GGUF_ROPE_H
#define CS_CKPT_GGUF_ROPE_H

#include "model/spec.h"

/* How much slower each pair turns than without scaling, by s->rope_scaling (llama3): out[head_dim / 2]. */
void cs_gguf_rope_factors(const cs_spec *s, float *out);
/* The other way: finds a llama3 rule that gives factors[head_dim / 2] (to 4e-6 of each, what f32 arithmetic leaves) and sets s->rope_scaling; factors
 * that are all 1 are no scaling. Only original_max_pos : low : high can be known, so low is 1, and 8192 : 1 : 4 is preferred. False when no rule
 * fits; s is unchanged then. */
bool cs_gguf_rope_solve(cs_spec *s, const float *factors);

#endif
