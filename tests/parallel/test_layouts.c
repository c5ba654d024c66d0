/* Every layout against one rank, in f64: the loss and the gradient norm of each step, EVERY gathered gradient of the first two steps and every weight after
 * the last (AdamW or gradient descent with momentum, clipping active), with uneven loss masks and vocabularies that no size divides, for models of every kind. Differences are
 * measured per tensor over its largest entry. Gradients are compared because Adam hides a gradient that is wrong by a factor.
 * A sample in which every pair of values of two dimensions occurs; CS_SOAK=FILE: all layouts, those that FILE names as done are passed over. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout_side.h"

enum { STEPS = 5, N_GRADS = 2, MAX_RANKS = 8, MOST_FAILURES = 8 };
static const double bound = 1e-10;
static const int n_values[N_DIMS] = {N_KINDS, 3, 3, 2, 3, 2, 4, 6, 4, 2};

static bool is_legal(const combo *c)
{
    cs_layout l = layout_of(c);
    cs_error err = {0};
    bool fold = c->at[SCHEDULE] == AIAO || c->at[SCHEDULE] == FIFO;
    if (l.world > MAX_RANKS || (fold && !c->at[VIRTUAL]) || (c->at[SP] && l.tp == 1) || (c->at[ZERO] && l.dp == 1))
        return false; /* too many ranks, or the same as another layout */
    json_t *config = json_loads(kinds[c->at[KIND]].config, 0, NULL);
    cs_spec spec;
    bool ok = cs_spec_from_json(&spec, config, kinds[c->at[KIND]].name, &err) == CS_OK;
    if (!ok)
        cs_error_print(&err);
    json_decref(config);
    assert_true(ok);
    return cs_layout_check(&l, &spec, &err) == CS_OK;
}

/* What a run leaves behind, in memory that the ranks share: all tensors one after the other in the order of the file. */
typedef struct outcome {
    double loss[STEPS], norm[STEPS];
    int64_t n;
    double value[]; /* gradients of the first steps, then weights */
} outcome;

typedef struct job {
    const combo *c;
    outcome *out;
} job;

/* This rank's elements of all tensors, from a flat buffer of which it holds `range` up to date. */
static void gather(const side *s, const double *flat, const cs_flat_range *range, int64_t n_ranges, double *to)
{
    for (int64_t i = 0; i < cs_param_n_views(&s->m->table); i++) {
        cs_param_view v = cs_param_view_at(&s->m->table, i);
        cs_flat_range own;
        for (int64_t k = 0; k < v.n_runs && cs_param_view_is_owner(&v); k++) {
            cs_param_run r = cs_param_view_run(&v, k);
            if (cs_flat_clip(range, n_ranges, r.offset, r.offset + r.n, &own))
                memcpy(to + r.at + own.lo - r.offset, flat + own.lo, (size_t)(own.hi - own.lo) * sizeof *to);
        }
        to += cs_param_view_total(&v);
    }
}

static void one_step(side *s, int step, outcome *out)
{
    double norm, loss = run_step(s, step, &norm);
    const cs_opt_state opt = cs_dp_opt_state(&s->dp);
    if (step < N_GRADS && (!opt.replicated || s->mesh.coord[CS_AXIS_DP] == 0))
        gather(s, s->m->table.grad, opt.range, opt.n_ranges, out->value + step * out->n);
    update(s, step, norm);
    const cs_param_table *t = &s->m->table;
    const cs_flat_range all = {0, t->n_elements, 0};
    if (step == STEPS - 1 && (t->store_range || s->mesh.coord[CS_AXIS_DP] == s->mesh.size[CS_AXIS_DP] - 1))
        gather(s, t->store, t->store_range ? t->store_range : &all, t->store_range ? t->n_store_ranges : 1, out->value + N_GRADS * out->n);
    if (cs_comm_rank(s->mesh.world) == 0) {
        out->loss[step] = loss;
        out->norm[step] = norm;
    }
}

static int rank_main(cs_comm *world, void *arg)
{
    job *j = arg;
    cs_error err = {0};
    side s = {0};
    omp_set_num_threads(1);
    if (cs_agree(world, open_side(&s, j->c, world, &err), &err) != CS_OK) {
        cs_error_print(&err);
        return 1;
    }
    for (int step = 0; step < STEPS; step++)
        one_step(&s, step, j->out);
    close_side(&s);
    return 0;
}

static size_t outcome_bytes(int64_t n)
{
    return sizeof(outcome) + (size_t)((N_GRADS + 1) * n) * sizeof(double);
}

/* Elements of a kind's tensors; table (caller releases arena) for names. */
static int64_t elements_of(int kind, cs_param_table *table, cs_arena *arena)
{
    json_t *config = json_loads(kinds[kind].config, 0, NULL);
    cs_error err;
    cs_spec spec;
    int64_t n = 0;
    cs_arena_init(arena, "names");
    assert_int_equal(cs_spec_from_json(&spec, config, "", &err), CS_OK);
    assert_int_equal(cs_param_table_init(table, &spec, cs_precision_of(CS_F64), false, NULL, arena, &err), CS_OK);
    json_decref(config);
    for (int64_t i = 0; i < cs_param_n_views(table); i++) {
        cs_param_view v = cs_param_view_at(table, i);
        n += cs_param_view_total(&v);
    }
    return n;
}

static outcome *run(const combo *c, int64_t n)
{
    cs_layout l = layout_of(c);
    outcome *out = cs_launch_share(outcome_bytes(n));
    assert_non_null(out);
    out->n = n;
    for (int64_t i = 0; i < (N_GRADS + 1) * n; i++)
        out->value[i] = NAN;
    job j = {c, out};
    assert_int_equal(cs_launch(l.world, rank_main, &j), 0);
    return out;
}

/* Prints what differs; the number of lines. */
static int compare(const cs_param_table *table, const outcome *one, const outcome *many)
{
    static const char *const what[] = {"gradient of step 1", "gradient of step 2", "weight"};
    int bad = 0;
    for (int step = 0; step < STEPS; step++) {
        double loss = fabs(one->loss[step] - many->loss[step]) / one->loss[step], norm = fabs(one->norm[step] - many->norm[step]) / one->norm[step];
        if (!(loss <= bound) || !(norm <= bound) || !(one->norm[step] > 0.5)) /* clipping is active, or this shows less than it says */
            bad += fprintf(stderr, "step %d: loss %.17g, %.17g on one rank; gradient norm %.17g, %.17g on one rank\n", step + 1, many->loss[step],
                           one->loss[step], many->norm[step], one->norm[step]) > 0;
    }
    for (int k = 0; k < N_GRADS + 1; k++) {
        const double *x = many->value + k * one->n, *y = one->value + k * one->n;
        double scale = 0; /* gradients that are zero in theory (a key's bias) are rounding errors of others */
        for (int64_t i = 0; i < one->n; i++)
            scale = fmax(scale, fabs(y[i]));
        for (int64_t i = 0; i < cs_param_n_views(table); i++) {
            cs_param_view v = cs_param_view_at(table, i);
            double largest = 0, difference = 0;
            for (int64_t e = 0; e < cs_param_view_total(&v); e++) {
                largest = fmax(largest, fabs(y[e]));
                difference = isnan(x[e]) ? INFINITY : fmax(difference, fabs(x[e] - y[e]));
            }
            if (!(difference <= bound * fmax(largest, 1e-3 * scale)))
                bad += fprintf(stderr, "%s of %s: difference %g, largest entry %g\n", what[k], v.name, difference, largest) > 0;
            x += cs_param_view_total(&v);
            y += cs_param_view_total(&v);
        }
    }
    return bad;
}

/* Pairs of values of two dimensions: which occur in legal layouts, which have been seen. */
enum { MAX_VALUES = 8, N_PAIRS = N_DIMS * N_DIMS * MAX_VALUES * MAX_VALUES };

static int new_pairs(const combo *c, unsigned char *seen, bool mark)
{
    int n = 0;
    for (int a = 0; a < N_DIMS; a++)
        for (int b = a + 1; b < N_DIMS; b++) {
            unsigned char *pair = &seen[((a * N_DIMS + b) * MAX_VALUES + c->at[a]) * MAX_VALUES + c->at[b]];
            n += !*pair;
            if (mark)
                *pair = 1;
        }
    return n;
}

static int64_t list_legal(combo *list)
{
    int64_t n = 0, total = 1;
    for (int d = 0; d < N_DIMS; d++)
        total *= n_values[d];
    for (int64_t i = 0; i < total; i++) {
        combo c;
        int64_t rest = i;
        for (int d = 0; d < N_DIMS; d++) {
            c.at[d] = (int)(rest % n_values[d]);
            rest /= n_values[d];
        }
        if (is_legal(&c)) {
            if (list)
                list[n] = c;
            n++;
        }
    }
    return n;
}

/* Moves layouts to the front until their pairs are all that occur, then more, spread over the rest, up to `least`. */
static int64_t choose_sample(combo *list, int64_t n, int64_t least)
{
    static unsigned char seen[N_PAIRS];
    int64_t chosen = 0;
    memset(seen, 0, sizeof seen);
    for (;;) {
        int64_t best = -1;
        int most = 0;
        for (int64_t i = chosen; i < n; i++) {
            int pairs = new_pairs(&list[i], seen, false);
            if (pairs > most) {
                most = pairs;
                best = i;
            }
        }
        if (best < 0 && chosen >= least)
            return chosen;
        if (best < 0)
            best = chosen + (n - chosen) * 7 / 11;
        combo c = list[best];
        list[best] = list[chosen];
        list[chosen++] = c;
        new_pairs(&c, seen, true);
    }
}

static bool is_done(const char *file, const char *name)
{
    char line[256];
    FILE *f = fopen(file, "r");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        found = strcmp(line, name) == 0;
    }
    if (f)
        fclose(f);
    return found;
}

static void note_done(const char *file, const char *name)
{
    FILE *f = fopen(file, "a");
    if (f) {
        fprintf(f, "%s\n", name);
        fclose(f);
    }
}

static void test_layouts(void **state)
{
    const char *soak = getenv("CS_SOAK"), *only = getenv("CS_LAYOUT");
    int64_t n_legal = list_legal(NULL), bad = 0;
    combo *list = malloc((size_t)n_legal * sizeof *list);
    outcome *one[N_KINDS][2]; /* by rule */
    cs_param_table table[N_KINDS];
    cs_arena arena[N_KINDS];
    (void)state;
    list_legal(list);
    int64_t n = soak || only ? n_legal : choose_sample(list, n_legal, 60);
    if (getenv("CS_SANITIZED") && n > 16) /* those that bring most pairs */
        n = 16;
    for (int k = 0; k < N_KINDS; k++) {
        int64_t elements = elements_of(k, &table[k], &arena[k]);
        for (int rule = 0; rule < 2; rule++) {
            const combo alone = {.at = {[KIND] = k, [RULE] = rule}};
            one[k][rule] = run(&alone, elements);
        }
    }
    for (int64_t i = 0, failed = 0; i < n && failed < MOST_FAILURES; i++) {
        char name[128];
        int k = list[i].at[KIND];
        describe(&list[i], name, sizeof name);
        if ((only && strcmp(only, name) != 0) || (soak && is_done(soak, name)))
            continue;
        const outcome *reference = one[k][list[i].at[RULE]];
        outcome *many = run(&list[i], reference->n);
        int differ = compare(&table[k], reference, many);
        if (differ)
            fprintf(stderr, "^ %s\n", name);
        else if (soak)
            note_done(soak, name);
        bad += differ;
        failed += differ > 0;
        cs_launch_unshare(many, outcome_bytes(reference->n));
    }
    print_message("%lld of %lld layouts\n", (long long)n, (long long)n_legal);
    for (int k = 0; k < N_KINDS; k++) {
        for (int rule = 0; rule < 2; rule++)
            cs_launch_unshare(one[k][rule], outcome_bytes(one[k][rule]->n));
        cs_arena_release(&arena[k]);
    }
    free(list);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
