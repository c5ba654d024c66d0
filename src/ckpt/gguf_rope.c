/* Llama 3's scaling and the factors that it gives. Between the pairs that keep their speed and those that turn `factor` times slower, 1 / factors[i]
 * is linear in the turns that pair i makes in the original context: two such pairs give the rule. */
#include "ckpt/gguf_rope.h"

#include <math.h>

/* Turns of pair i per position. */
static double speed(const cs_spec *s, int64_t i)
{
    return pow(s->rope_theta, -2.0 * (double)i / (double)s->head_dim) / (2 * acos(-1.0));
}

static double factor_of(const cs_spec *s, const cs_rope_scaling *r, int64_t i)
{
    double turns = (double)r->original_max_pos * speed(s, i);
    double keep = (turns - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return turns <= r->low_freq_factor ? r->factor : turns >= r->high_freq_factor ? 1 : 1 / ((1 - keep) / r->factor + keep);
}

void cs_gguf_rope_factors(const cs_spec *s, float *out)
{
    for (int64_t i = 0; i < s->head_dim / 2; i++)
        out[i] = (float)factor_of(s, &s->rope_scaling, i);
}

static bool fits(cs_spec *s, const float *factors, double factor, double high, double original)
{
    cs_rope_scaling r = {CS_ROPE_LLAMA3, factor, 1, high, 0};
    if (!(factor >= 1 && high > 1 && original >= 0.5 && original < 1e12))
        return false;
    r.original_max_pos = llround(original);
    for (int64_t i = 0; i < s->head_dim / 2; i++)
        if (!(fabs(factor_of(s, &r, i) - (double)factors[i]) <= 4e-6 * (double)factors[i]))
            return false;
    s->rope_scaling = r;
    return true;
}

/* Through the pairs between the borders; `factor` is that of the slowest. */
static bool solve(cs_spec *s, const float *factors, double factor)
{
    int64_t n = s->head_dim / 2, first = n, last = -1;
    for (int64_t i = 0; i < n; i++) {
        if ((double)factors[i] > 1 && (double)factors[i] < factor) {
            first = first == n ? i : first;
            last = i;
        }
    }
    if (last < 0) { /* one step: anything between its two sides */
        int64_t k = 0;
        while (k < n && factors[k] == 1)
            k++;
        return fits(s, factors, factor, 4, k > 0 ? ceil(4 / speed(s, k - 1)) : floor(1 / speed(s, 0)));
    }
    double slow = 1 / factor, y = 1 / (double)factors[last], u = speed(s, last), width = 3; /* width: high - low */
    double slope = (y - slow + (1 - slow) / width) / u;                                        /* one pair: with high = 4 */
    if (first < last) {
        slope = (1 / (double)factors[first] - y) / (speed(s, first) - u);
        double low = slow - (y - slope * u); /* (1 - slow) / width */
        width = round((1 - slow) / low * 1e4) / 1e4;
    }
    return fits(s, factors, factor, 1 + width, slope * width / (1 - slow));
}

bool cs_gguf_rope_solve(cs_spec *s, const float *factors)
{
    int64_t n = s->head_dim / 2;
    static const double usual[] = {8, 32, 2, 4, 16, 64};
    bool plain = true;
    for (int64_t i = 0; i < n; i++) {
        plain = plain && factors[i] == 1;
        if (!isfinite(factors[i]))
            return false;
    }
    if (plain || n == 0)
        return true;
    double factor = (double)factors[n - 1]; /* unless even the slowest pair is between the borders */
    if (fits(s, factors, factor, 4, 8192) || solve(s, factors, factor))
        return true;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (fits(s, factors, usual[i], 4, 8192) || solve(s, factors, usual[i]))
            return true;
    return false;
}
