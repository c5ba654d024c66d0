/* The knapsack is solved once for all capacities of a stash (Bellman's recursion over layers and capacity, in steps of `unit` bytes, rounded up); the
 * largest capacity with which the whole rank fits is found by bisection. What is computed again needs room while it is, which the layers share: a
 * layer that runs again as a whole, and parts in temporary memory. So each limit on that is tried, with the options that keep to it. */
#include "parallel/recompute.h"

#include "parallel/walk.h"

#include <math.h>

enum { N_OPTIONS = CS_DROP_PARTS + 2, MOST_STEPS = 1 << 13, MOST_CELLS = 1 << 25 };

typedef struct option {
    unsigned char drop;
    double seconds;
    int64_t scratch;
    int64_t bytes, steps; /* kept by a layer; beyond the least, in units, rounded up */
} option;

typedef struct knapsack {
    const cs_memory_request *q;
    cs_layout layout; /* with drop_of = drop */
    int64_t stage, n; /* n: layers of the largest chunk */
    option option[N_OPTIONS];
    int n_options;
    int64_t n_steps;
    double *best[2];     /* [n_steps + 1] */
    unsigned char *pick; /* [n + 1][n_steps + 1] */
    unsigned char *drop;
    cs_recompute_choice found;
} knapsack;

/* All options. */
static void list_all(const cs_memory_request *q, const cs_part_times *t, option all[N_OPTIONS])
{
    for (unsigned drop = 0; drop < N_OPTIONS; drop++) {
        option o = {.drop = (unsigned char)drop};
        o.bytes = cs_walk_layer(q, drop, &o.scratch);
        for (int i = 0; i < CS_PARTS; i++)
            o.seconds += drop & (1u << i) ? t->part[i] : 0;
        if (drop == CS_DROP_LAYER)
            o.seconds = t->layer;
        all[drop] = o;
    }
}

/* Those within the limits, by memory, so that the picks of a chunk can be laid out in this order. */
static void list_options(knapsack *k, const option all[N_OPTIONS], int64_t scratch, bool whole)
{
    k->n_options = 0;
    for (int n = 0; n < N_OPTIONS; n++) {
        const option o = all[n];
        if (o.scratch > scratch || (o.drop == CS_DROP_LAYER && !whole))
            continue;
        int at = k->n_options++;
        for (; at > 0 && k->option[at - 1].bytes > o.bytes; at--)
            k->option[at] = k->option[at - 1];
        k->option[at] = o;
    }
    int64_t least = k->option[0].bytes, most = cs_walk_mul(k->n, k->option[k->n_options - 1].bytes - least);
    int64_t steps = MOST_CELLS / (k->n + 1) < MOST_STEPS ? MOST_CELLS / (k->n + 1) : MOST_STEPS, unit = most / (steps - k->n) + 1;
    unit = unit < 64 ? 64 : unit;
    k->n_steps = 0;
    for (int i = 0; i < k->n_options; i++) {
        k->option[i].steps = (k->option[i].bytes - least + unit - 1) / unit;
        k->n_steps = k->n * k->option[i].steps;
    }
}

/* best[l][c]: least time of l layers with c steps of memory. */
static void fill(knapsack *k)
{
    for (int64_t c = 0; c <= k->n_steps; c++)
        k->best[0][c] = 0;
    for (int64_t l = 1; l <= k->n; l++) {
        const double *before = k->best[(l - 1) % 2];
        double *best = k->best[l % 2];
        unsigned char *pick = k->pick + l * (k->n_steps + 1);
        for (int64_t c = 0; c <= k->n_steps; c++) {
            best[c] = INFINITY;
            for (int i = 0; i < k->n_options && k->option[i].steps <= c; i++)
                if (before[c - k->option[i].steps] + k->option[i].seconds < best[c]) {
                    best[c] = before[c - k->option[i].steps] + k->option[i].seconds;
                    pick[c] = (unsigned char)i;
                }
        }
    }
}

/* The layers of the stage for stashes of c steps; returns the time. */
static double lay_out(knapsack *k, int64_t c)
{
    double seconds = 0;
    for (int64_t chunk = 0; chunk < k->layout.chunks; chunk++) {
        int64_t count[N_OPTIONS] = {0}, left = c, at = cs_layout_first_layer(&k->layout, k->stage, chunk);
        for (int64_t l = cs_layout_n_layers(&k->layout, k->stage, chunk); l > 0; l--) {
            int i = k->pick[l * (k->n_steps + 1) + left];
            count[i]++;
            left -= k->option[i].steps;
            seconds += k->option[i].seconds;
        }
        for (int i = 0; i < k->n_options; i++)
            for (int64_t n = 0; n < count[i]; n++)
                k->drop[at++] = k->option[i].drop;
    }
    return seconds;
}

static cs_status try_steps(knapsack *k, int64_t c, int64_t most, cs_recompute_choice *out, cs_error *err)
{
    cs_memory m;
    cs_memory_request q = *k->q;
    out->seconds = lay_out(k, c);
    q.layout = k->layout;
    CS_TRY(cs_memory_of_stage(&q, k->stage, &m, err));
    out->bytes = m.total;
    out->fits = m.total <= most;
    return CS_OK;
}

/* The best capacity; *c = -1 when it is no better than what was found. */
static cs_status bisect(knapsack *k, int64_t most, int64_t *c, cs_error *err)
{
    cs_recompute_choice one, best;
    int64_t low = 0, high = k->n_steps;
    CS_TRY(try_steps(k, 0, most, &best, err));
    while (best.fits && low < high) {
        int64_t middle = (low + high + 1) / 2;
        CS_TRY(try_steps(k, middle, most, &one, err));
        if (one.fits) {
            best = one;
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    const cs_recompute_choice *f = &k->found;
    bool better = best.fits ? !f->fits || best.seconds < f->seconds : !f->fits && (f->bytes == 0 || best.bytes < f->bytes);
    *c = better ? low : -1;
    if (better)
        k->found = best;
    return CS_OK;
}

static cs_status solve(knapsack *k, int64_t most, unsigned char *drop, cs_error *err)
{
    int64_t c = -1;
    size_t cells = (size_t)k->n_steps + 1;
    k->best[0] = cs_calloc(2 * cells, sizeof *k->best[0]);
    k->pick = cs_calloc(cells * (size_t)(k->n + 1), 1);
    cs_status status = k->best[0] && k->pick ? CS_OK : cs_fail_nomem(err, cells * (size_t)(k->n + 1), "the choice of recomputation");
    k->best[1] = k->best[0] ? k->best[0] + cells : NULL;
    if (status == CS_OK) {
        fill(k);
        status = bisect(k, most, &c, err);
    }
    if (status == CS_OK && c >= 0) {
        lay_out(k, c);
        for (int64_t i = 0; i < k->layout.chunks; i++)
            for (int64_t l = 0, at = cs_layout_first_layer(&k->layout, k->stage, i); l < cs_layout_n_layers(&k->layout, k->stage, i); l++, at++)
                drop[at] = k->drop[at];
    }
    cs_free(k->best[0]);
    cs_free(k->pick);
    return status;
}

cs_status cs_recompute_choose(const cs_memory_request *q, int64_t stage, const cs_part_times *times, int64_t most, unsigned char *drop,
                              cs_recompute_choice *out, cs_error *err)
{
    knapsack *k = cs_calloc(1, sizeof *k);
    unsigned char *room = cs_calloc((size_t)q->spec->n_layers, 1);
    cs_status status = k && room ? CS_OK : cs_fail_nomem(err, sizeof *k, "the choice of recomputation");
    if (status == CS_OK) {
        *k = (knapsack){.q = q, .layout = q->layout, .stage = stage, .n = cs_layout_largest_piece(&q->layout), .drop = room};
        k->layout.drop_of = room;
        k->layout.recompute = CS_RECOMPUTE_NONE; /* no groups */
    }
    option all[N_OPTIONS];
    if (status == CS_OK)
        list_all(q, times, all);
    for (int i = 0; i < N_OPTIONS && status == CS_OK; i++) {
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen |= all[j].scratch == all[i].scratch;
        for (int whole = 0; whole < 2 && !seen && status == CS_OK; whole++) {
            list_options(k, all, all[i].scratch, whole);
            if (k->n_options > 0)
                status = solve(k, most, drop, err);
        }
    }
    if (status == CS_OK) {
        *out = k->found;
        out->all_seconds = times->layer * (double)cs_layout_stage_layers(&q->layout, stage);
    }
    cs_free(room);
    cs_free(k);
    return status;
}
