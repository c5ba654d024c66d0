/* Data-parallel training over the flat buffers of a parameter table.
 * Every rank's part of a group is a run of whole pieces; a piece's size depends on the number of parameters alone. The sum of squares of a piece is
 * one number whoever computes it, and those numbers are added group by group from first to last: the norm has the same bits for any number of ranks
 * (given the same gradients) and with or without sharding. A part begins at a piece, so vector kernels cut every parameter at
 * the same places, too. Must never: average, look at a rank number outside the group, or treat a parameter by its name. */
#include "parallel/dp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Smallest piece, and the number of pieces from which on it doubles: their sums stay a small buffer for any model. */
enum { UNIT = 4096, MANY_UNITS = 16384 };

static size_t acc_bytes(const cs_dp *dp, int64_t n)
{
    return (size_t)n * cs_dtype_size(dp->table->prec.acc);
}

static void *zeroed(size_t bytes)
{
    void *p = cs_alloc_aligned(bytes ? bytes : 1);
    if (p)
        memset(p, 0, bytes);
    return p;
}

/* Elements of a piece. */
static int64_t unit_of(int64_t n_elements)
{
    int64_t unit = UNIT;
    while (n_elements / unit > MANY_UNITS)
        unit *= 2;
    return unit;
}

static int64_t units_in(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit;
}

static int64_t shared(int64_t a_hi, int64_t lo, int64_t hi)
{
    int64_t end = hi < a_hi ? hi : a_hi;
    return end > lo ? end - lo : 0;
}

/* Pieces of group g that ranks before r of `size` get: dealt out evenly, what remains to other ranks in every group. */
static int64_t dealt_before(int64_t n_units, int64_t g, int64_t r, int64_t size)
{
    int64_t rest = n_units % size, first = g % size;
    return r * (n_units / size) + shared(r, first, first + rest < size ? first + rest : size) + shared(r, 0, first + rest - size);
}

/* Elements [lo, hi) of group g, counted from its beginning, that are rank r's. */
static cs_flat_range part_of(const cs_param_group *p, int64_t unit, int64_t g, int64_t r, int64_t size)
{
    int64_t n = p->hi - p->lo, n_units = units_in(n, unit), lo = dealt_before(n_units, g, r, size) * unit;
    int64_t hi = dealt_before(n_units, g, r + 1, size) * unit;
    return (cs_flat_range){lo < n ? lo : n, hi < n ? hi : n, 0};
}

int64_t cs_dp_unit(const cs_param_table *t)
{
    return unit_of(t->n_elements);
}

int64_t cs_dp_part(const cs_param_table *t, int64_t unit, int64_t group, int64_t rank, int64_t size)
{
    cs_flat_range part = part_of(&t->group[group], unit, group, rank, size);
    return part.hi - part.lo;
}

int64_t cs_dp_n_units(const cs_param_table *t)
{
    int64_t sum = 0, unit = unit_of(t->n_elements);
    for (int64_t g = 0; g < t->n_groups; g++)
        sum += units_in(t->group[g].hi - t->group[g].lo, unit);
    return sum;
}

static void cut_group(cs_dp *dp, int64_t g)
{
    const cs_param_group *p = &dp->table->group[g];
    int64_t size = cs_comm_size(dp->group);
    for (int64_t r = 0; r < size; r++) {
        cs_flat_range part = part_of(p, dp->unit, g, r, size);
        int64_t n = part.hi - part.lo;
        dp->counts[g * size + r] = n;
        dp->units[r] += units_in(n, dp->unit);
        if (r == cs_comm_rank(dp->group)) {
            dp->part[g] = (cs_flat_range){p->lo + part.lo, p->lo + part.hi, dp->n_part};
            dp->own[g] = (cs_flat_range){p->lo + part.lo, p->lo + part.hi, p->lo + part.lo};
            dp->n_part += n;
        }
    }
}

static cs_status check(const cs_param_table *t, const cs_kernels *k, cs_dp_policy policy, cs_error *err)
{
    if ((policy.shard_grad && (t->place.n_stages > 1 || !policy.shard_optim)) || (policy.shard_param && !policy.shard_grad))
        return cs_fail(err, CS_E_USAGE, "ZeRO stages 2 and 3 shard optimizer state too, and need a model without pipeline stages");
    CS_ASSERT(k->acc == t->prec.acc && k->store == t->prec.store && t->prec.acc == t->prec.master);
    CS_ASSERT(t->store && t->n_elements % CS_PARAM_ALIGN == 0);
    return CS_OK;
}

static bool allocate(cs_dp *dp)
{
    size_t size = (size_t)cs_comm_size(dp->group), n_groups = (size_t)dp->table->n_groups;
    dp->counts = cs_calloc(n_groups * size, sizeof *dp->counts);
    dp->units = cs_calloc(2 * size, sizeof *dp->units);
    dp->part = cs_calloc(2 * n_groups, sizeof *dp->part);
    dp->under_way = cs_calloc(n_groups, sizeof *dp->under_way);
    dp->begun = cs_calloc(2 * n_groups, sizeof *dp->begun);
    dp->gathering = cs_calloc(n_groups, sizeof *dp->gathering);
    dp->presence = cs_calloc(n_groups, sizeof *dp->presence);
    dp->norm_part = zeroed((size_t)cs_dp_n_units(dp->table) * sizeof *dp->norm_part);
    if (!dp->counts || !dp->units || !dp->part || !dp->norm_part || !dp->under_way || !dp->begun || !dp->gathering ||
        !dp->presence)
        return false;
    dp->cursor = dp->units + size;
    dp->own = dp->part + n_groups;
    dp->written = dp->begun + n_groups;
    for (int64_t g = 0; g < dp->table->n_groups; g++)
        cut_group(dp, g);
    dp->n_state = dp->policy.shard_optim ? dp->n_part : dp->table->n_elements;
    return true;
}

/* Moments and master weights. */
static cs_status allocate_state(cs_dp *dp, bool separate, cs_error *err)
{
    size_t bytes = acc_bytes(dp, dp->n_state);
    void *buffer[CS_OFFLOAD_BUFFERS] = {NULL};
    int moments = cs_update_moments(dp->policy.rule), n = moments + separate;
    bool ok = true;
    const int *at = dp->mesh->coord;
    char name[64];
    snprintf(name, sizeof name, "tp%d-dp%d-pp%d", at[CS_AXIS_TP], at[CS_AXIS_DP], at[CS_AXIS_PP]);
    if (dp->policy.offload_dir && n > 0)
        CS_TRY(cs_offload_init(&dp->offload, dp->policy.offload_dir, name, bytes, n, buffer, err));
    for (int i = 0; i < n && !dp->policy.offload_dir; i++)
        buffer[i] = zeroed(bytes);
    for (int i = 0; i < n; i++)
        ok &= buffer[i] != NULL;
    dp->m = moments > 0 ? buffer[0] : NULL;
    dp->v = moments > 1 ? buffer[1] : NULL;
    dp->master = separate ? buffer[moments] : NULL;
    return ok ? CS_OK : cs_fail_nomem(err, (size_t)n * bytes, "optimizer state");
}

/* Counts memory of a sparse buffer: `n` elements of a group came (n > 0) or went. */
static void hold(cs_dp *dp, int64_t n, cs_dtype type)
{
    int64_t bytes = n * (int64_t)cs_dtype_size(type);
    cs_mem_hold(bytes);
    dp->held += bytes;
}

static void hold_own(cs_dp *dp)
{
    if (dp->policy.shard_grad)
        hold(dp, dp->n_part, dp->table->prec.acc);
    if (dp->policy.shard_param && cs_comm_size(dp->group) > 1)
        hold(dp, dp->n_part, dp->table->prec.store);
}

/* Elements of a group that other ranks own. */
static int64_t others(const cs_dp *dp, int64_t g)
{
    const cs_param_group *p = &dp->table->group[g];
    return p->hi - p->lo - (dp->part[g].hi - dp->part[g].lo);
}

cs_status cs_dp_init(cs_dp *dp, cs_param_table *table, const cs_kernels *kernels, const cs_mesh *mesh, cs_dp_policy policy, cs_error *err)
{
    CS_TRY(check(table, kernels, policy, err));
    bool separate = table->prec.store != table->prec.master;
    *dp = (cs_dp){.policy = policy, .table = table, .kernels = kernels, .mesh = mesh, .group = mesh->group[CS_AXIS_DP],
                  .unit = unit_of(table->n_elements), .whole = {0, table->n_elements, 0}};
    bool ok = allocate(dp);
    int64_t bytes = (int64_t)acc_bytes(dp, table->n_elements);
    dp->grad = policy.shard_grad ? cs_comm_alloc_sparse(dp->group, bytes) : cs_comm_alloc(dp->group, bytes); /* NULL on all ranks or on none */
    cs_status s = CS_OK;
    if (!ok || !dp->grad)
        s = cs_fail_nomem(err, acc_bytes(dp, table->n_elements), "gradients");
    if (s == CS_OK)
        s = allocate_state(dp, separate, err);
    s = cs_agree(mesh->world, s, err);
    table->grad = dp->grad;
    if (separate) {
        table->master = dp->master;
        table->master_range = policy.shard_optim ? dp->part : &dp->whole;
        table->n_master_ranges = policy.shard_optim ? table->n_groups : 1;
    }
    if (policy.shard_param && s == CS_OK) {
        table->store_range = dp->own;
        table->n_store_ranges = table->n_groups;
    }
    if (s == CS_OK)
        hold_own(dp);
    if (s != CS_OK)
        cs_dp_release(dp);
    return s;
}

void cs_dp_release(cs_dp *dp)
{
    if (!dp->table)
        return;
    cs_mem_hold(-dp->held);
    cs_comm_free(dp->group, dp->grad);
    cs_free(dp->counts);
    cs_free(dp->units);
    cs_free(dp->part);
    cs_free(dp->under_way);
    cs_free(dp->begun);
    cs_free(dp->gathering);
    cs_free(dp->presence);
    cs_free(dp->norm_part);
    if (dp->master)
        dp->table->master = NULL;
    if (!dp->policy.offload_dir) {
        cs_free(dp->m);
        cs_free(dp->v);
        cs_free(dp->master);
    }
    cs_offload_release(&dp->offload);
    dp->table->grad = NULL;
    dp->table->store_range = NULL;
    *dp = (cs_dp){0};
}

void cs_dp_adopt_weights(cs_dp *dp)
{
    for (int i = 0; i < cs_update_moments(dp->policy.rule); i++)
        memset(i == 0 ? dp->m : dp->v, 0, acc_bytes(dp, dp->n_state));
    cs_dp_zero_grads(dp);
}

cs_opt_state cs_dp_opt_state(cs_dp *dp)
{
    bool shard = dp->policy.shard_optim;
    return (cs_opt_state){.range = shard ? dp->part : &dp->whole, .n_ranges = shard ? dp->table->n_groups : 1, .n = dp->n_state,
                          .master = dp->master, .m = dp->m, .v = dp->v, .replicated = !shard};
}

/* With shard_grad other parts are zero already. */
static void zero_own_grads(cs_dp *dp)
{
    for (int64_t g = 0; g < dp->table->n_groups; g++)
        memset(cs_flat_at(dp->grad, dp->table->prec.acc, dp->part[g].lo), 0, acc_bytes(dp, dp->part[g].hi - dp->part[g].lo));
}

void cs_dp_zero_grads(cs_dp *dp)
{
    if (dp->policy.shard_grad) {
        zero_own_grads(dp);
        return;
    }
    int64_t n = dp->table->n_elements, pieces = units_in(n, dp->unit);
#pragma omp parallel for schedule(static)
    for (int64_t u = 0; u < pieces; u++) {
        int64_t lo = u * dp->unit, len = n - lo < dp->unit ? n - lo : dp->unit;
        memset(cs_flat_at(dp->grad, dp->table->prec.acc, lo), 0, acc_bytes(dp, len));
    }
}

static void *grad_at(const cs_dp *dp, int64_t element)
{
    return cs_flat_at(dp->grad, dp->table->prec.acc, element);
}

static int64_t n_layers_of(const cs_param_table *t)
{
    return (t->n_rows - CS_ROW_FIRST_LAYER) / CS_ROW_PER_LAYER;
}

/* The embedding of a model with a tied head in a pipeline lies on two stages, which add their gradients first. */
static bool is_tied(const cs_dp *dp, int64_t g)
{
    const cs_param_table *t = dp->table;
    const cs_param *embed = &t->row[CS_ROW_EMBED];
    return t->row[CS_ROW_HEAD].n_parts == 0 && t->place.n_stages > 1 && embed->n > 0 && embed->in_group == g;
}

static void sum_over_tensor_ranks(cs_dp *dp, int64_t lo, int64_t hi)
{
    cs_comm_allreduce_sum(dp->mesh->group[CS_AXIS_TP], grad_at(dp, lo), hi - lo, dp->table->prec.acc);
}

static void begin_group(cs_dp *dp, int64_t g)
{
    const cs_param_table *t = dp->table;
    const cs_param_group *p = &t->group[g];
    void *grad = grad_at(dp, p->lo);
    dp->begun[g] = true;
    /* With shard_grad this may be one of several micro-batches: the own part holds the sum over those before, and other ranks' parts are fresh. */
    if (dp->policy.sequence_parallel && p->replicated && !dp->policy.shard_grad)
        sum_over_tensor_ranks(dp, p->lo, p->hi);
    if (dp->policy.shard_optim) /* the sums land where the gradients of the own part lie */
        cs_comm_reduce_scatter_sum_begin(dp->group, grad, grad_at(dp, dp->part[g].lo), dp->counts + g * cs_comm_size(dp->group), t->prec.acc,
                                         &dp->under_way[g]);
    else
        cs_comm_allreduce_sum_begin(dp->group, grad, p->hi - p->lo, t->prec.acc, &dp->under_way[g]);
}

/* Makes everything of group g in a buffer of the table's size zero but the own part, and gives its memory back. */
static void drop_others(cs_dp *dp, int64_t g, void *flat, cs_dtype type)
{
    const cs_param_group *p = &dp->table->group[g];
    const cs_flat_range *part = &dp->part[g];
    size_t size = cs_dtype_size(type);
    cs_mem_clear(cs_flat_at(flat, type, p->lo), (size_t)(part->lo - p->lo) * size);
    cs_mem_clear(cs_flat_at(flat, type, part->hi), (size_t)(p->hi - part->hi) * size);
}

/* Gradients of a whole group are in memory, or only those of the own part. */
static void hold_grads(cs_dp *dp, int64_t g, bool whole)
{
    if (dp->written[g] != whole)
        hold(dp, whole ? others(dp, g) : -others(dp, g), dp->table->prec.acc);
    dp->written[g] = whole;
}

static void finish_group(cs_dp *dp, int64_t g)
{
    if (!dp->begun[g])
        return;
    cs_comm_wait(&dp->under_way[g]);
    dp->begun[g] = false;
    if (dp->policy.shard_grad) {
        drop_others(dp, g, dp->grad, dp->table->prec.acc);
        hold_grads(dp, g, false);
    }
}

void cs_dp_begin_reduce(cs_dp *dp, int64_t chunk)
{
    const cs_param_table *t = dp->table;
    const cs_layers layers = t->place.chunk[chunk];
    int64_t n_layers = n_layers_of(t);
    bool last = chunk == t->place.n_chunks - 1;
    for (int64_t g = 0; g < t->n_groups; g++) {
        int64_t l = t->group[g].layer;
        bool here = (l >= layers.lo && l < layers.hi) || (last && l >= 0 && l == n_layers);
        if (here && !dp->begun[g] && !is_tied(dp, g))
            begin_group(dp, g);
    }
}

void cs_dp_reduce_grads(cs_dp *dp)
{
    const cs_param_table *t = dp->table;
    const cs_param *embed = &t->row[CS_ROW_EMBED];
    if (embed->n > 0 && is_tied(dp, embed->in_group))
        cs_comm_allreduce_sum(dp->mesh->tie, grad_at(dp, embed->offset), embed->n, t->prec.acc);
    for (int64_t g = 0; g < t->n_groups; g++)
        if (!dp->begun[g] && !dp->policy.shard_grad) /* else every micro-batch has done it */
            begin_group(dp, g);
    for (int64_t g = 0; g < t->n_groups; g++) {
        finish_group(dp, g);
        if (dp->policy.shard_grad && dp->policy.sequence_parallel && t->group[g].replicated)
            sum_over_tensor_ranks(dp, dp->part[g].lo, dp->part[g].hi);
    }
}

enum presence { AWAY, COMING, HERE };

static void begin_gather(cs_dp *dp, int64_t g)
{
    const cs_param_table *t = dp->table;
    if (dp->presence[g] != AWAY)
        return;
    cs_comm_allgather_begin(dp->group, cs_flat_at(t->store, t->prec.store, t->group[g].lo), dp->counts + g * cs_comm_size(dp->group), t->prec.store,
                            &dp->gathering[g]);
    dp->presence[g] = COMING;
    hold(dp, others(dp, g), t->prec.store);
}

/* A group whose rows are looked up in the embedding, and used again in a tied head. */
static bool is_tied_head(const cs_param_table *t, int64_t g, int64_t layer)
{
    return t->row[CS_ROW_EMBED].in_group == g && t->row[CS_ROW_HEAD].n_parts == 0 && layer == n_layers_of(t);
}

/* Are the weights of group g read in a pass through `layer`? The backward passes of a look-up and of the head, whose gradients are made in its
 * forward pass, read none but those of norms. */
static bool is_read(const cs_param_table *t, int64_t g, int64_t layer, bool backward)
{
    if (backward && (layer == -1 || layer == n_layers_of(t)))
        return t->group[g].layer == layer && t->group[g].replicated;
    return t->group[g].layer == layer || is_tied_head(t, g, layer);
}

/* Are gradients of group g made in it? In forward passes the head's alone. */
static bool is_written(const cs_param_table *t, int64_t g, int64_t layer, bool backward)
{
    return (backward || layer == n_layers_of(t)) && (t->group[g].layer == layer || is_tied_head(t, g, layer));
}

static void begin_layer(cs_dp *dp, int64_t layer, bool backward)
{
    for (int64_t g = 0; g < dp->table->n_groups; g++)
        if (is_read(dp->table, g, layer, backward))
            begin_gather(dp, g);
}

static void on_enter(void *context, int64_t layer, bool backward)
{
    cs_dp *dp = context;
    const cs_param_table *t = dp->table;
    for (int64_t g = 0; g < t->n_groups; g++) /* a reduction of the micro-batch before this one */
        if (t->group[g].layer == layer)
            finish_group(dp, g);
    for (int64_t g = 0; layer == -1 && !backward && g < t->n_groups; g++)
        if (!dp->begun[g])
            hold_grads(dp, g, false); /* of an evaluation, whose head has made none */
    if (!dp->policy.shard_param)
        return;
    begin_layer(dp, layer, backward);
    for (int64_t g = 0; g < t->n_groups; g++)
        if (is_read(t, g, layer, backward)) {
            cs_comm_wait(&dp->gathering[g]);
            dp->presence[g] = HERE;
        }
    begin_layer(dp, backward ? layer - 1 : layer + 1, backward);
}

/* Packed copies of weights that go are worth nothing. */
static void drop_weights(cs_dp *dp, int64_t g)
{
    cs_param_table *t = dp->table;
    for (int64_t i = 0; i < t->n_rows; i++)
        if (t->row[i].n > 0 && t->row[i].in_group == g)
            dp->kernels->weight_release(&t->row[i].weight);
    drop_others(dp, g, t->store, t->prec.store);
    hold(dp, -others(dp, g), t->prec.store);
    dp->presence[g] = AWAY;
}

static void on_leave(void *context, int64_t layer, bool backward)
{
    cs_dp *dp = context;
    const cs_param_table *t = dp->table;
    for (int64_t g = 0; g < t->n_groups; g++)
        if (is_written(t, g, layer, backward))
            hold_grads(dp, g, true);
    for (int64_t g = 0; g < t->n_groups; g++)
        if (dp->presence[g] == HERE && is_read(t, g, layer, backward))
            drop_weights(dp, g);
    if (!backward)
        return;
    for (int64_t g = 0; g < t->n_groups; g++) /* of the layer before */
        finish_group(dp, g);
    for (int64_t g = 0; g < t->n_groups; g++)
        if (t->group[g].layer == layer)
            begin_group(dp, g);
}

cs_model_hooks cs_dp_hooks(cs_dp *dp)
{
    return (cs_model_hooks){.context = dp->policy.shard_grad ? dp : NULL, .enter = on_enter, .leave = on_leave};
}

/* Sums of squares of this rank's pieces, from norm_part[at] on. */
static void square_parts(cs_dp *dp, int64_t at)
{
    for (int64_t g = 0; g < dp->table->n_groups; g++) {
        int64_t lo = dp->part[g].lo, hi = dp->part[g].hi, n = units_in(hi - lo, dp->unit);
#pragma omp parallel for schedule(static)
        for (int64_t u = 0; u < n; u++) {
            int64_t from = lo + u * dp->unit, len = hi - from < dp->unit ? hi - from : dp->unit;
            dp->norm_part[at + u] = dp->kernels->acc_sumsq(len, grad_at(dp, from));
        }
        at += n;
    }
}

/* Of several ranks that hold the same parameters one counts them. */
static bool counts_in_norm(const cs_dp *dp, const cs_param_group *g)
{
    return !g->copy && (!g->replicated || dp->mesh->coord[CS_AXIS_TP] == 0);
}

/* The pieces' sums added group by group, within a group in the order of its ranks. */
static double sum_parts(cs_dp *dp)
{
    int size = cs_comm_size(dp->group);
    double sum = 0;
    for (int r = 0, base = 0; r < size; base += (int)dp->units[r++])
        dp->cursor[r] = base;
    for (int64_t g = 0; g < dp->table->n_groups; g++)
        for (int r = 0; r < size; r++) {
            int64_t n = units_in(dp->counts[g * size + r], dp->unit);
            for (int64_t u = 0; u < n && counts_in_norm(dp, &dp->table->group[g]); u++)
                sum += dp->norm_part[dp->cursor[r] + u];
            dp->cursor[r] += n;
        }
    return sum;
}

double cs_dp_grad_norm(cs_dp *dp, bool *finite)
{
    int64_t at = 0;
    for (int r = 0; r < cs_comm_rank(dp->group); r++)
        at += dp->units[r];
    square_parts(dp, at);
    cs_comm_allgather_v(dp->group, dp->norm_part, dp->units, CS_F64);
    double sum = sum_parts(dp);
    cs_comm_allreduce_sum(dp->mesh->group[CS_AXIS_TP], &sum, 1, CS_F64);
    cs_comm_allreduce_sum(dp->mesh->group[CS_AXIS_PP], &sum, 1, CS_F64);
    *finite = isfinite(sum); /* squares of f32 do not overflow f64; an overflow of f64 gradients is no step to take either */
    return sqrt(sum);
}

/* Updates what this rank owns of parameter p. */
static void update(cs_dp *dp, const cs_param *p, const cs_update *h)
{
    cs_dtype acc = dp->table->prec.acc;
    cs_flat_range own;
    if (p->n == 0 || !cs_flat_clip(dp->policy.shard_optim ? &dp->part[p->in_group] : &dp->whole, 1, p->offset, p->offset + p->n, &own))
        return;
    cs_update args = *h;
    if (!p->decay)
        args.weight_decay = 0;
    void *store = cs_flat_at(dp->table->store, dp->table->prec.store, own.lo);
    void *value = dp->master ? cs_flat_at(dp->master, acc, own.at) : store;
    void *m = dp->m ? cs_flat_at(dp->m, acc, own.at) : NULL;
    if (dp->policy.rule == CS_UPDATE_ADAMW)
        dp->kernels->adamw(own.hi - own.lo, value, m, cs_flat_at(dp->v, acc, own.at), grad_at(dp, own.lo), &args, store);
    else
        dp->kernels->sgd(own.hi - own.lo, value, m, grad_at(dp, own.lo), &args, store);
}

void cs_dp_step(cs_dp *dp, const cs_update *h)
{
    const cs_param_table *t = dp->table;
    int size = cs_comm_size(dp->group);
    for (int64_t i = 0; i < t->n_rows; i++)
        update(dp, &t->row[i], h);
    for (int64_t g = 0; dp->policy.shard_optim && !dp->policy.shard_param && g < t->n_groups; g++)
        cs_comm_allgather_v(dp->group, cs_flat_at(t->store, t->prec.store, t->group[g].lo), dp->counts + g * size, t->prec.store);
    cs_param_touch(dp->table);
}
