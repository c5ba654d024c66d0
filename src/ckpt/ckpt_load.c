/* Loading: weights and optimizer state from mapped files into the flat buffers, converted on the way, nothing held besides.
 * Nothing of a checkpoint is used before the length and hash of its file were compared with the manifest. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/limits.h"
#include "ckpt/cast.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/manifest.h"
#include "ckpt/source.h"
#include "fmt/json.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* With a manifest, content that does not fit is a broken checkpoint rather than a bad input file. */
static cs_status as_ckpt(bool manifest, cs_status s, cs_error *err)
{
    if (s != CS_E_FORMAT || !manifest)
        return s;
    if (err)
        err->status = CS_E_CKPT;
    return CS_E_CKPT;
}

static bool has_manifest(const char *dir)
{
    char path[PATH_MAX];
    return cs_hf_path(path, sizeof path, dir, CS_MANIFEST_NAME, NULL) == CS_OK && cs_io_kind(path, NULL) != CS_FILE_NONE;
}

static cs_status check_scope(const char *dir, cs_manifest_scope scope, cs_error *err)
{
    cs_manifest m;
    bool present;
    CS_TRY(cs_manifest_load(&m, dir, &present, err));
    cs_status s = present ? cs_manifest_check(&m, dir, scope, err) : CS_OK;
    cs_manifest_release(&m);
    return s;
}

cs_status cs_ckpt_read_spec(const char *dir, cs_spec *spec, cs_error *err)
{
    char path[PATH_MAX];
    json_t *config;
    bool foreign;
    CS_TRY(cs_source_is_foreign(dir, &foreign, err));
    if (foreign) {
        cs_source src;
        cs_status status = cs_source_init(&src, dir, NULL, err);
        *spec = src.spec;
        cs_source_release(&src);
        return status;
    }
    CS_TRY(cs_hf_path(path, sizeof path, dir, "config.json", err));
    cs_status s = cs_json_load(path, CS_LIMIT_CONFIG_BYTES, &config, err);
    if (s == CS_OK) {
        s = cs_spec_from_json(spec, config, path, err);
        json_decref(config);
    }
    return as_ckpt(has_manifest(dir), s, err);
}

/* What a buffer of these ranges holds of the tensor that covers view v. */
static void copy_ranges(const cs_st_tensor *t, const cs_param_view *v, void *flat, cs_dtype type, const cs_flat_range *range, int64_t n_ranges)
{
    cs_flat_range own;
    for (int64_t i = 0; i < v->n_runs; i++) {
        cs_param_run r = cs_param_view_run(v, i);
        if (cs_flat_clip(range, n_ranges, r.offset, r.offset + r.n, &own))
            cs_cast(type, cs_flat_at(flat, type, own.at), t->dtype, t->data + (size_t)(r.at + own.lo - r.offset) * cs_dtype_size(t->dtype),
                    own.hi - own.lo);
    }
}

static void copy_store(const cs_st_tensor *t, const cs_param_view *v, const cs_param_table *table)
{
    const cs_flat_range all = {0, table->n_elements, 0};
    const cs_flat_range *range = table->store_range ? table->store_range : &all;
    copy_ranges(t, v, table->store, table->prec.store, range, table->store_range ? table->n_store_ranges : 1);
}

static void fill_table(const cs_hf *hf, cs_param_table *t)
{
    for (int64_t i = 0; i < cs_param_n_views(t); i++) {
        cs_param_view v = cs_param_view_at(t, i);
        const cs_st_tensor *src = cs_hf_find(hf, v.name, NULL);
        copy_store(src, &v, t);
        if (t->master && t->master != t->store)
            copy_ranges(src, &v, t->master, t->prec.master, t->master_range, t->n_master_ranges);
    }
    cs_param_touch(t);
}

cs_status cs_ckpt_load_weights(const char *dir, const cs_spec *spec, cs_param_table *table, bool verify, cs_error *err)
{
    bool manifest = has_manifest(dir);
    bool foreign;
    cs_hf hf;
    CS_TRY(cs_source_is_foreign(dir, &foreign, err));
    if (foreign) {
        cs_source src;
        cs_status status = cs_source_init(&src, dir, NULL, err);
        if (status == CS_OK)
            cs_source_fill(&src, table);
        cs_source_release(&src);
        return status;
    }
    if (manifest && verify)
        CS_TRY(check_scope(dir, CS_MANIFEST_TOP, err));
    cs_status s = cs_hf_init(&hf, dir, err);
    if (s != CS_OK)
        return as_ckpt(manifest, s, err);
    hf.optional_prefix = spec->family->optional_prefix;
    s = cs_hf_check(&hf, spec, table, err);
    if (s == CS_OK)
        fill_table(&hf, table);
    cs_hf_release(&hf);
    return as_ckpt(manifest, s, err);
}

typedef struct optim_file {
    const char *dir, *path;
    cs_hf file;    /* trainer/optimizer.safetensors */
    cs_hf weights; /* opened when masters are missing */
    const cs_param_table *table;
    cs_opt_state *opt;
} optim_file;

/* The entry `<name><suffix>` with the view's shape; *out NULL when absent. */
static cs_status find_entry(const optim_file *o, const cs_param_view *v, const char *suffix, const cs_st_tensor **out, cs_error *err)
{
    char name[512], want[64], got[128];
    snprintf(name, sizeof name, "%s%s", v->name, suffix);
    const cs_st_tensor *t = *out = cs_hf_find(&o->file, name, NULL);
    if (t && (t->ndim != v->ndim || memcmp(t->shape, v->shape, (size_t)v->ndim * sizeof *v->shape) != 0 || !cs_cast_can(t->dtype)))
        return cs_fail(err, CS_E_CKPT, "%s: \"%s\" is %s %s, expected a float tensor %s", o->path, name, cs_st_dtype_name(t->dtype),
                       cs_st_shape_text(t->ndim, t->shape, got, sizeof got), cs_st_shape_text(v->ndim, v->shape, want, sizeof want));
    return CS_OK;
}

static cs_status load_moment(const optim_file *o, const cs_param_view *v, const char *suffix, void *buf, cs_error *err)
{
    const cs_st_tensor *t;
    CS_TRY(find_entry(o, v, suffix, &t, err));
    if (!t)
        return cs_fail(err, CS_E_CKPT, "%s: \"%s%s\" is missing", o->path, v->name, suffix);
    copy_ranges(t, v, buf, o->table->prec.master, o->opt->range, o->opt->n_ranges);
    return CS_OK;
}

static cs_status load_master(optim_file *o, const cs_param_view *v, cs_error *err)
{
    const cs_st_tensor *t;
    CS_TRY(find_entry(o, v, ".master", &t, err));
    if (!o->opt->master) {
        if (t)
            copy_store(t, v, o->table);
        return CS_OK;
    }
    if (!t && !o->weights.n_shards)
        CS_TRY(cs_hf_init(&o->weights, o->dir, err));
    if (!t)
        t = cs_hf_find(&o->weights, v->name, NULL);
    if (!t || !cs_cast_can(t->dtype) || t->n != cs_param_view_total(v))
        return cs_fail(err, CS_E_CKPT, "%s: \"%s.master\" is missing, and the weights do not hold \"%s\" either", o->path, v->name, v->name);
    copy_ranges(t, v, o->opt->master, o->table->prec.master, o->opt->range, o->opt->n_ranges);
    return CS_OK;
}

static cs_status load_optim(optim_file *o, cs_error *err)
{
    cs_dtype type = o->table->prec.master;
    size_t bytes = (size_t)o->opt->n * cs_dtype_size(type);
    CS_TRY(cs_hf_init(&o->file, o->path, err));
    void *const buffers[] = {o->opt->m, o->opt->v, o->opt->master};
    for (int i = 0; i < 3; i++) /* the gaps between tensors are zero */
        if (buffers[i])
            memset(buffers[i], 0, bytes);
    for (int64_t i = 0; i < cs_param_n_views(o->table); i++) {
        cs_param_view v = cs_param_view_at(o->table, i);
        if (o->opt->m)
            CS_TRY(load_moment(o, &v, o->opt->v ? ".exp_avg" : ".momentum_buffer", o->opt->m, err));
        if (o->opt->v)
            CS_TRY(load_moment(o, &v, ".exp_avg_sq", o->opt->v, err));
        CS_TRY(load_master(o, &v, err));
    }
    return CS_OK;
}

cs_status cs_ckpt_load_trainer(const char *dir, cs_param_table *table, cs_opt_state *opt, json_t **state_create, cs_error *err)
{
    char path[PATH_MAX], state[PATH_MAX];
    *state_create = NULL;
    CS_TRY(cs_hf_path(state, sizeof state, dir, "trainer/state.json", err));
    CS_TRY(cs_hf_path(path, sizeof path, dir, "trainer/optimizer.safetensors", err));
    if (cs_io_kind(state, NULL) == CS_FILE_NONE && !has_manifest(dir))
        return cs_fail(err, CS_E_IO, "%s: no such file; this folder holds weights only, load it with --finetune", state);
    CS_TRY(check_scope(dir, CS_MANIFEST_TRAINER, err));
    if (cs_io_kind(state, NULL) == CS_FILE_NONE)
        return cs_fail(err, CS_E_IO, "%s: no such file; this checkpoint holds weights only, load it with --finetune", state);
    bool present = cs_io_kind(path, NULL) != CS_FILE_NONE;
    if (opt && (opt->m || opt->master) && !present)
        return cs_fail(err, CS_E_CKPT, "%s: missing; the checkpoint was saved without optimizer state, load it with --no-load-optim", path);
    cs_status s = cs_json_load(state, CS_LIMIT_CONFIG_BYTES, state_create, err);
    optim_file o = {.dir = dir, .path = path, .table = table, .opt = opt};
    if (s == CS_OK && opt && present)
        s = load_optim(&o, err);
    if (s == CS_OK && opt && !opt->master)
        cs_param_touch(table);
    cs_hf_release(&o.file);
    cs_hf_release(&o.weights);
    if (s != CS_OK) {
        json_decref(*state_create);
        *state_create = NULL;
    }
    return as_ckpt(true, s, err);
}
