/* See order.h. */
#include "data/order.h"

#include "base/mem.h"
#include "data/mt19937.h"
#include "fmt/npy.h"

#include <stdio.h>

static cs_status plan(const cs_order_key *key, int64_t *n, cs_error *err)
{
    CS_ASSERT(key->n_unit >= 1 && key->n_wanted >= 1);
    if (__builtin_mul_overflow(key->n_wanted / key->n_unit + 1, key->n_unit, n) || *n > INT64_MAX / 8)
        return cs_fail(err, CS_E_USAGE, "%lld samples of %lld are more than can be numbered", (long long)key->n_wanted, (long long)key->n_unit);
    return CS_OK;
}

static cs_status file_name(const cs_order_key *key, const char *prefix, const char *name, char **path, cs_error *err)
{
    size_t n = strlen(prefix) + strlen(name) + 144;
    char row[32] = "";
    *path = cs_malloc(n);
    if (!*path)
        return cs_fail_nomem(err, n, "a file name");
    if (key->row_length > 0)
        snprintf(row, sizeof row, "_%lldsl", (long long)key->row_length);
    snprintf(*path, n, "%s_%s_indexmap_%lldns%s_%llds_decoder_%s_shuffle_idx.npy", prefix, name, (long long)key->n_wanted, row,
             (long long)key->seed, key->row_length > 0 ? "rows" : "packed");
    return CS_OK;
}

cs_status cs_order_build(cs_order *o, const cs_order_key *key, cs_error *err)
{
    cs_mt19937 g;
    *o = (cs_order){0};
    CS_TRY(plan(key, &o->n, err));
    o->owned = cs_calloc((size_t)o->n, sizeof *o->owned);
    if (!o->owned)
        return cs_fail_nomem(err, (size_t)o->n * sizeof *o->owned, "the order of the samples");
    cs_mt19937_init(&g, (uint32_t)key->seed);
    for (int64_t from = 0; from < o->n; from += key->n_unit) {
        for (int64_t i = 0; i < key->n_unit; i++)
            o->owned[from + i] = i;
        cs_mt19937_shuffle_i64(&g, o->owned + from, key->n_unit);
    }
    o->at = o->owned;
    return CS_OK;
}

cs_status cs_order_save(const cs_order *o, const cs_order_key *key, const char *prefix, const char *name, cs_error *err)
{
    const int64_t shape[2] = {o->n, 1};
    char *path;
    CS_TRY(file_name(key, prefix, name, &path, err));
    cs_status s = cs_npy_write(path, CS_I64, 1, shape, o->at, err);
    cs_free(path);
    return s;
}

/* Each unit once in every epoch. */
static cs_status check(const cs_order *o, const cs_order_key *key, cs_error *err)
{
    int64_t *last = cs_calloc((size_t)key->n_unit, sizeof *last); /* the epoch, from 1 on, in which a unit was seen last */
    cs_status s = last ? CS_OK : cs_fail_nomem(err, (size_t)key->n_unit * sizeof *last, "checking the order of the samples");
    for (int64_t i = 0; i < o->n && s == CS_OK; i++) {
        int64_t unit = o->at[i], epoch = i / key->n_unit + 1;
        if (unit < 0 || unit >= key->n_unit || last[unit] == epoch)
            s = cs_fail(err, CS_E_FORMAT, "%s: entry %lld is %lld: out of range or twice in an epoch of %lld", o->path, (long long)i, (long long)unit,
                        (long long)key->n_unit);
        else
            last[unit] = epoch;
    }
    cs_free(last);
    return s;
}

static cs_status open_file(cs_order *o, const cs_order_key *key, cs_error *err)
{
    cs_npy a;
    CS_TRY(cs_npy_parse(&a, o->map.data, o->map.size, o->path, err));
    if (a.dtype != CS_I64 || a.ndim != 1 || a.shape[0] != o->n || (uintptr_t)a.data % sizeof *o->at != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: %s of shape (%lld, %lld), expected i64 (%lld, 1), aligned", o->path, cs_dtype_name(a.dtype),
                       (long long)a.shape[0], (long long)a.shape[1], (long long)o->n);
    o->at = (const int64_t *)(const void *)a.data;
    return check(o, key, err);
}

cs_status cs_order_load(cs_order *o, const cs_order_key *key, const char *prefix, const char *name, cs_error *err)
{
    char *path;
    *o = (cs_order){0};
    CS_TRY(plan(key, &o->n, err));
    CS_TRY(file_name(key, prefix, name, &path, err));
    cs_status s = cs_map_init(&o->map, path, err);
    if (s != CS_OK) {
        cs_free(path);
        return s;
    }
    o->path = path;
    s = open_file(o, key, err);
    if (s != CS_OK)
        cs_order_release(o);
    return s;
}

void cs_order_release(cs_order *o)
{
    cs_free(o->owned);
    if (o->path)
        cs_map_release(&o->map);
    cs_free(o->path);
    *o = (cs_order){0};
}
