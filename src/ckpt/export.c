/* The writer of Hugging Face folders. Memory: the plan and one slice of a tensor. Nothing is seen under the output's name before it is whole. */
#include "ckpt/export.h"

#include "base/log.h"
#include "base/mem.h"
#include "fmt/json.h"
#include "fmt/limits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SLICE_ELEMENTS = 1 << 20 };

static const char *const carried[] = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                      "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json"};

static const struct {
    const char *name;
    cs_dtype type;
} torch_names[] = {{"float64", CS_F64}, {"float32", CS_F32}, {"float16", CS_F16}, {"bfloat16", CS_BF16}};

typedef struct exporter {
    const cs_source *src;
    const cs_export_args *args;
    char temp[PATH_MAX];
    cs_st_plan plan;
    void *slice;
} exporter;

static cs_status write_file(const char *dir, const char *name, const void *data, size_t n, cs_error *err)
{
    char path[PATH_MAX];
    cs_writer w;
    CS_TRY(cs_hf_path(path, sizeof path, dir, name, err));
    CS_TRY(cs_writer_init_plain(&w, path, err));
    cs_status s = cs_writer_write(&w, data, n, err);
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}

static cs_status copy_as(const exporter *x, const char *from, const char *name, cs_error *err)
{
    uint8_t *data;
    size_t n;
    CS_TRY(cs_io_read_all(from, CS_LIMIT_COPIED_BYTES, &data, &n, err));
    cs_status s = write_file(x->temp, name, data, n, err);
    cs_free(data);
    return s;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

/* A llama2.c tokenizer beside a model: any small .bin that holds no weights. */
static bool is_tokenizer_bin(const char *dir, const char *name)
{
    char path[PATH_MAX];
    int64_t size = 0;
    if (!ends_with(name, ".bin") || strstr(name, "pytorch_model") || strstr(name, "training_args"))
        return false;
    return cs_hf_path(path, sizeof path, dir, name, NULL) == CS_OK && cs_io_kind(path, &size) == CS_FILE_REGULAR && size < 64 << 20;
}

/* Copies the tokenizer files of a folder; *n_out counts them. */
static cs_status carry_folder(const exporter *x, const char *dir, size_t *n_out, cs_error *err)
{
    char **names, path[PATH_MAX];
    size_t n;
    cs_status s = CS_OK;
    *n_out = 0;
    CS_TRY(cs_io_list(dir, &names, &n, err));
    for (size_t i = 0; i < n && s == CS_OK; i++) {
        bool take = is_tokenizer_bin(dir, names[i]);
        for (size_t k = 0; k < sizeof carried / sizeof *carried; k++)
            take |= strcmp(names[i], carried[k]) == 0;
        if (!take)
            continue;
        s = cs_hf_path(path, sizeof path, dir, names[i], err);
        if (s == CS_OK)
            s = copy_as(x, path, names[i], err);
        *n_out += 1;
    }
    cs_io_list_free(names, n);
    return s;
}

/* A tokenizer file gets the name under which a loader looks for its kind. */
static cs_status carry_file(const exporter *x, const char *path, cs_error *err)
{
    cs_map map;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    CS_TRY(cs_map_init(&map, path, err));
    if (map.size > 0 && map.data[0] == '{')
        name = "tokenizer.json";
    else if (map.size > 0 && map.data[0] == 0x0a)
        name = "tokenizer.model";
    cs_map_release(&map);
    return copy_as(x, path, name, err);
}

static cs_status carry_tokenizer(const exporter *x, cs_error *err)
{
    const char *given = x->args->tokenizer;
    size_t n = 0;
    if (given && cs_io_kind(given, NULL) != CS_FILE_DIR)
        return carry_file(x, given, err);
    if (given) {
        CS_TRY(carry_folder(x, given, &n, err));
        return n > 0 ? CS_OK : cs_fail(err, CS_E_IO, "%s: no tokenizer file in this folder", given);
    }
    return x->src->dir ? carry_folder(x, x->src->dir, &n, err) : CS_OK;
}

static const char *torch_name(cs_dtype t)
{
    for (size_t i = 0; i < sizeof torch_names / sizeof *torch_names; i++)
        if (torch_names[i].type == t)
            return torch_names[i].name;
    return "float32";
}

/* The source's own config.json with another dtype: keys that this program does not use stay. */
static cs_status edit_config(const exporter *x, cs_str *out, cs_error *err)
{
    json_t *config;
    CS_TRY(cs_hf_json(x->src->dir, "config.json", &config, err));
    const char *key = json_object_get(config, "dtype") && !json_object_get(config, "torch_dtype") ? "dtype" : "torch_dtype";
    cs_status s = CS_OK;
    if (!x->args->keep_dtype && json_object_set_new(config, key, json_string(torch_name(x->args->dtype))) != 0)
        s = cs_fail_nomem(err, 64, "config.json");
    if (s == CS_OK && !x->args->keep_dtype && strcmp(key, "torch_dtype") == 0 && json_object_get(config, "dtype") &&
        json_object_set_new(config, "dtype", json_string(torch_name(x->args->dtype))) != 0)
        s = cs_fail_nomem(err, 64, "config.json");
    if (s == CS_OK)
        s = cs_json_dump(config, 2, out, err);
    json_decref(config);
    return s;
}

static cs_status write_config(const exporter *x, cs_error *err)
{
    cs_str text = {0};
    cs_spec spec = x->src->spec;
    spec.dtype = x->args->keep_dtype ? spec.dtype : x->args->dtype;
    cs_status s = x->src->dir ? edit_config(x, &text, err) : cs_spec_to_json(&spec, &text, err);
    cs_str_putc(&text, '\n');
    if (s == CS_OK)
        s = cs_str_check(&text, err);
    if (s == CS_OK)
        s = write_file(x->temp, "config.json", text.data, text.len, err);
    cs_str_release(&text);
    return s;
}

static cs_status write_generation_config(const exporter *x, cs_error *err)
{
    char path[PATH_MAX], text[256];
    const cs_spec *s = &x->src->spec;
    if (x->src->dir) {
        CS_TRY(cs_hf_path(path, sizeof path, x->src->dir, "generation_config.json", err));
        return cs_io_kind(path, NULL) == CS_FILE_REGULAR ? copy_as(x, path, "generation_config.json", err) : CS_OK;
    }
    int n = snprintf(text, sizeof text, "{\n  \"_from_model_config\": true,\n  \"bos_token_id\": %" PRId64 ",\n  \"eos_token_id\": %" PRId64 "\n}\n",
                     s->bos, s->eos);
    return write_file(x->temp, "generation_config.json", text, (size_t)n, err);
}

static cs_status write_tensor(const exporter *x, cs_writer *w, const cs_st_entry *e, cs_error *err)
{
    int64_t cols = e->ndim == 2 ? e->shape[1] : 1, step = SLICE_ELEMENTS / cols;
    step = step < 1 ? 1 : step;
    for (int64_t lo = 0; lo < e->shape[0]; lo += step) {
        int64_t n = e->shape[0] - lo < step ? e->shape[0] - lo : step;
        cs_source_read(x->src, e->tag, lo, n, e->dtype, x->slice);
        CS_TRY(cs_writer_write(w, x->slice, (size_t)(n * cols) * cs_dtype_size(e->dtype), err));
    }
    return CS_OK;
}

static cs_status write_shard(const exporter *x, const cs_st_file *f, cs_progress *bar, size_t *done, cs_error *err)
{
    char path[PATH_MAX];
    cs_writer w;
    CS_TRY(cs_hf_path(path, sizeof path, x->temp, f->name, err));
    CS_TRY(cs_writer_init_plain(&w, path, err));
    cs_status s = cs_writer_write(&w, f->header.data, f->header.len, err);
    for (size_t i = f->first; i < f->first + f->n && s == CS_OK; i++) {
        CS_ASSERT((size_t)w.at == x->plan.entry[i].offset);
        s = write_tensor(x, &w, &x->plan.entry[i], err);
        *done += x->plan.entry[i].bytes;
        cs_progress_update(bar, (int64_t)(*done >> 20), NULL);
    }
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}

static cs_status make_plan(exporter *x, cs_error *err)
{
    int64_t n = cs_param_n_views(&x->src->table);
    size_t widest = 0;
    cs_st_entry *entry = cs_calloc((size_t)n, sizeof *entry);
    if (!entry)
        return cs_fail_nomem(err, (size_t)n * sizeof *entry, "the list of tensors");
    for (int64_t i = 0; i < n; i++) {
        cs_param_view v = cs_param_view_at(&x->src->table, i);
        entry[i] = (cs_st_entry){.name = v.name, .ndim = v.ndim, .shape = {v.shape[0], v.ndim == 2 ? v.shape[1] : 0}, .tag = i};
        entry[i].dtype = x->args->keep_dtype ? cs_source_dtype(x->src, i) : x->args->dtype;
        size_t cols = v.ndim == 2 ? (size_t)v.shape[1] : 1;
        widest = cols > widest ? cols : widest;
    }
    cs_status s = cs_st_plan_init(&x->plan, entry, (size_t)n, "model", x->args->max_shard_bytes, err);
    cs_free(entry);
    CS_TRY(s);
    size_t slice = (widest > SLICE_ELEMENTS ? widest : SLICE_ELEMENTS) * 8;
    x->slice = cs_alloc_aligned(slice);
    return x->slice ? CS_OK : cs_fail_nomem(err, slice, "a slice of a tensor");
}

static cs_status write_folder(exporter *x, cs_error *err)
{
    size_t done = 0;
    cs_progress bar;
    CS_TRY(make_plan(x, err));
    CS_TRY(cs_io_mkdirs(x->temp, err));
    int64_t left = cs_io_free_bytes(x->temp);
    if (left >= 0 && (uint64_t)left < x->plan.total_bytes)
        return cs_fail(err, CS_E_IO, "%s: the weights need %zu bytes, %" PRId64 " are free; free some space", x->args->output,
                       x->plan.total_bytes, left);
    CS_TRY(write_config(x, err));
    CS_TRY(write_generation_config(x, err));
    CS_TRY(carry_tokenizer(x, err));
    if (x->plan.index.len > 0)
        CS_TRY(write_file(x->temp, "model.safetensors.index.json", x->plan.index.data, x->plan.index.len, err));
    cs_progress_init(&bar, "convert", "MiB", (int64_t)(x->plan.total_bytes >> 20));
    for (size_t i = 0; i < x->plan.n_files; i++)
        CS_TRY(write_shard(x, &x->plan.file[i], &bar, &done, err));
    cs_progress_finish(&bar, (int64_t)(done >> 20));
    CS_TRY(cs_io_fsync_dir(x->temp, err));
    return cs_io_rename(x->temp, x->args->output, err);
}

static cs_status check_output(const char *output, cs_error *err)
{
    char **names;
    size_t n;
    cs_file_kind kind = cs_io_kind(output, NULL);
    if (kind == CS_FILE_NONE)
        return CS_OK;
    if (kind != CS_FILE_DIR)
        return cs_fail(err, CS_E_USAGE, "--output %s: is a file; name a folder to be made", output);
    CS_TRY(cs_io_list(output, &names, &n, err));
    cs_io_list_free(names, n);
    return n == 0 ? CS_OK : cs_fail(err, CS_E_USAGE, "--output %s: the folder is not empty; choose another or remove it", output);
}

cs_status cs_export_hf(const cs_source *src, const cs_export_args *args, size_t *bytes_out, cs_error *err)
{
    CS_TRY(check_output(args->output, err));
    size_t len = strlen(args->output);
    while (len > 1 && args->output[len - 1] == '/')
        len--;
    if (len > PATH_MAX - 400)
        return cs_fail(err, CS_E_IO, "%.200s: path too long", args->output);
    exporter *x = cs_calloc(1, sizeof *x);
    if (!x)
        return cs_fail_nomem(err, sizeof *x, "converting");
    x->src = src;
    x->args = args;
    snprintf(x->temp, sizeof x->temp, "%.*s.tmp.%ld", (int)len, args->output, (long)getpid());
    cs_status s = write_folder(x, err);
    if (s == CS_OK && bytes_out)
        *bytes_out = x->plan.total_bytes;
    if (s != CS_OK) {
        cs_error why = {0};
        if (cs_io_remove_tree(x->temp, NULL) != CS_OK && cs_io_remove_tree(x->temp, &why) != CS_OK)
            cs_warn("%s; remove it by hand", why.msg);
    }
    cs_st_plan_release(&x->plan);
    cs_free(x->slice);
    cs_free(x);
    return s;
}
