/* Data-parallel training over the flat buffers of a parameter table.
 * Every rank's part is a run of whole units; a unit's size depends on the number of parameters alone. The sum of squares of a unit is one
 * number whoever computes it, and those numbers are added from first to last: the norm has the same bits for any number of ranks
 * (given the same gradients) and with or without sharding. A part begins at a unit, so vector kernels cut every parameter at
 * the same places, too. Must never: average, look at a rank number outside the group, or treat a parameter by its name. */
#include "parallel/dp.h"

#include <math.h>
#include <string.h>

/* Smallest unit, and the number of units from which on it doubles: their sums stay a small buffer for any model. */
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

/* Parts: units dealt out evenly, the first ranks get one more. */
static void cut_parts(cs_dp *dp)
{
    int64_t n = dp->table->n_elements, size = cs_comm_size(dp->group), first = 0;
    for (int64_t r = 0; r < size; r++) {
        dp->units[r] = dp->n_units / size + (r < dp->n_units % size);
        int64_t lo = first * dp->unit, hi = (first + dp->units[r]) * dp->unit;
        dp->counts[r] = (hi < n ? hi : n) - (lo < n ? lo : n);
        if (r == cs_comm_rank(dp->group)) {
            dp->first_unit = first;
            dp->lo = dp->policy.shard_optim ? lo : 0;
            dp->hi = dp->policy.shard_optim ? lo + dp->counts[r] : n;
        }
        first += dp->units[r];
    }
}

static cs_status check(const cs_param_table *t, const cs_kernels *k, cs_dp_policy policy, cs_error *err)
{
    if (policy.shard_grad || policy.shard_param)
        return cs_fail(err, CS_E_USAGE, "sharded gradients and parameters (ZeRO stages 2 and 3) are not in this version; use stage 0 or 1");
    CS_ASSERT(k->acc == t->prec.acc && k->store == t->prec.store && t->prec.acc == t->prec.master);
    CS_ASSERT(t->store && t->n_elements % CS_PARAM_ALIGN == 0);
    return CS_OK;
}

/* Elements of a unit. */
static int64_t unit_of(int64_t n_elements)
{
    int64_t unit = UNIT;
    while (n_elements / unit > MANY_UNITS)
        unit *= 2;
    return unit;
}

int64_t cs_dp_largest_part(int64_t n_elements, int64_t size)
{
    int64_t unit = unit_of(n_elements), n_units = (n_elements + unit - 1) / unit, part = (n_units + size - 1) / size * unit;
    return part < n_elements ? part : n_elements;
}

int64_t cs_dp_n_units(int64_t n_elements)
{
    int64_t unit = unit_of(n_elements);
    return (n_elements + unit - 1) / unit;
}

cs_status cs_dp_init(cs_dp *dp, cs_param_table *table, const cs_kernels *kernels, cs_comm *group, cs_dp_policy policy, cs_error *err)
{
    CS_TRY(check(table, kernels, policy, err));
    *dp = (cs_dp){.policy = policy, .table = table, .kernels = kernels, .group = group, .unit = unit_of(table->n_elements)};
    dp->n_units = cs_dp_n_units(table->n_elements);
    size_t size = (size_t)cs_comm_size(group);
    bool separate = table->prec.store != table->prec.master;
    dp->units = cs_calloc(2 * size, sizeof *dp->units);
    dp->norm_part = zeroed((size_t)dp->n_units * sizeof *dp->norm_part);
    size_t bytes = 0;
    if (dp->units) {
        dp->counts = dp->units + size;
        cut_parts(dp);
        bytes = acc_bytes(dp, dp->hi - dp->lo);
        dp->m = zeroed(bytes);
        dp->v = zeroed(bytes);
        dp->master = separate ? zeroed(bytes) : NULL;
    }
    dp->grad = cs_comm_alloc(group, (int64_t)acc_bytes(dp, table->n_elements)); /* NULL on all ranks or on none */
    cs_status s = CS_OK;
    if (!dp->units || !dp->norm_part || !dp->m || !dp->v || (separate && !dp->master) || !dp->grad)
        s = cs_fail_nomem(err, acc_bytes(dp, table->n_elements) + (separate ? 3 : 2) * bytes, "gradients and optimizer state");
    s = cs_agree(group, s, err);
    table->grad = dp->grad;
    if (separate) {
        table->master = dp->master;
        table->master_lo = dp->lo;
        table->master_hi = dp->hi;
    }
    if (s != CS_OK)
        cs_dp_release(dp);
    return s;
}

void cs_dp_release(cs_dp *dp)
{
    if (!dp->table)
        return;
    cs_comm_free(dp->group, dp->grad);
    cs_free(dp->units);
    cs_free(dp->norm_part);
    cs_free(dp->m);
    cs_free(dp->v);
    if (dp->master)
        dp->table->master = NULL;
    cs_free(dp->master);
    dp->table->grad = NULL;
    *dp = (cs_dp){0};
}

void cs_dp_adopt_weights(cs_dp *dp)
{
    memset(dp->m, 0, acc_bytes(dp, dp->hi - dp->lo));
    memset(dp->v, 0, acc_bytes(dp, dp->hi - dp->lo));
    cs_dp_zero_grads(dp);
}

cs_opt_state cs_dp_opt_state(cs_dp *dp)
{
    return (cs_opt_state){.lo = dp->lo, .hi = dp->hi, .master = dp->master, .m = dp->m, .v = dp->v};
}

void cs_dp_zero_grads(cs_dp *dp)
{
    size_t n = acc_bytes(dp, dp->table->n_elements), step = (size_t)dp->unit * cs_dtype_size(dp->table->prec.acc);
#pragma omp parallel for schedule(static)
    for (int64_t u = 0; u < dp->n_units; u++) {
        size_t at = (size_t)u * step;
        memset((char *)dp->grad + at, 0, n - at < step ? n - at : step);
    }
}

void cs_dp_reduce_grads(cs_dp *dp)
{
    cs_dtype t = dp->table->prec.acc;
    if (!dp->policy.shard_optim)
        cs_comm_allreduce_sum(dp->group, dp->grad, dp->table->n_elements, t);
    else /* the sums land where the gradients of the own part lie */
        cs_comm_reduce_scatter_sum_v(dp->group, dp->grad, cs_flat_at(dp->grad, t, dp->lo), dp->counts, t);
}

double cs_dp_grad_norm(cs_dp *dp, bool *finite)
{
    int64_t n = dp->table->n_elements, mine = dp->units[cs_comm_rank(dp->group)];
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < mine; i++) {
        int64_t u = dp->first_unit + i, lo = u * dp->unit, len = n - lo < dp->unit ? n - lo : dp->unit;
        dp->norm_part[u] = dp->kernels->acc_sumsq(len, cs_flat_at(dp->grad, dp->table->prec.acc, lo));
    }
    cs_comm_allgather_v(dp->group, dp->norm_part, dp->units, CS_F64);
    double sum = 0;
    for (int64_t u = 0; u < dp->n_units; u++)
        sum += dp->norm_part[u];
    *finite = isfinite(sum); /* squares of f32 do not overflow f64; an overflow of f64 gradients is no step to take either */
    return sqrt(sum);
}

/* Updates the part of parameter p that this rank owns. */
static void update(cs_dp *dp, const cs_param *p, const cs_adamw *h)
{
    int64_t lo = p->offset > dp->lo ? p->offset : dp->lo, end = p->offset + p->n, hi = end < dp->hi ? end : dp->hi;
    if (lo >= hi)
        return;
    cs_dtype acc = dp->table->prec.acc;
    cs_adamw args = *h;
    if (!p->decay)
        args.weight_decay = 0;
    void *store = cs_flat_at(dp->table->store, dp->table->prec.store, lo);
    void *value = dp->master ? cs_flat_at(dp->master, acc, lo - dp->lo) : store;
    void *m = cs_flat_at(dp->m, acc, lo - dp->lo), *v = cs_flat_at(dp->v, acc, lo - dp->lo);
    dp->kernels->adamw(hi - lo, value, m, v, cs_flat_at(dp->grad, acc, lo), &args, store);
}

void cs_dp_step(cs_dp *dp, const cs_adamw *h)
{
    for (int64_t i = 0; i < dp->table->n_rows; i++)
        update(dp, &dp->table->row[i], h);
    if (dp->policy.shard_optim)
        cs_comm_allgather_v(dp->group, dp->table->store, dp->counts, dp->table->prec.store);
    cs_param_touch(dp->table);
}
