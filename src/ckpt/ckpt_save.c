/* Saving. Every rank makes the same plan from the parameter table, so offsets are known before any data and each rank writes its own ranges.
 * Each phase ends with cs_agree: either all ranks go on or all stop, and then rank 0 removes the temporary folder. The final name
 * appears by one rename after everything behind it is on disk. The files hold no time, host or path: equal states are equal bytes. */
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "fmt/limits.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/manifest.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SHARD_BYTES ((size_t)5000000000)
enum { N_KINDS = 4 };
static const char *const kind_suffix[N_KINDS] = {".exp_avg", ".exp_avg_sq", ".master", ".momentum_buffer"};

typedef struct saver {
    const cs_ckpt_save_args *a;
    const cs_mesh *mesh;
    cs_comm *c; /* the world */
    int rank, size;
    int64_t written; /* bytes of tensors by this rank */
    char temp[PATH_MAX], final[PATH_MAX];
    cs_st_plan model, optim;
    cs_arena names; /* of the optimizer's entries */
    cs_manifest manifest;
    bool has_optim;
} saver;

/* Tag of an entry: view * (1 + N_KINDS) + 0 for the weight, 1 + kind for optimizer state. */
static cs_st_entry view_entry(const cs_param_view *v, const char *name, cs_dtype type, int64_t tag)
{
    cs_st_entry e = {.name = name, .dtype = type, .ndim = v->ndim, .tag = tag};
    memcpy(e.shape, v->shape, (size_t)v->ndim * sizeof *v->shape);
    return e;
}

static cs_status plan_files(saver *s, cs_error *err)
{
    const cs_param_table *t = s->a->table;
    const cs_opt_state *o = s->a->opt;
    const bool has[N_KINDS] = {o && o->v, o && o->v, o && o->master, o && o->m && !o->v};
    int64_t n = cs_param_n_views(t), n_optim = 0;
    cs_st_entry *model = cs_arena_calloc(&s->names, (size_t)n, sizeof *model);
    cs_st_entry *optim = cs_arena_calloc(&s->names, (size_t)n * N_KINDS, sizeof *optim);
    if (!model || !optim)
        return cs_fail_nomem(err, (size_t)n * sizeof *model, "the list of tensors");
    for (int64_t i = 0; i < n; i++) {
        cs_param_view v = cs_param_view_at(t, i);
        model[i] = view_entry(&v, v.name, t->prec.store, i * (1 + N_KINDS));
        for (int k = 0; s->has_optim && k < N_KINDS; k++) {
            if (!has[k])
                continue;
            const char *name = cs_arena_printf(&s->names, "%s%s", v.name, kind_suffix[k]);
            if (!name)
                return cs_fail_nomem(err, 256, "tensor names");
            optim[n_optim++] = view_entry(&v, name, t->prec.master, i * (1 + N_KINDS) + 1 + k);
        }
    }
    CS_TRY(cs_st_plan_init(&s->model, model, (size_t)n, "model", s->a->max_shard_bytes ? s->a->max_shard_bytes : DEFAULT_SHARD_BYTES, err));
    if (s->has_optim)
        CS_TRY(cs_st_plan_init(&s->optim, optim, (size_t)n_optim, "optimizer", 0, err));
    return CS_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static cs_status list_files(saver *s, cs_error *err)
{
    cs_manifest *m = &s->manifest;
    cs_manifest_init(m, s->a->iteration);
    m->run_id = s->a->run_id;
    m->tokenizer_hash = s->a->tokenizer_hash;
    CS_TRY(cs_manifest_add(m, "config.json", NULL, NULL, err));
    CS_TRY(cs_manifest_add(m, "generation_config.json", NULL, NULL, err));
    for (size_t i = 0; i < s->model.n_files; i++)
        CS_TRY(cs_manifest_add(m, s->model.file[i].name, &s->model, &s->model.file[i], err));
    if (s->model.index.len > 0)
        CS_TRY(cs_manifest_add(m, "model.safetensors.index.json", NULL, NULL, err));
    if (s->a->state_json)
        CS_TRY(cs_manifest_add(m, "trainer/state.json", NULL, NULL, err));
    if (s->has_optim)
        CS_TRY(cs_manifest_add(m, "trainer/optimizer.safetensors", &s->optim, &s->optim.file[0], err));
    for (size_t i = 0; i < s->a->n_tokenizer_files; i++)
        CS_TRY(cs_manifest_add(m, base_name(s->a->tokenizer_files[i]), NULL, NULL, err));
    return CS_OK;
}

static cs_status write_plain(const saver *s, const char *name, const void *data, size_t n, cs_error *err)
{
    char path[PATH_MAX];
    cs_writer w;
    CS_TRY(cs_hf_path(path, sizeof path, s->temp, name, err));
    CS_TRY(cs_writer_init_plain(&w, path, err));
    cs_status status = cs_writer_write(&w, data, n, err);
    if (status == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return status;
}

static cs_status copy_file(const saver *s, const char *from, cs_error *err)
{
    uint8_t *data;
    size_t n;
    CS_TRY(cs_io_read_all(from, CS_LIMIT_COPIED_BYTES, &data, &n, err));
    cs_status status = write_plain(s, base_name(from), data, n, err);
    cs_free(data);
    return status;
}

static bool own_file(const saver *s, const char *name)
{
    for (size_t i = 0; i < s->model.n_files; i++)
        if (strcmp(name, s->model.file[i].name) == 0)
            return true;
    return strcmp(name, "config.json") == 0 || strcmp(name, "generation_config.json") == 0 || strcmp(name, "model.safetensors.index.json") == 0 ||
           strcmp(name, CS_MANIFEST_NAME) == 0;
}

static cs_status write_configs(const saver *s, cs_error *err)
{
    cs_str text = {0};
    cs_spec spec = *s->a->spec;
    const struct {
        const char *key;
        int64_t id;
    } rows[] = {{"bos_token_id", spec.bos}, {"eos_token_id", spec.eos}, {"pad_token_id", spec.pad}};
    spec.dtype = s->a->table->prec.store;
    cs_status status = cs_spec_to_json(&spec, &text, err);
    cs_str_putc(&text, '\n');
    if (status == CS_OK)
        status = cs_str_check(&text, err);
    if (status == CS_OK)
        status = write_plain(s, "config.json", text.data, text.len, err);
    cs_str_clear(&text);
    cs_str_puts(&text, "{\n  \"_from_model_config\": true");
    for (size_t i = 0; i < 3; i++)
        if (rows[i].id >= 0)
            cs_str_printf(&text, ",\n  \"%s\": %" PRId64, rows[i].key, rows[i].id);
    cs_str_puts(&text, "\n}\n");
    if (status == CS_OK)
        status = cs_str_check(&text, err);
    if (status == CS_OK)
        status = write_plain(s, "generation_config.json", text.data, text.len, err);
    cs_str_release(&text);
    return status;
}

static cs_status check_space(const saver *s, cs_error *err)
{
    size_t need = s->has_optim ? s->optim.file[0].size : 0;
    int64_t left = cs_io_free_bytes(s->a->run_dir);
    for (size_t i = 0; i < s->model.n_files; i++)
        need += s->model.file[i].size;
    if (left >= 0 && (uint64_t)left < need)
        return cs_fail(err, CS_E_IO, "%s: a checkpoint needs %zu bytes, %" PRId64 " are free; free some space", s->a->run_dir, need, left);
    return CS_OK;
}

/* Rank 0: the folder, the small files, and every safetensors file up to its data. */
static cs_status start_folder(saver *s, cs_error *err)
{
    char trainer[PATH_MAX];
    CS_TRY(cs_io_mkdirs(s->a->run_dir, err));
    CS_TRY(check_space(s, err));
    CS_TRY(cs_io_remove_tree(s->temp, err));
    CS_TRY(cs_hf_path(trainer, sizeof trainer, s->temp, "trainer", err));
    CS_TRY(cs_io_mkdirs(s->a->state_json || s->has_optim ? trainer : s->temp, err));
    CS_TRY(write_configs(s, err));
    for (size_t i = 0; i < s->model.n_files; i++)
        CS_TRY(write_plain(s, s->model.file[i].name, s->model.file[i].header.data, s->model.file[i].header.len, err));
    if (s->model.index.len > 0)
        CS_TRY(write_plain(s, "model.safetensors.index.json", s->model.index.data, s->model.index.len, err));
    if (s->has_optim)
        CS_TRY(write_plain(s, "trainer/optimizer.safetensors", s->optim.file[0].header.data, s->optim.file[0].header.len, err));
    if (s->a->state_json)
        CS_TRY(write_plain(s, "trainer/state.json", s->a->state_json, strlen(s->a->state_json), err));
    for (size_t i = 0; i < s->a->n_tokenizer_files; i++)
        if (!own_file(s, base_name(s->a->tokenizer_files[i])))
            CS_TRY(copy_file(s, s->a->tokenizer_files[i], err));
    return CS_OK;
}

/* An even share of the flat buffers for this rank of those that hold the same, cut at aligned elements. */
static cs_flat_range even_share(const saver *s)
{
    int64_t n = s->a->table->n_elements, units = n / CS_PARAM_ALIGN, rank = s->mesh->coord[CS_AXIS_DP], size = s->mesh->size[CS_AXIS_DP];
    int64_t lo = units * rank / size * CS_PARAM_ALIGN;
    return (cs_flat_range){lo, rank + 1 == size ? n : units * (rank + 1) / size * CS_PARAM_ALIGN, lo};
}

/* What is written: elements of flat buffers (one per kind of tag) that are this rank's to write. */
typedef struct flat_source {
    void *buf[1 + N_KINDS];
    const cs_flat_range *range;
    int64_t n_ranges;
} flat_source;

/* Writes one tensor's elements that this rank has. */
static cs_status write_tensor(saver *s, cs_writer *w, const cs_st_entry *e, const flat_source *from, cs_error *err)
{
    cs_param_view v = cs_param_view_at(s->a->table, e->tag / (1 + N_KINDS));
    int k = (int)(e->tag % (1 + N_KINDS));
    size_t size = cs_dtype_size(e->dtype);
    if (!cs_param_view_is_owner(&v))
        return CS_OK;
    for (int64_t j = 0; j < v.n_runs; j++) {
        cs_param_run r = cs_param_view_run(&v, j);
        cs_flat_range own;
        if (!cs_flat_clip(from->range, from->n_ranges, r.offset, r.offset + r.n, &own))
            continue;
        size_t bytes = (size_t)(own.hi - own.lo) * size, at = e->offset + (size_t)(r.at + own.lo - r.offset) * size;
        CS_TRY(cs_writer_pwrite(w, cs_flat_at(from->buf[k], e->dtype, own.at), bytes, (int64_t)at, err));
        s->written += (int64_t)bytes;
    }
    return CS_OK;
}

/* Writes this rank's elements of the tensors of one file. */
static cs_status write_ranges(saver *s, const char *name, const cs_st_plan *plan, const cs_st_file *f, const flat_source *from, cs_error *err)
{
    char path[PATH_MAX];
    cs_writer w;
    cs_status status = CS_OK;
    CS_TRY(cs_hf_path(path, sizeof path, s->temp, name, err));
    CS_TRY(cs_writer_init_update(&w, path, err));
    for (size_t i = f->first; i < f->first + f->n && status == CS_OK; i++)
        status = write_tensor(s, &w, &plan->entry[i], from, err);
    if (status == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return status;
}

static cs_status write_data(saver *s, cs_error *err)
{
    const cs_opt_state *o = s->a->opt;
    const cs_param_table *t = s->a->table;
    const cs_flat_range share = even_share(s);
    const flat_source weights = {{t->store}, t->store_range ? t->store_range : &share, t->store_range ? t->n_store_ranges : 1};
    for (size_t i = 0; i < s->model.n_files; i++)
        CS_TRY(write_ranges(s, s->model.file[i].name, &s->model, &s->model.file[i], &weights, err));
    if (!s->has_optim)
        return CS_OK;
    const flat_source state = {{NULL, o->m, o->v, o->master, o->m}, o->replicated ? &share : o->range, o->replicated ? 1 : o->n_ranges};
    return write_ranges(s, "trainer/optimizer.safetensors", &s->optim, &s->optim.file[0], &state, err);
}

/* The ranks together wrote every byte of every tensor once. */
static void check_written(const saver *s)
{
    int64_t sum = s->written, want = 0;
    cs_comm_allreduce_sum(s->c, &sum, 1, CS_I64);
    for (size_t i = 0; i < s->model.n_files; i++)
        want += (int64_t)(s->model.file[i].size - s->model.file[i].header.len);
    if (s->has_optim)
        want += (int64_t)(s->optim.file[0].size - s->optim.file[0].header.len);
    CS_ASSERT(sum == want);
}

/* Rank r reads files r, r+size, .. back and hashes them; the sums (all other ranks give zeros) hand the numbers to everybody. */
static cs_status hash_files(saver *s, cs_error *err)
{
    cs_manifest *m = &s->manifest;
    cs_status status = CS_OK;
    int64_t n = 0;
    for (size_t i = 0; i < m->n_files; i++)
        n += 3 + (int64_t)m->file[i].n_tensors;
    int64_t *word = cs_calloc((size_t)n, sizeof *word), at = 0;
    if (!word)
        status = cs_fail_nomem(err, (size_t)n * sizeof *word, "the manifest");
    for (size_t i = 0; i < m->n_files && status == CS_OK; i++) {
        cs_manifest_file *f = &m->file[i];
        if (i % (size_t)s->size == (size_t)s->rank) {
            status = cs_manifest_hash_file(m, i, s->temp, err);
            memcpy(word + at, f->hash, 16);
            word[at + 2] = (int64_t)f->bytes;
            for (size_t k = 0; k < f->n_tensors; k++)
                memcpy(word + at + 3 + k, &f->tensor[k].hash, 8);
        }
        at += 3 + (int64_t)f->n_tensors;
    }
    status = cs_agree(s->c, status, err);
    if (status == CS_OK)
        cs_comm_allreduce_sum(s->c, word, n, CS_I64);
    at = 0;
    for (size_t i = 0; i < m->n_files && status == CS_OK; i++) {
        cs_manifest_file *f = &m->file[i];
        memcpy(f->hash, word + at, 16);
        f->bytes = (size_t)word[at + 2];
        for (size_t k = 0; k < f->n_tensors; k++)
            memcpy(&f->tensor[k].hash, word + at + 3 + k, 8);
        at += 3 + (int64_t)f->n_tensors;
    }
    cs_free(word);
    return status;
}

/* Rank 0: manifest, folders to disk, the rename. */
static cs_status publish(const saver *s, cs_error *err)
{
    cs_str text = {0};
    char trainer[PATH_MAX];
    cs_file_kind kind;
    cs_status status = cs_manifest_write(&s->manifest, &text, err);
    if (status == CS_OK)
        status = write_plain(s, CS_MANIFEST_NAME, text.data, text.len, err);
    cs_str_release(&text);
    CS_TRY(status);
    CS_TRY(cs_hf_path(trainer, sizeof trainer, s->temp, "trainer", err));
    CS_TRY(cs_io_stat(trainer, &kind, NULL, err));
    if (kind == CS_FILE_DIR)
        CS_TRY(cs_io_fsync_dir(trainer, err));
    CS_TRY(cs_io_fsync_dir(s->temp, err));
    return cs_io_exchange(s->temp, s->final, err);
}

/* Rank 0: the pointers to the newest, then the old ones go. */
static cs_status announce(const saver *s, cs_error *err)
{
    char path[PATH_MAX], number[32];
    CS_TRY(cs_hf_path(path, sizeof path, s->a->run_dir, "latest", err));
    CS_TRY(cs_io_symlink_atomic(base_name(s->final), path, err));
    CS_TRY(cs_hf_path(path, sizeof path, s->a->run_dir, "latest_checkpointed_iteration.txt", err));
    snprintf(number, sizeof number, "%" PRId64, s->a->iteration);
    CS_TRY(cs_io_write_atomic(path, number, strlen(number), err));
    if (s->a->keep > 0)
        cs_ckpt_prune_old(s->a->run_dir, s->a->keep);
    return CS_OK;
}

static cs_status run_phases(saver *s, cs_error *err)
{
    cs_status status = plan_files(s, err);
    if (status == CS_OK)
        status = list_files(s, err);
    if (status == CS_OK && s->rank == 0)
        status = start_folder(s, err);
    CS_TRY(cs_agree(s->c, status, err));
    CS_TRY(cs_agree(s->c, write_data(s, err), err));
    check_written(s);
    CS_TRY(hash_files(s, err));
    status = CS_OK;
    if (s->rank == 0)
        status = publish(s, err);
    if (s->rank == 0 && status == CS_OK)
        status = announce(s, err);
    return cs_agree(s->c, status, err);
}

static void name_folders(saver *s)
{
    int64_t pid = (int64_t)getpid();
    cs_comm_broadcast(s->c, &pid, sizeof pid, 0);
    snprintf(s->final, sizeof s->final, "%s/iter_%07" PRId64, s->a->run_dir, s->a->iteration);
    snprintf(s->temp, sizeof s->temp, "%s/iter_%07" PRId64 ".tmp.%" PRId64, s->a->run_dir, s->a->iteration, pid);
}

cs_status cs_ckpt_save(const cs_ckpt_save_args *args, const cs_mesh *mesh, cs_error *err)
{
    cs_comm *c = mesh->world;
    if (strlen(args->run_dir) > PATH_MAX - 400)
        return cs_fail(err, CS_E_IO, "%.200s: path too long", args->run_dir);
    saver *s = cs_calloc(1, sizeof *s);
    cs_status status = s ? CS_OK : cs_fail_nomem(err, sizeof *s, "saving a checkpoint");
    CS_TRY(cs_agree(c, status, err));
    *s = (saver){.a = args, .mesh = mesh, .c = c, .rank = cs_comm_rank(c), .size = cs_comm_size(c)};
    s->has_optim = args->opt && !args->no_save_optim && (args->opt->m || args->opt->master);
    cs_arena_init(&s->names, "checkpoint names");
    name_folders(s);
    status = run_phases(s, err);
    if (s->rank == 0 && cs_io_kind(s->temp, NULL) != CS_FILE_NONE) { /* a failed save, or the one that was replaced */
        cs_error why = {0};
        if (cs_io_remove_tree(s->temp, NULL) != CS_OK && cs_io_remove_tree(s->temp, &why) != CS_OK)
            cs_warn("%s; remove it by hand", why.msg);
    }
    cs_comm_barrier(c);
    cs_st_plan_release(&s->model);
    cs_st_plan_release(&s->optim);
    cs_manifest_release(&s->manifest);
    cs_arena_release(&s->names);
    cs_free(s);
    return status;
}
