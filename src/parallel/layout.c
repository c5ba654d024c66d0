/* The rules of layouts. */
#include "parallel/layout.h"

#include "base/log.h"
#include "base/mem.h"
#include "fmt/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    rule(err, model <= MOST_RANKS && !fits,
         "the number of ranks (--nproc, mpirun, --world-size), %lld, must be TP x PP x DP, a multiple of %lld x %lld = %lld", (long long)l->world,
         (long long)l->tp, (long long)l->pp, (long long)model);
    l->dp = fits ? l->world / model : 0;
    rule(err, l->zero >= 2 && l->pp > 1, "--zero-stage %lld with --pipeline-model-parallel-size %lld: legal with a pipeline: 0, 1",
         (long long)l->zero, (long long)l->pp);
    rule(err, l->virtual_layers > 0 && l->pp < 2,
         "--num-layers-per-virtual-pipeline-stage %lld needs --pipeline-model-parallel-size of 2 or more", (long long)l->virtual_layers);
}

/* --- lists of numbers -------------------------------------------------------------------------------------------------------------- */

/* Numbers of `words`, each word one number or several with commas between. Returns how many; a word that is none breaks a rule. */
static int64_t read_numbers(const cs_strlist *words, const char *flag, int64_t least, int64_t *out, cs_error *err)
{
    int64_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < words->n; i++)
        for (const char *at = words->items[i]; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
            char one[24] = "";
            int64_t value = 0;
            size_t len = strcspn(at, ",");
            if (len < sizeof one)
                memcpy(one, at, len);
            bool good = len < sizeof one && cs_parse_int(one, &value) && value >= least && value <= MOST_SAMPLES;
            rule(err, ok && !good, "%s: \"%.*s\" is not a number of %lld or more", flag, (int)(len < 40 ? len : 40), at,
                 (long long)least);
            ok &= good;
            if (n < CS_LAYOUT_MAX_LIST)
                out[n] = value;
            n++;
        }
    rule(err, n > CS_LAYOUT_MAX_LIST, "%s has %lld numbers; legal: up to %d", flag, (long long)n, CS_LAYOUT_MAX_LIST);
    return ok && n <= CS_LAYOUT_MAX_LIST ? n : 0;
}

/* AscendSpeed's named lists and what they were made for. */
static const struct {
    const char *name;
    int64_t pp, micro_batch, per_rank; /* per_rank = global batch / DP */
    int64_t n, mbs[24];
} examples[] = {
    {"example-config-1", 4, 4, 64, 16, {1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 3, 2}},
    {"example-config-2", 8, 4, 96, 24, {1, 2, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 3, 3, 3, 2}},
};

static void read_mbs(cs_layout *l, cs_error *err)
{
    l->n_mbs = 0;
    rule(err, l->optimized && l->manual_mbs.n == 0,
         "--optimized-pipeline needs --manual-mbs: the samples of each micro-batch of a step, or example-config-1 or example-config-2");
    rule(err, !l->optimized && l->manual_mbs.n > 0, "--manual-mbs needs --optimized-pipeline");
    if (!l->optimized || l->manual_mbs.n == 0)
        return;
    int64_t per_rank = l->dp > 0 ? l->global_batch / l->dp : 0;
    for (size_t i = 0; l->manual_mbs.n == 1 && i < sizeof examples / sizeof *examples; i++)
        if (strcmp(l->manual_mbs.items[0], examples[i].name) == 0) {
            rule(err, l->pp != examples[i].pp || l->micro_batch != examples[i].micro_batch || per_rank != examples[i].per_rank,
                 "--manual-mbs %s is for --pipeline-model-parallel-size %lld, --micro-batch-size %lld and a global batch of %lld per data-parallel "
                 "rank, not %lld, %lld and %lld", examples[i].name, (long long)examples[i].pp, (long long)examples[i].micro_batch,
                 (long long)examples[i].per_rank, (long long)l->pp, (long long)l->micro_batch, (long long)per_rank);
            l->n_mbs = examples[i].n;
            memcpy(l->mbs, examples[i].mbs, sizeof examples[i].mbs);
            return;
        }
    l->n_mbs = read_numbers(&l->manual_mbs, "--manual-mbs", 1, l->mbs, err);
    int64_t sum = 0;
    for (int64_t i = 0; i < l->n_mbs; i++)
        sum += l->mbs[i];
    if (l->n_mbs == 0 || l->dp == 0)
        return;
    rule(err, l->n_mbs != l->n_micro, "--manual-mbs has %lld numbers; legal: %lld = global batch / micro batch / DP", (long long)l->n_mbs,
         (long long)l->n_micro);
    rule(err, sum != per_rank, "--manual-mbs sums to %lld; legal: %lld = --global-batch-size %lld / DP %lld", (long long)sum, (long long)per_rank,
         (long long)l->global_batch, (long long)l->dp);
}

static void read_layers(cs_layout *l, const cs_spec *spec, cs_error *err)
{
    l->n_piece_layers = 0;
    rule(err, l->manual_allocation && l->manual_layers.n == 0,
         "--use-manual-layer-allocation needs --manual-layers: the layers of each of the %lld stages", (long long)l->pp);
    rule(err, !l->manual_allocation && l->manual_layers.n > 0, "--manual-layers needs --use-manual-layer-allocation");
    rule(err, l->manual_allocation && l->virtual_layers > 0,
         "--manual-layers and --num-layers-per-virtual-pipeline-stage exclude each other: virtual stages are a list of stages x chunks numbers");
    if (!l->manual_allocation || l->manual_layers.n == 0)
        return;
    int64_t n = read_numbers(&l->manual_layers, "--manual-layers", 1, l->piece_layers, err), sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += l->piece_layers[i];
    rule(err, n % l->pp != 0, "--manual-layers has %lld numbers; legal: %lld, one for each stage, or a multiple of it for virtual stages",
         (long long)n, (long long)l->pp);
    rule(err, n > 1 && l->pp == 1, "--manual-layers has %lld numbers: virtual stages need --pipeline-model-parallel-size of 2 or more", (long long)n);
    rule(err, n > 0 && spec && sum != spec->n_layers, "--manual-layers sums to %lld; legal: the model's %lld layers", (long long)sum,
         (long long)(spec ? spec->n_layers : 0));
    if (n == 0 || n % l->pp != 0 || (n > 1 && l->pp == 1))
        return;
    l->n_piece_layers = n;
    l->chunks = n / l->pp;
}

/* Megatron's names where there are some. */
static const struct {
    const char *name;
    unsigned drop;
} modules[] = {{"layernorm", CS_DROP_NORMS}, {"qkv", CS_DROP_QKV}, {"core_attn", CS_DROP_ATTENTION}, {"mlp", CS_DROP_UP}};
enum { N_MODULES = sizeof modules / sizeof *modules };

static unsigned read_module(const char *word, cs_error *err)
{
    for (int i = 0; i < N_MODULES; i++)
        if (strcmp(word, modules[i].name) == 0)
            return modules[i].drop;
    rule(err, true, "--recompute-modules: \"%.40s\"; legal: layernorm, qkv, core_attn, mlp", word);
    return 0;
}

void cs_layout_drop_text(unsigned drop, char *text, size_t size)
{
    size_t at = 0;
    snprintf(text, size, drop == CS_DROP_LAYER ? "all" : "nothing");
    for (int i = 0; i < N_MODULES; i++)
        if (drop & modules[i].drop && at < size)
            at += (size_t)snprintf(text + at, size - at, at > 0 ? " %s" : "%s", modules[i].name);
}

static void read_recompute(cs_layout *l, cs_error *err)
{
    l->n_stage_again = 0;
    l->drop = l->recompute == CS_RECOMPUTE_SELECTIVE && l->recompute_modules.n == 0 ? CS_DROP_NORMS : 0;
    for (size_t i = 0; l->recompute == CS_RECOMPUTE_SELECTIVE && i < l->recompute_modules.n; i++)
        l->drop |= read_module(l->recompute_modules.items[i], err);
    if (l->recompute != CS_RECOMPUTE_BLOCK || l->recompute_list.n == 0)
        return;
    int64_t n = read_numbers(&l->recompute_list, "--recomputation-layer-num", 0, l->stage_again, err);
    rule(err, n > 0 && n != l->pp, "--recomputation-layer-num has %lld numbers; legal: %lld, one for each stage", (long long)n, (long long)l->pp);
    l->n_stage_again = n;
}

/* --- the rest ---------------------------------------------------------------------------------------------------------------------- */

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
    bool chunks = (l->virtual_layers > 0 || l->chunks > 1) && l->pp > 1;
    rule(err, chunks && l->fold != CS_FOLD_AIAO && l->n_micro % l->pp != 0,
         "%lld micro-batches (global batch / micro batch / DP): an interleaved pipeline of %lld stages needs a multiple of %lld",
         (long long)l->n_micro, (long long)l->pp, (long long)l->pp);
    rule(err, chunks && l->optimized, "--optimized-pipeline with virtual stages: legal: one chunk a stage");
    read_mbs(l, err);
}

/* After the chunks are known. */
static void choose_schedule(cs_layout *l, cs_error *err)
{
    static const cs_schedule_kind folded[] = {CS_SCHEDULE_INTERLEAVED, CS_SCHEDULE_AIAO, CS_SCHEDULE_FIFO};
    l->schedule = l->inference ? CS_SCHEDULE_FORWARD : l->chunks > 1 ? folded[l->fold] : CS_SCHEDULE_1F1B;
    l->largest_mbs = l->n_mbs > 0 ? 0 : l->micro_batch;
    for (int64_t i = 0; i < l->n_mbs; i++)
        l->largest_mbs = l->mbs[i] > l->largest_mbs ? l->mbs[i] : l->largest_mbs;
    rule(err, l->chunks > CS_SCHEDULE_MAX_CHUNKS, "%lld chunks a stage; legal: up to %d", (long long)l->chunks, CS_SCHEDULE_MAX_CHUNKS);
    rule(err, l->n_micro > CS_LAYOUT_MAX_PAIRS / l->pp / l->chunks,
         "%lld micro-batches (global batch / micro batch / DP) x %lld pieces of the model; legal: up to %d in all", (long long)l->n_micro,
         (long long)(l->pp * l->chunks), CS_LAYOUT_MAX_PAIRS);
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
    l->n_layers = s->n_layers;
    bool manual = l->manual_allocation, whole = s->n_layers % l->pp == 0;
    rule(err, !manual && !whole, "--pipeline-model-parallel-size %lld does not divide the %lld layers; legal: %s", (long long)l->pp,
         (long long)s->n_layers, divisors(s->n_layers).text);
    int64_t per_stage = s->n_layers / l->pp, chunk = l->virtual_layers;
    rule(err, !manual && chunk > 0 && l->pp > 1 && whole && per_stage % chunk != 0,
         "--num-layers-per-virtual-pipeline-stage %lld does not divide the %lld layers of a stage; legal: %s", (long long)chunk, (long long)per_stage,
         divisors(per_stage).text);
    if (!manual && chunk > 0 && whole && per_stage % chunk == 0)
        l->chunks = per_stage / chunk;
    int64_t most = manual ? l->n_piece_layers > 0 ? cs_layout_largest_piece(l) : 0 : whole ? per_stage / l->chunks : 0;
    bool whole_layers = l->recompute == CS_RECOMPUTE_UNIFORM || l->recompute == CS_RECOMPUTE_BLOCK;
    rule(err, whole_layers && !l->recompute_up_to && l->n_stage_again == 0 && most > 0 && l->recompute_layers > most,
         "--recompute-num-layers %lld: a stage or chunk has at most %lld layers; legal: 1 to %lld", (long long)l->recompute_layers, (long long)most,
         (long long)most);
    rule(err, l->seq_length > s->max_pos, "%s %lld exceeds the model's %lld positions", l->inference ? "--inference" : "--seq-length",
         (long long)l->seq_length, (long long)s->max_pos);
}

cs_status cs_layout_check(cs_layout *l, const cs_spec *spec, cs_error *err)
{
    cs_error found = {0};
    l->chunks = 1;
    l->n_micro = 1;
    l->dp = l->n_layers = l->n_mbs = l->n_piece_layers = 0;
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
        read_layers(l, spec, &found);
        read_recompute(l, &found);
        if (!l->inference)
            check_batch(l, &found);
        rule(&found, l->sequence_parallel && !l->inference && l->seq_length % l->tp != 0,
             "--sequence-parallel: --seq-length %lld is not a multiple of the tensor parallel size %lld; legal sizes: %s", (long long)l->seq_length,
             (long long)l->tp, divisors(l->seq_length).text);
        if (spec)
            check_model(l, spec, &found);
        choose_schedule(l, &found);
    }
    if (found.status == CS_OK)
        return CS_OK;
    return cs_fail_also(err, CS_E_USAGE, "%s", found.msg);
}

void cs_layout_note(const cs_layout *l)
{
    if (l->fold != CS_FOLD_NONE && l->chunks == 1)
        cs_note("--fold-mode acts only with virtual stages (--num-layers-per-virtual-pipeline-stage); the pipeline is plain 1F1B");
}

int64_t cs_layout_mbs(const cs_layout *l, int64_t micro)
{
    CS_ASSERT(micro >= 0 && micro < l->n_micro);
    return l->n_mbs > 0 ? l->mbs[micro] : l->micro_batch;
}

int64_t cs_layout_first_sample(const cs_layout *l, int64_t micro, int64_t dp_rank)
{
    int64_t before = l->n_mbs > 0 ? 0 : micro * l->micro_batch;
    for (int64_t i = 0; l->n_mbs > 0 && i < micro; i++)
        before += l->mbs[i];
    return before * l->dp + dp_rank * cs_layout_mbs(l, micro);
}

int64_t cs_layout_n_layers(const cs_layout *l, int64_t stage, int64_t chunk)
{
    CS_ASSERT(l->n_layers > 0 && stage >= 0 && stage < l->pp && chunk >= 0 && chunk < l->chunks);
    return l->n_piece_layers > 0 ? l->piece_layers[chunk * l->pp + stage] : l->n_layers / l->pp / l->chunks;
}

int64_t cs_layout_first_layer(const cs_layout *l, int64_t stage, int64_t chunk)
{
    int64_t piece = chunk * l->pp + stage, first = 0;
    if (l->n_piece_layers == 0)
        return piece * cs_layout_n_layers(l, stage, chunk);
    for (int64_t i = 0; i < piece; i++)
        first += l->piece_layers[i];
    return first;
}

cs_place cs_layout_place(const cs_layout *l, int64_t stage, int64_t tp_rank, cs_layers *chunk)
{
    for (int64_t c = 0; c < l->chunks; c++) {
        int64_t first = cs_layout_first_layer(l, stage, c);
        chunk[c] = (cs_layers){first, first + cs_layout_n_layers(l, stage, c)};
    }
    return (cs_place){.tp = l->tp, .tp_rank = tp_rank, .n_stages = l->pp, .stage = stage, .n_chunks = l->chunks, .chunk = chunk};
}

int64_t cs_layout_stage_layers(const cs_layout *l, int64_t stage)
{
    int64_t n = 0;
    for (int64_t c = 0; c < l->chunks; c++)
        n += cs_layout_n_layers(l, stage, c);
    return n;
}

int64_t cs_layout_largest_piece(const cs_layout *l)
{
    int64_t most = l->n_piece_layers > 0 ? 0 : l->n_layers / l->pp / l->chunks;
    for (int64_t i = 0; i < l->n_piece_layers; i++)
        most = l->piece_layers[i] > most ? l->piece_layers[i] : most;
    return most;
}

unsigned cs_layout_drop(const cs_layout *l, int64_t stage, int64_t chunk, int64_t i)
{
    CS_ASSERT(stage >= 0 && stage < l->pp);
    int64_t first = l->n_stage_again > 0 ? l->stage_again[stage] : l->recompute_layers;
    if (l->drop_of)
        return l->drop_of[cs_layout_first_layer(l, stage, chunk) + i];
    if (l->recompute == CS_RECOMPUTE_SELECTIVE)
        return l->drop;
    return l->recompute == CS_RECOMPUTE_UNIFORM || (l->recompute == CS_RECOMPUTE_BLOCK && i < first) ? CS_DROP_LAYER : 0;
}

void cs_layout_drops(const cs_layout *l, unsigned char *drop)
{
    for (int64_t stage = 0; stage < l->pp; stage++)
        for (int64_t c = 0; c < l->chunks; c++)
            for (int64_t i = 0; i < cs_layout_n_layers(l, stage, c); i++)
                drop[cs_layout_first_layer(l, stage, c) + i] = (unsigned char)cs_layout_drop(l, stage, c, i);
}

int64_t cs_layout_group(const cs_layout *l)
{
    return l->recompute == CS_RECOMPUTE_UNIFORM ? l->recompute_layers : 1;
}

bool cs_layout_ends_group(const cs_layout *l, int64_t stage, int64_t chunk, int64_t i)
{
    return i + 1 == cs_layout_n_layers(l, stage, chunk) || cs_layout_drop(l, stage, chunk, i) != CS_DROP_LAYER ||
           cs_layout_drop(l, stage, chunk, i + 1) != CS_DROP_LAYER || (i + 1) % cs_layout_group(l) == 0;
}

cs_status cs_layout_schedule(const cs_layout *l, cs_arena *arena, cs_schedule *out, cs_error *err)
{
    return cs_schedule_init(out, l->schedule, (int)l->pp, (int)l->chunks, l->n_micro, arena, err);
}
