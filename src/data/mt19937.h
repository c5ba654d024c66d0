/* MT19937 (Matsumoto and Nishimura 1998) with init_genrand, and the shuffles of numpy's legacy RandomState and of torch.randperm on top of it:
 * the sample order of Megatron is theirs, draw for draw. */
#ifndef CS_DATA_MT19937_H
#define CS_DATA_MT19937_H

#include <stdint.h>

typedef struct cs_mt19937 {
    uint32_t state[624];
    int next;
} cs_mt19937;

void cs_mt19937_init(cs_mt19937 *g, uint32_t seed);
uint32_t cs_mt19937_u32(cs_mt19937 *g);
/* Uniform in 0..max: draws masked to the bits of max until one is not above it (32-bit draws, 64-bit ones for max >= 2^32, high word first). */
uint64_t cs_mt19937_below(cs_mt19937 *g, uint64_t max);

/* RandomState.shuffle: for i = n-1 .. 1 swap v[i] with v[below(i)]. */
void cs_mt19937_shuffle_i32(cs_mt19937 *g, int32_t *v, int64_t n);
void cs_mt19937_shuffle_u32(cs_mt19937 *g, uint32_t *v, int64_t n);
void cs_mt19937_shuffle_i64(cs_mt19937 *g, int64_t *v, int64_t n);

/* torch.randperm(n) of a CPU generator seeded with `seed`: for i = 0 .. n-2 swap v[i] with v[i + u32 % (n - i)]. n < 2^32 / 20. */
void cs_torch_randperm(uint64_t seed, int64_t *v, int64_t n);

#endif
