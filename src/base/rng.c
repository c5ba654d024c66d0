/* Philox draws on top of Random123's block function. */
#include "base/rng.h"

#include <Random123/philox.h>
#include <math.h>

void cs_rng_block(uint64_t seed, uint64_t site, uint64_t index, uint32_t out[4])
{
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t ctr = {{(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)site, (uint32_t)(site >> 32)}};
    philox4x32_ctr_t r = philox4x32_R(10, ctr, key);
    for (int i = 0; i < 4; i++)
        out[i] = r.v[i];
}

uint64_t cs_rng_site(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

static double unit(uint32_t hi, uint32_t lo)
{
    return (double)(((uint64_t)hi << 32 | lo) >> 11) * 0x1p-53;
}

double cs_rng_uniform(uint64_t seed, uint64_t site, uint64_t index)
{
    uint32_t w[4];
    cs_rng_block(seed, site, index, w);
    return unit(w[0], w[1]);
}

double cs_rng_normal(uint64_t seed, uint64_t site, uint64_t index)
{
    uint32_t w[4];
    cs_rng_block(seed, site, index / 2, w);
    double r = sqrt(-2.0 * log(1.0 - unit(w[0], w[1])));
    double a = 6.283185307179586 * unit(w[2], w[3]);
    return index % 2 ? r * sin(a) : r * cos(a);
}
