/* See mt19937.h. */
#include "data/mt19937.h"

enum { N = 624, M = 397 };

void cs_mt19937_init(cs_mt19937 *g, uint32_t seed)
{
    g->state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        g->state[i] = 1812433253u * (g->state[i - 1] ^ (g->state[i - 1] >> 30)) + i;
    g->next = N;
}

static void refill(cs_mt19937 *g)
{
    uint32_t *s = g->state;
    for (int i = 0; i < N; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
        s[i] = s[(i + M) % N] ^ (y >> 1) ^ ((y & 1u) ? 0x9908b0dfu : 0u);
    }
    g->next = 0;
}

uint32_t cs_mt19937_u32(cs_mt19937 *g)
{
    if (g->next == N)
        refill(g);
    uint32_t y = g->state[g->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint64_t cs_mt19937_below(cs_mt19937 *g, uint64_t max)
{
    uint64_t mask = max, v;
    for (int shift = 1; shift < 64; shift *= 2)
        mask |= mask >> shift;
    do {
        if (max <= UINT32_MAX) {
            v = cs_mt19937_u32(g) & mask;
        } else {
            uint64_t high = cs_mt19937_u32(g);
            v = (high << 32 | cs_mt19937_u32(g)) & mask;
        }
    } while (v > max);
    return v;
}

/* The same loop for three element types. */
#define SHUFFLE(type)                                                \
    for (int64_t i = n - 1; i > 0; i--) {                            \
        int64_t j = (int64_t)cs_mt19937_below(g, (uint64_t)i);       \
        type t = v[i];                                               \
        v[i] = v[j];                                                 \
        v[j] = t;                                                    \
    }

void cs_mt19937_shuffle_i32(cs_mt19937 *g, int32_t *v, int64_t n)
{
    SHUFFLE(int32_t)
}

void cs_mt19937_shuffle_u32(cs_mt19937 *g, uint32_t *v, int64_t n)
{
    SHUFFLE(uint32_t)
}

void cs_mt19937_shuffle_i64(cs_mt19937 *g, int64_t *v, int64_t n)
{
    SHUFFLE(int64_t)
}

void cs_torch_randperm(uint64_t seed, int64_t *v, int64_t n)
{
    cs_mt19937 g;
    cs_mt19937_init(&g, (uint32_t)seed);
    for (int64_t i = 0; i < n; i++)
        v[i] = i;
    for (int64_t i = 0; i + 1 < n; i++) {
        int64_t j = i + (int64_t)(cs_mt19937_u32(&g) % (uint64_t)(n - i)), t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}
