/* Layouts by exhaustion; what cannot be among the best is left out by its lower bound. */
#include "parallel/search.h"

#include <string.h>

typedef struct search {
    const cs_memory_request *base;
    const cs_machine *m;
    int64_t memory;
    cs_arena *arena; /* lists of layers stay, everything else goes */
    cs_search_result *best;
    int max, n;
    cs_search_count count;
    int64_t smallest; /* bytes of the smallest layout that was too large */
    cs_error *err;
} search;

static void keep(search *s, const cs_layout *l, double step_s, int64_t bytes)
{
    int at = s->n < s->max ? s->n++ : s->max - 1;
    for (; at > 0 && s->best[at - 1].step_s > step_s; at--)
        s->best[at] = s->best[at - 1];
    s->best[at] = (cs_search_result){*l, step_s, bytes};
}

static double worst_kept(const search *s)
{
    return s->n < s->max ? 1e300 : s->best[s->max - 1].step_s;
}

/* Bytes of the largest rank, or of the first stage found too large. */
static cs_status largest(const search *s, const cs_memory_request *q, int64_t *bytes)
{
    *bytes = 0;
    for (int64_t stage = 0; stage < q->layout.pp && *bytes <= s->memory; stage++) {
        cs_memory one;
        CS_TRY(cs_memory_of_stage(q, stage, &one, s->err));
        *bytes = one.total > *bytes ? one.total : *bytes;
    }
    return CS_OK;
}

static cs_status try_one(search *s, const cs_layout *asked)
{
    cs_memory_request q = *s->base;
    cs_schedule schedule;
    q.layout = *asked;
    s->count.tried++;
    if (cs_layout_check(&q.layout, q.spec, &(cs_error){0}) != CS_OK)
        return CS_OK;
    s->count.legal++;
    if (cs_simulate_bound(&q, s->m) >= worst_kept(s))
        return CS_OK;
    cs_arena_mark mark = cs_arena_save(s->arena);
    int64_t bytes = 0;
    double step = 0;
    cs_status status = cs_layout_schedule(&q.layout, s->arena, &schedule, s->err);
    q.schedule = &schedule;
    if (status == CS_OK)
        status = largest(s, &q, &bytes);
    if (status == CS_OK && bytes <= s->memory) {
        s->count.timed++;
        status = cs_simulate_step(&q, s->m, s->arena, &step, s->err);
        if (status == CS_OK && step < worst_kept(s))
            keep(s, &q.layout, step, bytes);
    } else if (status == CS_OK) {
        s->smallest = bytes < s->smallest ? bytes : s->smallest;
    } else if (status == CS_E_USAGE) {
        status = CS_OK; /* does not fit in 63 bits */
    }
    cs_arena_restore(s->arena, mark);
    return status;
}

/* No recomputation, the norms' outputs or all parts of every layer, all layers, or the first quarters of a piece. */
static cs_status try_recompute(search *s, cs_layout l, int64_t piece)
{
    l.recompute = CS_RECOMPUTE_NONE;
    CS_TRY(try_one(s, &l));
    static const char *const parts[] = {"layernorm", "core_attn", "qkv", "mlp"};
    l.recompute = CS_RECOMPUTE_SELECTIVE;
    for (size_t n = 1; n <= 4; n += 3) {
        l.recompute_modules = (cs_strlist){(const char **)(void *)parts, n};
        CS_TRY(try_one(s, &l));
    }
    l.recompute = CS_RECOMPUTE_UNIFORM;
    l.recompute_layers = 1;
    CS_TRY(try_one(s, &l));
    l.recompute = CS_RECOMPUTE_BLOCK;
    for (int64_t quarter = 1; quarter < 4; quarter++)
        if (piece * quarter / 4 > piece * (quarter - 1) / 4) {
            l.recompute_layers = piece * quarter / 4;
            CS_TRY(try_one(s, &l));
        }
    return CS_OK;
}

static cs_status try_zero(search *s, cs_layout l, int64_t piece, int64_t dp)
{
    for (l.zero = 0; l.zero <= (dp == 1 ? 0 : l.pp == 1 ? 3 : 1); l.zero++)
        for (int fold = CS_FOLD_NONE; fold <= (l.virtual_layers > 0 && dp > 1 ? CS_FOLD_FIFO : CS_FOLD_NONE); fold++)
            for (int sp = 0; sp <= (l.tp > 1); sp++) {
                l.fold = (cs_fold)fold;
                l.sequence_parallel = sp;
                CS_TRY(try_recompute(s, l, piece));
            }
    return CS_OK;
}

/* Where the stages do not divide the layers: as even as it goes, the first and the last stage (embedding, head) below the others. */
static bool uneven(search *s, cs_layout *l)
{
    int64_t pp = l->pp, layers = s->base->spec->n_layers, few = layers / pp, more = layers % pp;
    const char **items = cs_arena_calloc(s->arena, (size_t)pp, sizeof *items);
    for (int64_t i = 0; items && i < pp; i++) {
        int64_t place = i == 0 ? pp - 1 : i == pp - 1 ? pp - 2 : i - 1; /* of the stages in the order in which they get one more */
        items[i] = cs_arena_printf(s->arena, "%lld", (long long)(few + (place < more)));
        if (!items[i])
            return false;
    }
    l->manual_allocation = true;
    l->manual_layers = (cs_strlist){items, (size_t)pp};
    return items != NULL;
}

static cs_status try_micro(search *s, cs_layout l, int64_t dp)
{
    int64_t layers = s->base->spec->n_layers, per_stage = layers / l.pp;
    bool whole = layers % l.pp == 0;
    if (!whole && !uneven(s, &l))
        return cs_fail_nomem(s->err, (size_t)l.pp * 64, "a list of layers");
    for (int64_t chunks = 1; chunks <= (whole && l.pp > 1 ? CS_SEARCH_MAX_CHUNKS : 1); chunks++) {
        if (per_stage % chunks != 0)
            continue;
        l.virtual_layers = chunks > 1 ? per_stage / chunks : 0;
        for (l.micro_batch = 1; l.micro_batch <= CS_SEARCH_MAX_MICRO; l.micro_batch *= 2)
            if (l.global_batch % (l.micro_batch * dp) == 0 && (l.micro_batch == 1 || l.micro_batch * l.seq_length <= CS_SEARCH_TOKENS))
                CS_TRY(try_zero(s, l, whole ? per_stage / chunks : per_stage + 1, dp));
    }
    return CS_OK;
}

cs_status cs_search(const cs_memory_request *base, const cs_machine *m, int64_t memory, cs_arena *arena, cs_search_result *best, int max, int *n,
                    cs_search_count *count, cs_error *err)
{
    search s = {.base = base, .m = m, .memory = memory, .arena = arena, .best = best, .max = max, .smallest = INT64_MAX, .err = err};
    int64_t world = base->layout.world;
    for (int64_t tp = 1; tp <= world && tp <= base->spec->n_heads; tp++)
        for (int64_t pp = 1; world % tp == 0 && pp <= world / tp && pp <= base->spec->n_layers; pp++) {
            cs_layout l = {.world = world, .tp = tp, .pp = pp, .global_batch = base->layout.global_batch, .seq_length = base->layout.seq_length};
            if (world % (tp * pp) == 0)
                CS_TRY(try_micro(&s, l, world / tp / pp));
        }
    *n = s.n;
    *count = s.count;
    if (s.n == 0 && s.smallest < INT64_MAX)
        return cs_fail(err, CS_E_USAGE, "no layout of %lld ranks fits into --memory %.2f GiB; the smallest found takes %.2f GiB or more",
                       (long long)world, (double)memory / (1 << 30), (double)s.smallest / (1 << 30));
    if (s.n == 0)
        return cs_fail(err, CS_E_USAGE, "no legal layout of %lld ranks for a global batch of %lld samples", (long long)world,
                       (long long)base->layout.global_batch);
    return CS_OK;
}
