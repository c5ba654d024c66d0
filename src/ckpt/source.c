/* Opening a source by what its path holds, and what all kinds share. */
#include "ckpt/source.h"

#include "base/mem.h"
#include "fmt/llama2c.h"
#include "fmt/torch_file.h"

#include <string.h>

cs_status cs_source_tables(cs_source *src, cs_error *err)
{
    CS_TRY(cs_param_table_init(&src->table, &src->spec, cs_precision_of(CS_F32), false, NULL, &src->arena, err));
    int64_t n = cs_param_n_views(&src->table), at = 0;
    src->view = cs_arena_calloc(&src->arena, (size_t)n, sizeof *src->view);
    src->first_view = cs_arena_calloc(&src->arena, (size_t)src->table.n_rows + 1, sizeof *src->first_view);
    if (!src->view || !src->first_view)
        return cs_fail_nomem(err, (size_t)n * sizeof *src->view, "the list of tensors");
    for (int64_t i = 0; i < n; i++)
        src->view[i] = cs_param_view_at(&src->table, i);
    for (int64_t r = 0; r <= src->table.n_rows; r++) {
        src->first_view[r] = at;
        at += r < src->table.n_rows ? src->table.row[r].n_parts : 0;
    }
    return CS_OK;
}

typedef cs_status open_fn(cs_source *src, const char *path, cs_error *err);

/* By the file's first bytes; NULL when it is no model. */
static cs_status find_opener(const char *path, open_fn **out, cs_error *err)
{
    cs_map map;
    *out = NULL;
    CS_TRY(cs_map_init(&map, path, err));
    if (cs_torch_sniff(map.data, map.size))
        *out = cs_source_open_torch;
    else if (map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0)
        *out = cs_source_open_gguf;
    else if (cs_llama2c_detect(map.data, map.size))
        *out = cs_source_open_llama2c;
    cs_map_release(&map);
    return CS_OK;
}

static cs_status open_file(cs_source *src, const char *path, cs_error *err)
{
    open_fn *opener;
    CS_TRY(find_opener(path, &opener, err));
    if (opener)
        return opener(src, path, err);
    return cs_fail(err, CS_E_FORMAT,
                   "%s: from byte 0 no llama2.c model (a header whose sizes add up to the file) and no PyTorch or GGUF file; expected "
                   "one of those, a Hugging Face folder, a checkpoint, a run folder or Megatron shards",
                   path);
}

cs_status cs_source_init(cs_source *src, const char *path, const cs_source_hints *hints, cs_error *err)
{
    static const cs_source_hints none;
    bool megatron;
    *src = (cs_source){0};
    cs_arena_init(&src->arena, "tensor names");
    if (cs_io_kind(path, NULL) != CS_FILE_DIR)
        return open_file(src, path, err);
    CS_TRY(cs_megatron_present(path, &megatron, err));
    if (megatron)
        return cs_source_open_megatron(src, path, hints ? hints : &none, err);
    return cs_source_open_folder(src, path, err);
}

void cs_source_release(cs_source *src)
{
    if (src->ops)
        src->ops->release(src);
    json_decref(src->config);
    cs_arena_release(&src->arena);
    cs_free(src->dir);
    cs_free(src->tokenizer_file);
    *src = (cs_source){0};
}

cs_dtype cs_source_dtype(const cs_source *src, int64_t i)
{
    return src->ops->dtype(src, i);
}

void cs_source_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    src->ops->read(src, i, lo, n, type, out);
}

cs_status cs_source_is_foreign(const char *path, bool *foreign, cs_error *err)
{
    open_fn *opener;
    if (cs_io_kind(path, NULL) != CS_FILE_REGULAR)
        return cs_megatron_present(path, foreign, err);
    CS_TRY(find_opener(path, &opener, err));
    *foreign = opener != NULL;
    return CS_OK;
}

/* Rows [lo, lo+n) of view i, read into `part` with element type `type`. */
static void *read_part(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *part)
{
    cs_source_read(src, i, lo, n, type, part);
    return part;
}

/* Elements [at, at + n) of view i, within whole rows that fit in `part`, go to element `to` of the flat buffers. */
static void fill_elements(const cs_source *src, cs_param_table *t, int64_t i, int64_t at, int64_t n, int64_t to, void *part)
{
    int64_t cols = src->view[i].ndim == 2 ? src->view[i].shape[1] : 1, row = at / cols, skip = at % cols, rows = (skip + n + cols - 1) / cols;
    cs_dtype store = t->prec.store, type = t->prec.master;
    cs_flat_range own;
    bool some = cs_param_store_clip(t, to, to + n, &own);
    if (some && own.hi - own.lo == rows * cols)
        cs_source_read(src, i, row, rows, store, cs_flat_at(t->store, store, to));
    else if (some)
        memcpy(cs_flat_at(t->store, store, own.lo), cs_flat_at(read_part(src, i, row, rows, store, part), store, skip + own.lo - to),
               (size_t)(own.hi - own.lo) * cs_dtype_size(store));
    if (!t->master || t->master == t->store || !cs_flat_clip(t->master_range, t->n_master_ranges, to, to + n, &own))
        return;
    memcpy(cs_flat_at(t->master, type, own.at), cs_flat_at(read_part(src, i, row, rows, type, part), type, skip + own.lo - to),
           (size_t)(own.hi - own.lo) * cs_dtype_size(type));
}

void cs_source_fill(const cs_source *src, cs_param_table *t)
{
    enum { SLICE = 1 << 16 };
    int64_t widest = SLICE;
    for (int64_t r = 0; r < t->n_rows; r++)
        widest = t->row[r].full_cols > widest ? t->row[r].full_cols : widest;
    void *part = cs_mem_must(cs_calloc((size_t)widest, 8), (size_t)widest * 8, "a slice of a tensor");
    for (int64_t i = 0; i < cs_param_n_views(t); i++) {
        cs_param_view v = cs_param_view_at(t, i);
        int64_t cols = v.ndim == 2 ? v.shape[1] : 1, step = SLICE / cols > 0 ? SLICE / cols * cols : cols;
        for (int64_t k = 0; k < v.n_runs; k++) {
            cs_param_run run = cs_param_view_run(&v, k);
            for (int64_t lo = 0; lo < run.n; lo += step)
                fill_elements(src, t, i, run.at + lo, run.n - lo < step ? run.n - lo : step, run.offset + lo, part);
        }
    }
    cs_free(part);
    cs_param_touch(t);
}

cs_source_row cs_source_qkv_row(const cs_source *src, int64_t row, int which, int64_t head, int64_t d)
{
    const cs_spec *s = &src->spec;
    int64_t D = s->head_dim, first = src->first_view[row], base[3] = {0, s->n_heads * D, (s->n_heads + s->n_kv_heads) * D},
            m = s->n_heads / s->n_kv_heads;
    if (s->family->qkv == CS_QKV_SEPARATE)
        return (cs_source_row){first + which, head * D + d};
    if (s->family->qkv == CS_QKV_BLOCKS)
        return (cs_source_row){first, base[which] + head * D + d};
    int64_t group = which == 0 ? head / m : head, slot = which == 0 ? head % m : m + which - 1;
    return (cs_source_row){first, (group * (m + 2) + slot) * D + d};
}
