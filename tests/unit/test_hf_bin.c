/* Folders of pytorch_model-0000k-of-0000n.bin with an index, as they are published: a golden model's weights in three shards give the same tensors, with
 * stray buffers and with a tied head on the embedding's storage; a missing shard, a wrong place, a cut file are one clear error. */
#include "base/mem.h"
#include "ckpt/source.h"
#include "fmt/safetensors.h"
#include "fmt/torch_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

enum { SHARDS = 3 };

typedef struct bin_folder {
    char dir[256];
    cs_map map;
    cs_safetensors st;
} bin_folder;

static void must(cs_status s, const cs_error *err)
{
    if (s != CS_OK)
        fail_msg("status %d: %s", (int)s, err->msg);
}

static cs_status fill(void *ctx, int64_t tag, size_t offset, void *out, size_t n, cs_error *err)
{
    const bin_folder *f = ctx;
    (void)err;
    if (tag >= 0)
        memcpy(out, f->st.tensor[tag].data + offset, n);
    else
        memset(out, 0, n);
    return CS_OK;
}

static const char *shard_path(const bin_folder *f, size_t k)
{
    char name[64];
    snprintf(name, sizeof name, "pytorch_model-%05zu-of-%05d.bin", k + 1, SHARDS);
    return test_path(f->dir, name);
}

static void list_in(cs_str *index, const char *name, size_t k)
{
    cs_str_printf(index, "%s\n    \"%s\": \"pytorch_model-%05zu-of-%05d.bin\"", index->data[index->len - 1] == '{' ? "" : ",", name, k + 1, SHARDS);
}

/* Tensors [k/3, (k+1)/3) in shard k; the embedding's shard has the head on the same storage when it is tied. */
static void write_shard(bin_folder *f, size_t k, bool tied, cs_str *index)
{
    cs_error err = {0};
    cs_torch_out o = {0};
    static const int64_t four[] = {4};
    cs_torch_put_dict(&o);
    for (size_t i = f->st.n * k / SHARDS; i < f->st.n * (k + 1) / SHARDS; i++) {
        const cs_st_tensor *t = &f->st.tensor[i];
        cs_torch_put_text(&o, t->name);
        size_t number = cs_torch_put_tensor(&o, t->dtype, t->ndim, t->shape, fill, f, (int64_t)i);
        list_in(index, t->name, k);
        if (tied && strcmp(t->name, "model.embed_tokens.weight") == 0) {
            cs_torch_put_text(&o, "lm_head.weight");
            cs_torch_put_same(&o, number);
            list_in(index, "lm_head.weight", k);
        }
    }
    if (k == 0) {
        cs_torch_put_text(&o, "model.layers.0.self_attn.rotary_emb.inv_freq");
        cs_torch_put_tensor(&o, CS_F32, 1, four, fill, f, -1);
        list_in(index, "model.layers.0.self_attn.rotary_emb.inv_freq", k);
    }
    cs_torch_put_end(&o);
    must(cs_torch_out_save(&o, shard_path(f, k), &err), &err);
    cs_torch_out_release(&o);
}

static void make(bin_folder *f, const char *golden, bool tied)
{
    cs_error err = {0};
    cs_str index = {0};
    uint8_t *config;
    size_t n, total = 16;
    char from[256];
    snprintf(from, sizeof from, "%s/../golden/%s", TEST_DATA, golden);
    snprintf(f->dir, sizeof f->dir, "%s", test_make_dir());
    must(cs_map_init(&f->map, test_path(from, "model.safetensors"), &err), &err);
    must(cs_safetensors_init(&f->st, f->map.data, f->map.size, golden, &err), &err);
    for (size_t i = 0; i < f->st.n; i++)
        total += f->st.tensor[i].bytes; /* a shared storage once */
    cs_str_printf(&index, "{\n  \"metadata\": {\n    \"total_size\": %zu\n  },\n  \"weight_map\": {", total);
    for (size_t k = 0; k < SHARDS; k++)
        write_shard(f, k, tied, &index);
    cs_str_puts(&index, "\n  }\n}\n");
    must(cs_io_write_atomic(test_path(f->dir, "pytorch_model.bin.index.json"), index.data, index.len, &err), &err);
    must(cs_io_read_all(test_path(from, "config.json"), 1 << 20, &config, &n, &err), &err);
    must(cs_io_write_atomic(test_path(f->dir, "config.json"), config, n, &err), &err);
    cs_free(config);
    cs_str_release(&index);
}

static void drop(bin_folder *f)
{
    cs_safetensors_release(&f->st);
    cs_map_release(&f->map);
    cs_io_remove_tree(f->dir, NULL);
}

static void check_same(const char *golden, bool tied)
{
    bin_folder f;
    cs_source src;
    cs_error err = {0};
    make(&f, golden, tied);
    must(cs_source_init(&src, f.dir, NULL, &err), &err);
    assert_int_equal(cs_param_n_views(&src.table), f.st.n);
    assert_int_equal(src.n_files, SHARDS);
    for (int64_t i = 0; i < cs_param_n_views(&src.table); i++) {
        const char *name = src.view[i].name, *prefix = src.spec.family->optional_prefix;
        const cs_st_tensor *t = cs_safetensors_find(&f.st, name);
        if (!t && prefix && strncmp(name, prefix, strlen(prefix)) == 0)
            t = cs_safetensors_find(&f.st, name + strlen(prefix));
        if (!t)
            fail_msg("%s", name);
        assert_int_equal(cs_source_dtype(&src, i), t->dtype);
        void *got = cs_malloc(t->bytes);
        cs_source_read(&src, i, 0, t->shape[0], t->dtype, got);
        assert_memory_equal(got, t->data, t->bytes);
        cs_free(got);
    }
    cs_source_release(&src);
    drop(&f);
}

static void sharded(void **state)
{
    (void)state;
    check_same("llama_gqa", false);
    check_same("bloom_5", false);
    check_same("llama_bias_tied", true); /* the head listed too */
    check_same("llama_bias_tied", false);
}

static void refused(bin_folder *f, cs_status want, const char *what)
{
    cs_source src;
    cs_error err = {0};
    int64_t before = cs_mem_bytes();
    cs_status s = cs_source_init(&src, f->dir, NULL, &err);
    if (s != want || !strstr(err.msg, what))
        fail_msg("status %d, \"%s\"; expected %d with \"%s\"", (int)s, err.msg, (int)want, what);
    cs_source_release(&src);
    assert_int_equal(cs_mem_bytes(), before);
}

static void damaged(void **state)
{
    (void)state;
    bin_folder f;
    cs_error err = {0};
    uint8_t *data;
    size_t n;
    make(&f, "llama_gqa", false);
    must(cs_io_read_all(shard_path(&f, 1), 1 << 26, &data, &n, &err), &err);
    must(cs_io_write_atomic(shard_path(&f, 1), data, n / 2, &err), &err);
    cs_free(data);
    refused(&f, CS_E_FORMAT, "pytorch_model-00002-of-00003.bin: ");
    must(cs_io_rename(shard_path(&f, 1), test_path(f.dir, "away"), &err), &err);
    refused(&f, CS_E_IO, "pytorch_model-00002-of-00003.bin: cannot open: No such file");
    must(cs_io_read_all(shard_path(&f, 2), 1 << 26, &data, &n, &err), &err);
    must(cs_io_write_atomic(shard_path(&f, 1), data, n, &err), &err); /* one shard twice */
    cs_free(data);
    refused(&f, CS_E_FORMAT, "pytorch_model");
    drop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sharded), cmocka_unit_test(damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
