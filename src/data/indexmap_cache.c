/* The .npy files of the index maps, named as Megatron names them, and the checks before one is trusted:
 * the names hold neither the --split nor the content of the corpus, so a file of the right name may still be of another run. */
#include "base/mem.h"
#include "data/indexmap.h"
#include "fmt/npy.h"

#include <stdio.h>

static const char *const kind_name[3] = {"doc", "sample", "shuffle"};

static char *cache_path(const cs_indexmap_key *key, const char *prefix, const char *name, int kind)
{
    size_t n = strlen(prefix) + strlen(name) + 128;
    char *p = cs_malloc(n);
    if (p)
        snprintf(p, n, "%s_%s_indexmap_%lldns_%lldsl_%llds_%s_idx.npy", prefix, name, (long long)key->n_wanted, (long long)key->seq_length,
                 (long long)key->seed, kind_name[kind]);
    return p;
}

/* Type and shape of map `kind`. */
static cs_dtype kind_shape(const cs_indexmap_plan *p, int kind, int *ndim, int64_t shape[2])
{
    *ndim = kind == 1 ? 2 : 1;
    shape[0] = kind == 0 ? p->n_doc : kind == 1 ? p->n_sample + 1 : p->n_sample;
    shape[1] = kind == 1 ? 2 : 1;
    return kind == 0 ? CS_I32 : kind == 1 ? (p->wide_sample ? CS_I64 : CS_I32) : (p->wide_shuffle ? CS_I64 : CS_U32);
}

cs_status cs_indexmap_save(const cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, cs_error *err)
{
    const void *data[3] = {m->doc, m->sample, m->shuffle};
    for (int kind = 0; kind < 3; kind++) {
        int ndim;
        int64_t shape[2];
        cs_dtype dtype = kind_shape(&m->plan, kind, &ndim, shape);
        char *path = cache_path(key, prefix, name, kind);
        if (!path)
            return cs_fail_nomem(err, strlen(prefix), "a file name");
        cs_status s = cs_npy_write(path, dtype, ndim, shape, data[kind], err);
        cs_free(path);
        CS_TRY(s);
    }
    return CS_OK;
}

/* Each document of the split exactly `epochs` times; with a separate last epoch once in that one. */
static cs_status check_doc(const cs_indexmap *m, const cs_indexmap_key *key, cs_error *err)
{
    const cs_indexmap_plan *p = &m->plan;
    int64_t n = key->hi - key->lo;
    int64_t *count = cs_calloc((size_t)n, sizeof *count);
    if (!count)
        return cs_fail_nomem(err, (size_t)n * sizeof *count, "checking an index map");
    cs_status s = CS_OK;
    for (int64_t i = 0; i < p->n_doc && s == CS_OK; i++) {
        int64_t d = m->doc[i], epoch = i / n + 1;
        if (d < key->lo || d >= key->hi)
            s = cs_fail(err, CS_E_FORMAT, "%s: entry %lld is document %lld, outside of the split's %lld..%lld", m->paths[0], (long long)i,
                        (long long)d, (long long)key->lo, (long long)key->hi - 1);
        else if (++count[d - key->lo] > (p->separate_last_epoch && epoch < p->epochs ? p->epochs - 1 : p->epochs))
            s = cs_fail(err, CS_E_FORMAT, "%s: entry %lld: document %lld comes too often", m->paths[0], (long long)i, (long long)d);
    }
    cs_free(count);
    return s;
}

/* Walks the documents anew; doc is known to be good. */
static cs_status check_sample(const cs_indexmap *m, const cs_indexmap_key *key, cs_error *err)
{
    int64_t position = 0, offset = 0, p, o;
    for (int64_t k = 0; k <= m->plan.n_sample; k++) {
        cs_indexmap_start(m, k, &p, &o);
        if (p != position || o != offset)
            return cs_fail(err, CS_E_FORMAT, "%s: sample %lld starts at (%lld, %lld), the documents give (%lld, %lld)", m->paths[1], (long long)k,
                           (long long)p, (long long)o, (long long)position, (long long)offset);
        if (k == m->plan.n_sample)
            break;
        cs_indexmap_advance(key, m->doc, &position, &offset);
    }
    return CS_OK;
}

static cs_status check_shuffle(const cs_indexmap *m, cs_error *err)
{
    int64_t n = m->plan.n_sample, first = m->plan.n_first;
    uint8_t *seen = cs_calloc((size_t)n / 8 + 1, 1);
    if (!seen)
        return cs_fail_nomem(err, (size_t)n / 8 + 1, "checking an index map");
    cs_status s = CS_OK;
    for (int64_t k = 0; k < n && s == CS_OK; k++) {
        int64_t v = cs_indexmap_shuffled(m, k);
        if (v < 0 || v >= n || (v < first) != (k < first) || (seen[v / 8] >> (v % 8) & 1))
            s = cs_fail(err, CS_E_FORMAT, "%s: entry %lld is %lld: out of range or twice", m->paths[2], (long long)k, (long long)v);
        else
            seen[v / 8] |= (uint8_t)(1 << (v % 8));
    }
    cs_free(seen);
    return s;
}

static cs_status load_one(cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, int kind, const void **data,
                          cs_error *err)
{
    cs_npy a;
    int ndim;
    int64_t shape[2];
    char *path = cache_path(key, prefix, name, kind);
    if (!path)
        return cs_fail_nomem(err, strlen(prefix), "a file name");
    cs_status s = cs_map_init(&m->maps[kind], path, err);
    if (s != CS_OK) {
        cs_free(path);
        return s;
    }
    m->paths[kind] = path;
    CS_TRY(cs_npy_parse(&a, m->maps[kind].data, m->maps[kind].size, path, err));
    cs_dtype dtype = kind_shape(&m->plan, kind, &ndim, shape);
    if (a.dtype != dtype || a.ndim != ndim || a.shape[0] != shape[0] || a.shape[1] != shape[1])
        return cs_fail(err, CS_E_FORMAT, "%s: %s of shape (%lld, %lld), expected %s (%lld, %lld)", path, cs_dtype_name(a.dtype),
                       (long long)a.shape[0], (long long)a.shape[1], cs_dtype_name(dtype), (long long)shape[0], (long long)shape[1]);
    if ((uintptr_t)a.data % cs_dtype_size(dtype) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: the data are not aligned to %zu bytes", path, cs_dtype_size(dtype));
    *data = a.data;
    return CS_OK;
}

cs_status cs_indexmap_load(cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, cs_error *err)
{
    const void *data[3] = {NULL, NULL, NULL};
    *m = (cs_indexmap){0};
    cs_status s = cs_indexmap_plan_init(&m->plan, key, err);
    for (int kind = 0; kind < 3 && s == CS_OK; kind++)
        s = load_one(m, key, prefix, name, kind, &data[kind], err);
    m->doc = data[0];
    m->sample = data[1];
    m->shuffle = data[2];
    if (s == CS_OK)
        s = check_doc(m, key, err);
    if (s == CS_OK)
        s = check_sample(m, key, err);
    if (s == CS_OK)
        s = check_shuffle(m, err);
    if (s != CS_OK)
        cs_indexmap_release(m);
    return s;
}
