/* The rules of layouts. */
#include "parallel/layout.h"

#include "base/mem.h"
#include "fmt/limits.h"

#include <stdarg.h>
#include <stdio.h>

enum { MOST_RANKS = 1 << 20, LISTED = 12 };
static const int64_t MOST_SAMPLES = (int64_t)1 << 40;

static void rule(cs_error *err, bool broken, const char *fmt, ...) CS_PRINTF(3, 4);
static void rule(cs_error *err, bool broken, const char *fmt, ...)
{
    char line[400];
    va_list args;
    if (!broken)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    cs_fail_also(err, CS_E_USAGE, "%s", line);
}

typedef struct values {
    char text[200];
} values;

/* "1, 2, 4, 8": the divisors of n, which every rule of the form n % x allows. */
static values divisors(int64_t n)
{
    values v = {""};
    size_t used = 0;
    int listed = 0;
    for (int64_t i = 1; i <= n && i <= MOST_RANKS && listed <= LISTED; i++)
        if (n % i == 0)
            used += (size_t)snprintf(v.text + used, sizeof v.text - used, listed++ == LISTED ? ", .." : listed > 1 ? ", %lld" : "%lld", (long long)i);
    return v;
}

static void check_ranks(cs_layout *l, cs_error *err)
{
    int64_t model = l->tp * l->pp;
    bool fits = model > 0 && model <= MOST_RANKS && l->world > 0 && l->world % model == 0;
    rule(err, model > MOST_RANKS || l->world > MOST_RANKS, "more than %d ranks: --world-size %lld, TP x PP = %lld", MOST_RANKS, (long long)l->world,
         (long long)model);
    rule(err, model <= MOST_RANKS && !fits, "--world-size %lld must be TP x PP x DP, a multiple of %lld x %lld = %lld", (long long)l->world,
         (long long)l->tp, (long long)l->pp, (long long)model);
    l->dp = fits ? l->world / model : 0;
    rule(err, l->zero >= 2 && l->pp > 1, "--zero-stage %lld with --pipeline-model-parallel-size %lld: legal with a pipeline: 0, 1",
         (long long)l->zero, (long long)l->pp);
    rule(err, l->virtual_layers > 0 && l->pp < 2,
         "--num-layers-per-virtual-pipeline-stage %lld needs --pipeline-model-parallel-size of 2 or more", (long long)l->virtual_layers);
}

static void check_batch(cs_layout *l, cs_error *err)
{
    int64_t step = l->micro_batch * l->dp;
    if (l->dp == 0)
        return;
    if (l->global_batch == 0)
        l->global_batch = step;
    rule(err, l->global_batch % step != 0, "--global-batch-size %lld must be a multiple of micro batch size x DP = %lld x %lld = %lld",
         (long long)l->global_batch, (long long)l->micro_batch, (long long)l->dp, (long long)step);
    l->n_micro = l->global_batch / step;
    rule(err, l->virtual_layers > 0 && l->pp > 1 && l->n_micro % l->pp != 0,
         "%lld micro-batches (global batch / micro batch / DP): an interleaved pipeline of %lld stages needs a multiple of %lld",
         (long long)l->n_micro, (long long)l->pp, (long long)l->pp);
}

static void check_model(cs_layout *l, const cs_spec *s, cs_error *err)
{
    const struct {
        const char *what;
        int64_t n;
    } split[] = {{"attention heads", s->n_heads}, {"key and value heads", s->n_kv_heads}, {"feed-forward columns", s->ffn}};
    for (size_t i = 0; i < sizeof split / sizeof *split; i++)
        rule(err, (i != 1 || s->n_kv_heads != s->n_heads) && split[i].n % l->tp != 0,
             "--tensor-model-parallel-size %lld does not divide the %lld %s; legal: %s", (long long)l->tp, (long long)split[i].n, split[i].what,
             divisors(split[i].n).text);
    rule(err, s->n_layers % l->pp != 0, "--pipeline-model-parallel-size %lld does not divide the %lld layers; legal: %s", (long long)l->pp,
         (long long)s->n_layers, divisors(s->n_layers).text);
    int64_t per_stage = s->n_layers / l->pp, chunk = l->virtual_layers;
    bool whole = s->n_layers % l->pp == 0;
    rule(err, chunk > 0 && l->pp > 1 && whole && per_stage % chunk != 0,
         "--num-layers-per-virtual-pipeline-stage %lld does not divide the %lld layers of a stage; legal: %s", (long long)chunk, (long long)per_stage,
         divisors(per_stage).text);
    l->chunks = chunk > 0 && whole && per_stage % chunk == 0 ? per_stage / chunk : 1;
    int64_t in_chunk = per_stage / l->chunks;
    rule(err, l->recompute != CS_RECOMPUTE_NONE && whole && l->recompute_layers > in_chunk,
         "--recompute-num-layers %lld: a stage or chunk has %lld layers; legal: 1 to %lld", (long long)l->recompute_layers, (long long)in_chunk,
         (long long)in_chunk);
    rule(err, l->seq_length > s->max_pos, "%s %lld exceeds the model's %lld positions", l->inference ? "--inference" : "--seq-length",
         (long long)l->seq_length, (long long)s->max_pos);
}

cs_status cs_layout_check(cs_layout *l, const cs_spec *spec, cs_error *err)
{
    cs_error found = {0};
    l->chunks = 1;
    l->n_micro = 1;
    l->dp = 0;
    rule(&found, l->tp < 1 || l->tp > MOST_RANKS, "--tensor-model-parallel-size %lld: legal: 1 to %d", (long long)l->tp, MOST_RANKS);
    rule(&found, l->pp < 1 || l->pp > MOST_RANKS, "--pipeline-model-parallel-size %lld: legal: 1 to %d", (long long)l->pp, MOST_RANKS);
    rule(&found, l->seq_length < 1 || l->seq_length > CS_LIMIT_POSITIONS, "--seq-length %lld: legal: 1 to %d", (long long)l->seq_length,
         CS_LIMIT_POSITIONS);
    rule(&found, l->micro_batch < 1 || l->micro_batch > MOST_SAMPLES, "--micro-batch-size %lld: legal: 1 to %lld", (long long)l->micro_batch,
         (long long)MOST_SAMPLES);
    rule(&found, l->global_batch < 0 || l->global_batch > MOST_SAMPLES, "--global-batch-size %lld: legal: 1 to %lld", (long long)l->global_batch,
         (long long)MOST_SAMPLES);
    if (found.status == CS_OK) {
        check_ranks(l, &found);
        if (!l->inference)
            check_batch(l, &found);
        rule(&found, l->sequence_parallel && !l->inference && l->seq_length % l->tp != 0,
             "--sequence-parallel: --seq-length %lld is not a multiple of the tensor parallel size %lld; legal sizes: %s", (long long)l->seq_length,
             (long long)l->tp, divisors(l->seq_length).text);
        if (spec)
            check_model(l, spec, &found);
    }
    if (found.status == CS_OK)
        return CS_OK;
    return cs_fail_also(err, CS_E_USAGE, "%s", found.msg);
}

int64_t cs_layout_in_flight(const cs_layout *l, int64_t stage)
{
    int64_t behind = l->pp - 1 - stage, all = l->n_micro * l->chunks;
    int64_t n = l->chunks == 1 ? behind + 1 : 2 * behind + (l->chunks - 1) * l->pp + 1;
    return n < all ? n : all;
}

double cs_layout_bubble(const cs_layout *l)
{
    return (double)(l->pp - 1) / (double)(l->n_micro + l->pp - 1) / (double)l->chunks;
}
