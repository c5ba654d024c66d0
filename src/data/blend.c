/* See blend.h. */
#include "data/blend.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 1024 };

cs_status cs_blend_spec_init(cs_blend_spec *s, const cs_strlist *data_path, cs_error *err)
{
    double sum = 0;
    *s = (cs_blend_spec){0};
    if (data_path->n == 0)
        return cs_fail(err, CS_E_USAGE, "--data-path: missing; give the prefix of a .bin/.idx pair, or weights and prefixes in turn");
    if (data_path->n > 1 && data_path->n % 2 != 0)
        return cs_fail(err, CS_E_USAGE, "--data-path: %zu values; expected one prefix, or weights and prefixes in turn", data_path->n);
    s->weighted = data_path->n > 1;
    s->n = s->weighted ? data_path->n / 2 : 1;
    if (s->n > UINT16_MAX)
        return cs_fail(err, CS_E_USAGE, "--data-path: %zu data sets, at most 65535 can be blended", s->n);
    s->prefix = cs_calloc(s->n, sizeof *s->prefix);
    s->weight = cs_calloc(s->n, sizeof *s->weight);
    cs_status st = s->prefix && s->weight ? CS_OK : cs_fail_nomem(err, s->n * 16, "--data-path");
    for (size_t i = 0; i < s->n && st == CS_OK; i++) {
        s->prefix[i] = data_path->items[s->weighted ? 2 * i + 1 : 0];
        s->weight[i] = 1;
        if (s->weighted && (!cs_parse_real(data_path->items[2 * i], &s->weight[i]) || !(s->weight[i] >= 0) || isinf(s->weight[i])))
            st = cs_fail(err, CS_E_USAGE, "--data-path: '%s' stands where a weight >= 0 is expected (before '%s')", data_path->items[2 * i],
                         s->prefix[i]);
        sum += s->weight[i];
    }
    if (st == CS_OK && !(sum > 0 && !isinf(sum)))
        st = cs_fail(err, CS_E_USAGE, "--data-path: the weights must have a positive sum");
    if (st != CS_OK) {
        cs_blend_spec_release(s);
        return st;
    }
    for (size_t i = 0; i < s->n; i++)
        s->weight[i] /= sum;
    return CS_OK;
}

void cs_blend_spec_release(cs_blend_spec *s)
{
    cs_free((void *)s->prefix);
    cs_free(s->weight);
    *s = (cs_blend_spec){0};
}

int64_t cs_blend_ask(int64_t n, double weight)
{
    return (int64_t)ceil((double)n * weight * 1.005);
}

/* Fills which and before; `given` [n_set] starts at zero. */
static void choose(cs_blend *b, const double *weight, int64_t *given)
{
    for (int64_t i = 0; i < b->size; i++) {
        double at = i > 1 ? (double)i : 1.0, best = 0;
        size_t pick = 0;
        if (i % BLOCK == 0)
            memcpy(b->before + (size_t)(i / BLOCK) * b->n_set, given, b->n_set * sizeof *given);
        for (size_t k = 0; k < b->n_set; k++) {
            double behind = weight[k] * at - (double)given[k];
            if (k == 0 || behind > best) {
                best = behind;
                pick = k;
            }
        }
        b->which[i] = (uint16_t)pick;
        given[pick]++;
    }
}

cs_status cs_blend_init(cs_blend *b, const double *weight, size_t n_set, int64_t size, cs_error *err)
{
    size_t blocks = (size_t)size / BLOCK + 1, counters = 0, bytes = 0;
    double sum = 0;
    *b = (cs_blend){.n_set = n_set, .size = size};
    CS_ASSERT(n_set >= 1 && n_set <= UINT16_MAX && size >= 0);
    double *share = cs_calloc(n_set, sizeof *share);
    int64_t *given = cs_calloc(n_set, sizeof *given);
    if (cs_mul_checked(blocks, n_set, &counters) && cs_mul_checked((size_t)size + 1, sizeof *b->which, &bytes)) {
        b->before = cs_calloc(counters, sizeof *b->before);
        b->which = cs_malloc(bytes);
    }
    bool ok = share && given && b->before && b->which;
    if (ok) {
        for (size_t k = 0; k < n_set; k++)
            sum += weight[k];
        for (size_t k = 0; k < n_set; k++)
            share[k] = weight[k] / sum;
        choose(b, share, given);
    }
    cs_free(share);
    cs_free(given);
    if (ok)
        return CS_OK;
    cs_blend_release(b);
    return cs_fail_nomem(err, bytes, "the blending index");
}

void cs_blend_release(cs_blend *b)
{
    cs_free(b->which);
    cs_free(b->before);
    *b = (cs_blend){0};
}

void cs_blend_at(const cs_blend *b, int64_t i, size_t *set, int64_t *index)
{
    CS_ASSERT(i >= 0 && i < b->size);
    size_t pick = b->which[i];
    int64_t n = b->before[(size_t)(i / BLOCK) * b->n_set + pick];
    for (int64_t j = i / BLOCK * BLOCK; j < i; j++)
        n += b->which[j] == pick;
    *set = pick;
    *index = n;
}
