/* Measured in the same steps: a forward pass of a layer, which is what a layer takes that runs again as a whole, and the parts of layers that drop
 * all of them and keep the rest: at least the first of every chunk; the others are such or run again as a whole, whichever takes less memory. */
#include "train/autorecompute.h"

#include "base/log.h"
#include "parallel/recompute.h"
#include "parallel/walk.h"

#include <stdio.h>
#include <string.h>

enum { MB = 1 << 20, WORDS = 80 };

/* What a stage says about itself, the same size everywhere. */
typedef struct report {
    int64_t fits, bytes;
    char text[WORDS * 8 - 16];
} report;

static bool is_on(const cs_trainer *t)
{
    return t->cfg.auto_mb > 0;
}

/* All layers but the first of each chunk: run again as a whole, or drop the parts too. */
static void set_others(cs_trainer *t, unsigned char drop)
{
    for (int64_t l = 0; l < t->model->spec.n_layers; l++)
        t->drop[l] = drop;
    for (int64_t c = 0; c < t->layout.chunks; c++)
        t->drop[t->chunk[c].lo] = CS_DROP_PARTS;
}

static cs_status bytes_with(cs_trainer *t, const cs_schedule *s, unsigned char drop, int64_t *bytes, cs_error *err)
{
    const cs_memory_request q = {.spec = &t->model->spec, .table = &t->model->table, .kernels = t->model->k, .layout = t->layout, .schedule = s};
    cs_activations a;
    set_others(t, drop);
    if (!cs_walk_stage(&q, t->mesh.coord[CS_AXIS_PP], &a))
        return cs_fail(err, CS_E_USAGE, "the activations of a rank do not fit in 63 bits; use smaller sizes");
    *bytes = cs_walk_add(a.stash, a.scratch);
    return CS_OK;
}

cs_status cs_autorecompute_start(cs_trainer *t, cs_error *err)
{
    int64_t whole = 0, parts = 0;
    cs_arena arena;
    cs_schedule schedule;
    if (!is_on(t))
        return CS_OK;
    t->layout.drop_of = t->drop;
    cs_arena_init(&arena, "the choice of recomputation");
    cs_status status = cs_layout_schedule(&t->layout, &arena, &schedule, err);
    if (status == CS_OK)
        status = bytes_with(t, &schedule, CS_DROP_LAYER, &whole, err);
    if (status == CS_OK)
        status = bytes_with(t, &schedule, CS_DROP_PARTS, &parts, err);
    cs_arena_release(&arena);
    CS_TRY(status);
    set_others(t, whole < parts ? CS_DROP_LAYER : CS_DROP_PARTS);
    cs_model_set_drops(t->model, t->drop);
    cs_model_measure(t->model, &t->times);
    return CS_OK;
}

/* Means over the ranks of the stage: all of them choose the same. */
static cs_part_times mean_times(const cs_trainer *t)
{
    const cs_part_times *own = &t->times;
    double sum[CS_PARTS + 3] = {own->layer, (double)own->n_layers, (double)own->n_parts};
    memcpy(sum + 3, own->part, sizeof own->part);
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_TP], sum, CS_PARTS + 3, CS_F64);
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_DP], sum, CS_PARTS + 3, CS_F64);
    cs_part_times mean = {.layer = sum[0] / (sum[1] > 0 ? sum[1] : 1), .n_layers = 1, .n_parts = 1};
    for (int i = 0; i < CS_PARTS; i++)
        mean.part[i] = sum[3 + i] / (sum[2] > 0 ? sum[2] : 1);
    return mean;
}

/* With the schedule of a whole global batch, which a ramp may not have reached. */
static cs_status choose(cs_trainer *t, const cs_part_times *times, cs_recompute_choice *choice, cs_error *err)
{
    cs_arena arena;
    cs_param_table table;
    cs_schedule schedule;
    cs_memory_request q = {.spec = &t->model->spec, .table = &table, .kernels = t->model->k, .threads = (int)t->identity.threads,
                           .layout = t->layout, .schedule = &schedule, .rule = t->dp.policy.rule, .evaluates = t->cfg.eval_iters > 0,
                           .offloads = t->cfg.offload_dir != NULL};
    cs_arena_init(&arena, "the choice of recomputation");
    cs_status status = cs_param_table_init(&table, q.spec, t->model->prec, t->cfg.decay_norms, NULL, &arena, err);
    q.table_bytes = (int64_t)arena.used;
    if (status == CS_OK)
        status = cs_layout_schedule(&t->layout, &arena, &schedule, err);
    if (status == CS_OK)
        status = cs_recompute_choose(&q, t->mesh.coord[CS_AXIS_PP], times, t->cfg.auto_mb * MB, t->drop, choice, err);
    cs_arena_release(&arena);
    return status;
}

/* "layers 0 to 3 all, 4 to 7 layernorm mlp". */
static void describe_layers(const cs_trainer *t, char *text, size_t size)
{
    const char *sep = "";
    size_t at = 0;
    for (int64_t c = 0; c < t->layout.chunks; c++)
        for (int64_t l = t->chunk[c].lo, end; l < t->chunk[c].hi && at < size; l = end) {
            char what[64], to[32] = "";
            for (end = l + 1; end < t->chunk[c].hi && t->drop[end] == t->drop[l];)
                end++;
            cs_layout_drop_text(t->drop[l], what, sizeof what);
            if (end > l + 1)
                snprintf(to, sizeof to, " to %lld", (long long)end - 1);
            at += (size_t)snprintf(text + at, size - at, "%s%lld%s %s", sep, (long long)l, to, what);
            sep = ", ";
        }
}

static void say(cs_trainer *t, const report *of_stage)
{
    for (int64_t s = 0; s < t->layout.pp; s++) {
        const report *r = &of_stage[s];
        cs_runlog_line(&t->log, false, "%s", r->text);
        if (!r->fits)
            cs_warn("--auto-recompute-device-size %lld: stage %lld takes %lld MB at least; training goes on with that", (long long)t->cfg.auto_mb,
                    (long long)s, (long long)(r->bytes + MB - 1) / MB);
    }
}

/* Rank 0 hears from all stages. Collective over world. */
static cs_status tell(cs_trainer *t, const cs_recompute_choice *c, cs_error *err)
{
    size_t pp = (size_t)t->layout.pp;
    report *all = cs_calloc(pp, sizeof *all);
    int64_t *counts = cs_calloc(pp, sizeof *counts);
    cs_status status = cs_agree(t->world, all && counts ? CS_OK : cs_fail_nomem(err, pp * sizeof *all, "the choice of recomputation"), err);
    for (size_t s = 0; s < pp && status == CS_OK; s++)
        counts[s] = WORDS;
    if (status == CS_OK) {
        report *own = &all[t->mesh.coord[CS_AXIS_PP]];
        char layers[400];
        describe_layers(t, layers, sizeof layers);
        *own = (report){.fits = c->fits, .bytes = c->bytes};
        snprintf(own->text, sizeof own->text,
                 "recomputation of stage %d, layers: %s; %lld of %lld MB, %.4g ms a micro-batch (%.4g ms for all layers)",
                 t->mesh.coord[CS_AXIS_PP], layers, (long long)(c->bytes + MB - 1) / MB, (long long)t->cfg.auto_mb, c->seconds * 1e3,
                 c->all_seconds * 1e3);
        cs_comm_allgather_v(t->mesh.group[CS_AXIS_PP], all, counts, CS_I64);
        if (cs_comm_rank(t->world) == 0)
            say(t, all);
    }
    cs_free(all);
    cs_free(counts);
    return status;
}

cs_status cs_autorecompute_after_step(cs_trainer *t, cs_error *err)
{
    cs_recompute_choice choice;
    if (!is_on(t) || t->profiled >= t->cfg.auto_steps)
        return CS_OK;
    t->profiled++;
    if (t->profiled == 1 && t->cfg.auto_steps > 1) /* memory and packed weights were new */
        t->times = (cs_part_times){0};
    if (t->profiled < t->cfg.auto_steps)
        return CS_OK;
    const cs_part_times times = mean_times(t);
    cs_model_set_drops(t->model, t->drop); /* the choice finds room in what activations took */
    CS_TRY(cs_agree(t->world, choose(t, &times, &choice, err), err));
    cs_model_measure(t->model, NULL);
    cs_model_set_drops(t->model, t->drop);
    CS_TRY(cs_agree(t->world, cs_trainer_make_room(t, err), err));
    return tell(t, &choice, err);
}
