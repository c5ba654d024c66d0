/* A tiny model with known weights and moments, saved and loaded by the checkpoint tests. */
#ifndef TESTS_CKPT_WORLD_H
#define TESTS_CKPT_WORLD_H

#include "base/io.h"
#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "model/family/families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline cs_spec small_spec(bool tied)
{
    return (cs_spec){.family = &cs_family_llama, .vocab_size = 11, .hidden = 8, .ffn = 12, .n_layers = 2, .n_heads = 2, .n_kv_heads = 1,
                     .head_dim = 4, .max_pos = 16, .norm_eps = 1e-5, .rope_theta = 10000, .init_std = 0.02, .tied_head = tied, .bos = 1, .eos = 2,
                     .pad = -1, .dtype = CS_F32};
}

typedef struct world {
    cs_spec spec;
    cs_param_table table;
    cs_arena arena;
    cs_flat_range range; /* of opt */
    cs_opt_state opt;
} world;

static inline void put_real(void *flat, cs_dtype t, int64_t i, double v)
{
    if (t == CS_F64)
        ((double *)flat)[i] = v;
    else
        ((float *)flat)[i] = (float)v;
}

/* Gaps between tensors hold zeros, as in a run. */
static inline void fill_state(world *w, int64_t step)
{
    cs_dtype acc = w->table.prec.master;
    for (int64_t k = 0; k < cs_param_n_views(&w->table); k++) {
        cs_param_view v = cs_param_view_at(&w->table, k);
        for (int64_t i = v.offset; i < v.offset + v.n; i++) {
            if (i < w->range.lo || i >= w->range.hi)
                continue;
            put_real(w->opt.m, acc, i - w->range.lo, (double)(i + step) / 3);
            put_real(w->opt.v, acc, i - w->range.lo, (double)(i + step) / 7);
        }
    }
}

/* filled: weights from seed `step`, moments from `step`; else zeros. */
static inline void world_init(world *w, cs_spec spec, cs_dtype store, int64_t lo, int64_t hi, int64_t step, bool filled)
{
    cs_error err = {0};
    *w = (world){.spec = spec};
    cs_arena_init(&w->arena, "test");
    assert_int_equal(cs_param_table_init(&w->table, &w->spec, cs_precision_of(store), false, NULL, &w->arena, &err), CS_OK);
    assert_int_equal(cs_param_table_alloc(&w->table, true, false, NULL, &err), CS_OK);
    hi = hi < 0 ? w->table.n_elements : hi;
    size_t bytes = (size_t)(hi - lo) * cs_dtype_size(w->table.prec.master);
    w->range = (cs_flat_range){lo, hi, 0};
    w->opt = (cs_opt_state){.range = &w->range, .n_ranges = 1, .n = hi - lo, .m = cs_calloc(1, bytes + 8), .v = cs_calloc(1, bytes + 8),
                            .replicated = lo == 0 && hi == w->table.n_elements};
    if (!w->table.master) {
        w->opt.master = cs_calloc(1, bytes + 8);
        w->table.master = w->opt.master;
        w->table.master_range = &w->range;
        w->table.n_master_ranges = 1;
    }
    if (filled) {
        cs_param_table_fill(&w->table, (uint64_t)step);
        fill_state(w, step);
    }
}

static inline void world_release(world *w)
{
    cs_free(w->opt.m);
    cs_free(w->opt.v);
    cs_free(w->opt.master);
    if (w->opt.master)
        w->table.master = NULL;
    cs_param_table_release(&w->table, NULL);
    cs_arena_release(&w->arena);
}

static inline void world_equal(const world *a, const world *b)
{
    size_t n = (size_t)a->table.n_elements * cs_dtype_size(a->table.prec.store);
    size_t k = (size_t)a->opt.n * cs_dtype_size(a->table.prec.master);
    assert_memory_equal(a->table.store, b->table.store, n);
    assert_memory_equal(a->opt.m, b->opt.m, k);
    assert_memory_equal(a->opt.v, b->opt.v, k);
    if (a->opt.master && b->opt.master)
        assert_memory_equal(a->opt.master, b->opt.master, k);
}

static inline cs_ckpt_save_args save_args(const world *w, const char *run, int64_t iteration)
{
    return (cs_ckpt_save_args){.run_dir = run, .iteration = iteration, .spec = &w->spec, .table = &w->table, .opt = &w->opt,
                               .state_json = "{\"step\": 7}\n", .run_id = "run", .tokenizer_hash = "0123"};
}

/* cs_ckpt_save over data-parallel ranks. Collective over c. */
static inline cs_status save_over(const cs_ckpt_save_args *a, cs_comm *c, cs_error *err)
{
    cs_mesh mesh;
    CS_TRY(cs_mesh_init(&mesh, c, 1, cs_comm_size(c), 1, err));
    cs_status status = cs_ckpt_save(a, &mesh, err);
    cs_mesh_release(&mesh);
    return status;
}

static inline void must(cs_status s, const cs_error *err)
{
    if (s != CS_OK)
        fail_msg("%s", err->msg);
}

static inline void save(const world *w, const char *run, int64_t iteration)
{
    cs_error err = {0};
    cs_ckpt_save_args a = save_args(w, run, iteration);
    must(save_over(&a, cs_comm_self(), &err), &err);
}

/* In memory where the system has such a folder: these tests flush to disk thousands of times. */
static inline void make_run(char *run, size_t n)
{
    const char *base = getenv("TMPDIR");
    if (!base && cs_io_kind("/dev/shm", NULL) == CS_FILE_DIR)
        base = "/dev/shm";
    snprintf(run, n, "%s/cspeed_ckpt_XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(run));
}

static inline void remove_run(const char *run)
{
    cs_error err = {0};
    must(cs_io_remove_tree(run, &err), &err);
}

/* Number of names in `dir` that contain `part`. */
static inline size_t count_names(const char *dir, const char *part)
{
    char **names;
    size_t n, found = 0;
    assert_int_equal(cs_io_list(dir, &names, &n, NULL), CS_OK);
    for (size_t i = 0; i < n; i++)
        found += strstr(names[i], part) != NULL;
    cs_io_list_free(names, n);
    return found;
}

/* All files below a folder as one text of names and bytes. */
static inline void snapshot(const char *dir, cs_str *out)
{
    char **names, path[8192];
    size_t n, size;
    uint8_t *data;
    assert_int_equal(cs_io_list(dir, &names, &n, NULL), CS_OK);
    for (size_t i = 0; i < n; i++) {
        assert_true((size_t)snprintf(path, sizeof path, "%s/%s", dir, names[i]) < sizeof path);
        cs_str_printf(out, "<%s>", names[i]);
        if (cs_io_kind(path, NULL) == CS_FILE_DIR) {
            snapshot(path, out);
            continue;
        }
        assert_int_equal(cs_io_read_all(path, 1 << 26, &data, &size, NULL), CS_OK);
        cs_str_append(out, data, size);
        cs_free(data);
    }
    cs_io_list_free(names, n);
}

static inline void assert_same_snapshot(const cs_str *want, const char *dir)
{
    cs_str now = {0};
    snapshot(dir, &now);
    assert_int_equal(now.len, want->len);
    assert_memory_equal(now.data, want->data, want->len);
    cs_str_release(&now);
}

static inline void flip_bit(const char *path, size_t at, int bit)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, (long)at, SEEK_SET);
    fputc(c ^ 1 << bit, f);
    fclose(f);
}

#endif
