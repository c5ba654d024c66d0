/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * A draw is a pure function of (seed, site, index): no state, nothing to save, the same in every layout.
 * `site` names the use: cs_rng_site("model.layers.0.self_attn.q_proj.weight"), or a number made by the caller. */
#ifndef CS_BASE_RNG_H
#define CS_BASE_RNG_H

#include <stdint.h>

/* Four 32-bit words for block `index` of (seed, site). */
void cs_rng_block(uint64_t seed, uint64_t site, uint64_t index, uint32_t out[4]);
/* FNV-1a 64 of the name. */
uint64_t cs_rng_site(const char *name);
/* Uniform in [0, 1), 53 bits. */
double cs_rng_uniform(uint64_t seed, uint64_t site, uint64_t index);
/* Standard normal, Box-Muller in f64; element `index` uses half of block index/2. */
double cs_rng_normal(uint64_t seed, uint64_t site, uint64_t index);

#endif
