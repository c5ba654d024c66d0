/* Logits processors and the draw. The filters find a threshold (score, id) and never reorder the vocabulary, and the draw walks the ids in
 * ascending order: a rounding difference in a logit moves the result of the draw only if the drawn number lies that close to a border. */
#include "infer/sampler.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cs_sampling cs_sampling_default(void)
{
    return (cs_sampling){.temperature = 1.0, .top_k = 50, .top_p = 1.0, .repetition_penalty = 1.0};
}

cs_status cs_sampling_check(const cs_sampling *how, cs_error *err)
{
    cs_error found = {0};
    if (!(how->temperature > 0 || (how->temperature == 0 && !how->do_sample)) || !isfinite(how->temperature))
        cs_fail_also(&found, CS_E_USAGE, "--temperature %g: must be above 0; leave --do-sample out for the most likely token", how->temperature);
    if (how->top_k < 0)
        cs_fail_also(&found, CS_E_USAGE, "--top-k %lld: must be 0 (all tokens) or more", (long long)how->top_k);
    if (!(how->top_p > 0 && how->top_p <= 1))
        cs_fail_also(&found, CS_E_USAGE, "--top-p %g: must be above 0 and at most 1", how->top_p);
    if (!(how->min_p >= 0 && how->min_p <= 1))
        cs_fail_also(&found, CS_E_USAGE, "--min-p %g: must be from 0 to 1", how->min_p);
    if (!(how->repetition_penalty > 0) || !isfinite(how->repetition_penalty))
        cs_fail_also(&found, CS_E_USAGE, "--repetition-penalty %g: must be above 0", how->repetition_penalty);
    return found.status == CS_OK ? CS_OK : cs_fail(err, found.status, "%s", found.msg);
}

cs_status cs_sampler_init(cs_sampler *s, int64_t vocab, cs_error *err)
{
    size_t n = (size_t)vocab;
    *s = (cs_sampler){.vocab = vocab};
    s->score = cs_calloc(n, sizeof *s->score);
    s->kept = cs_calloc(n, sizeof *s->kept);
    s->seen = cs_calloc(n, 1);
    if (s->score && s->kept && s->seen)
        return CS_OK;
    cs_sampler_release(s);
    return cs_fail_nomem(err, n * (sizeof *s->score + sizeof *s->kept + 1), "sampling");
}

void cs_sampler_release(cs_sampler *s)
{
    cs_free(s->score);
    cs_free(s->kept);
    cs_free(s->seen);
    *s = (cs_sampler){0};
}

/* More likely first; lower id first among equals. */
static int by_score(const void *a, const void *b)
{
    const cs_candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Moves the m first of c[0..n) in the order of by_score to the front, in any order (Hoare's selection). */
static void select_first(cs_candidate *c, int64_t n, int64_t m)
{
    int64_t lo = 0, hi = n - 1;
    while (lo < hi && m > 0 && m < n) {
        cs_candidate pivot = c[lo + (hi - lo) / 2];
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (by_score(&c[i], &pivot) < 0)
                i++;
            while (by_score(&c[j], &pivot) > 0)
                j--;
            if (i <= j) {
                cs_candidate t = c[i];
                c[i++] = c[j];
                c[j--] = t;
            }
        }
        if (m - 1 <= j)
            hi = j;
        else if (m - 1 >= i)
            lo = i;
        else
            break;
    }
}

static int64_t gather(cs_sampler *s)
{
    int64_t n = 0;
    for (int64_t v = 0; v < s->vocab; v++)
        if (s->score[v] > -INFINITY)
            s->kept[n++] = (cs_candidate){s->score[v], (int32_t)v};
    return n;
}

static double largest(const cs_sampler *s)
{
    double top = -INFINITY;
    for (int64_t v = 0; v < s->vocab; v++)
        top = s->score[v] > top ? s->score[v] : top;
    return top;
}

static void keep_top_k(cs_sampler *s, int64_t k)
{
    int64_t n = gather(s);
    if (k >= n)
        return;
    select_first(s->kept, n, k);
    double least = INFINITY;
    for (int64_t i = 0; i < k; i++)
        least = s->kept[i].score < least ? s->kept[i].score : least;
    for (int64_t v = 0; v < s->vocab; v++)
        if (s->score[v] < least)
            s->score[v] = -INFINITY;
}

static void keep_top_p(cs_sampler *s, double p)
{
    int64_t n = gather(s), sorted = 0, used = 0;
    double top = largest(s), total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        total += exp(s->kept[i].score - top);
    /* Sorts only as far as the sum needs: the 64 most likely, then 128, .. */
    for (int64_t chunk = 64; used < n && sum < p * total; chunk *= 2) {
        int64_t m = chunk < n - sorted ? chunk : n - sorted;
        select_first(s->kept + sorted, n - sorted, m);
        qsort(s->kept + sorted, (size_t)m, sizeof *s->kept, by_score);
        sorted += m;
        while (used < sorted && sum < p * total)
            sum += exp(s->kept[used++].score - top);
    }
    if (used == 0)
        return;
    cs_candidate last = s->kept[used - 1];
    for (int64_t v = 0; v < s->vocab; v++) {
        cs_candidate c = {s->score[v], (int32_t)v};
        if (by_score(&c, &last) > 0)
            s->score[v] = -INFINITY;
    }
}

static void keep_min_p(cs_sampler *s, double min_p)
{
    double least = largest(s) + log(min_p);
    for (int64_t v = 0; v < s->vocab; v++)
        if (s->score[v] < least)
            s->score[v] = -INFINITY;
}

static void penalise(cs_sampler *s, double penalty, const int32_t *history, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = history[i];
        CS_ASSERT(id >= 0 && id < s->vocab);
        if (s->seen[id])
            continue;
        s->seen[id] = 1;
        s->score[id] = s->score[id] > 0 ? s->score[id] / penalty : s->score[id] * penalty;
    }
    for (size_t i = 0; i < n; i++)
        s->seen[history[i]] = 0;
}

const double *cs_sampler_scores(cs_sampler *s, const cs_sampling *how, const void *logits, cs_dtype type, const int32_t *history, size_t n_history)
{
    CS_ASSERT(type == CS_F32 || type == CS_F64);
    for (int64_t v = 0; v < s->vocab; v++) {
        double x = type == CS_F32 ? (double)((const float *)logits)[v] : ((const double *)logits)[v];
        s->score[v] = isnan(x) ? -INFINITY : x;
    }
    if (how->repetition_penalty != 1.0)
        penalise(s, how->repetition_penalty, history, n_history);
    if (!how->do_sample)
        return s->score;
    if (how->temperature != 1.0)
        for (int64_t v = 0; v < s->vocab; v++)
            s->score[v] /= how->temperature;
    if (how->top_k > 0)
        keep_top_k(s, how->top_k);
    if (how->top_p < 1.0)
        keep_top_p(s, how->top_p);
    if (how->min_p > 0.0)
        keep_min_p(s, how->min_p);
    return s->score;
}

int32_t cs_sampler_next(cs_sampler *s, const cs_sampling *how, const void *logits, cs_dtype type, const int32_t *history, size_t n_history,
                        uint64_t prompt, uint64_t step)
{
    cs_sampler_scores(s, how, logits, type, history, n_history);
    int32_t best = 0;
    for (int64_t v = 1; v < s->vocab; v++)
        if (s->score[v] > s->score[best])
            best = (int32_t)v;
    double top = s->score[best];
    if (!isfinite(top))
        return -1;
    if (!how->do_sample)
        return best;
    double total = 0, sum = 0;
    for (int64_t v = 0; v < s->vocab; v++) {
        s->score[v] = exp(s->score[v] - top);
        total += s->score[v];
    }
    double at = cs_rng_uniform(how->seed, cs_rng_site("infer.sample") + prompt, step) * total;
    for (int64_t v = 0; v < s->vocab; v++) {
        sum += s->score[v];
        if (sum > at && s->score[v] > 0)
            return (int32_t)v;
    }
    return best;
}
