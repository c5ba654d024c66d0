/* The frame of all conversions. Memory: the plan and one slice of a tensor. Nothing is seen under the output's name before it is whole. */
#include "ckpt/exporter.h"

#include "base/mem.h"
#include "base/str.h"
#include "ckpt/hf.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "text/tok_hf.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const carried[] = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                      "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json"};

static const struct {
    const char *name;
    cs_dtype type;
} torch_names[] = {{"float64", CS_F64}, {"float32", CS_F32}, {"float16", CS_F16}, {"bfloat16", CS_BF16}};

cs_status cs_exporter_file(const cs_exporter *x, const char *name, const void *data, size_t n, cs_error *err)
{
    char path[PATH_MAX];
    cs_writer w;
    CS_TRY(cs_hf_path(path, sizeof path, x->temp, name, err));
    CS_TRY(cs_writer_init_plain(&w, path, err));
    cs_status s = cs_writer_write(&w, data, n, err);
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}

cs_dtype cs_exporter_dtype(const cs_exporter *x, int64_t i)
{
    return x->args->keep_dtype ? cs_source_dtype(x->src, i) : x->args->dtype;
}

void cs_exporter_progress(cs_exporter *x, size_t bytes)
{
    x->done_bytes += bytes;
    cs_progress_update(&x->bar, (int64_t)(x->done_bytes >> 20), NULL);
}

static cs_status copy_as(const cs_exporter *x, const char *from, const char *name, cs_error *err)
{
    uint8_t *data;
    size_t n;
    CS_TRY(cs_io_read_all(from, CS_LIMIT_COPIED_BYTES, &data, &n, err));
    cs_status s = cs_exporter_file(x, name, data, n, err);
    cs_free(data);
    return s;
}

/* A llama2.c tokenizer beside a model: any small .bin that holds no weights. */
static bool is_tokenizer_bin(const char *dir, const char *name)
{
    char path[PATH_MAX];
    int64_t size = 0;
    if (!cs_str_ends_with(name, ".bin") || strstr(name, "pytorch_model") || strstr(name, "training_args"))
        return false;
    return cs_hf_path(path, sizeof path, dir, name, NULL) == CS_OK && cs_io_kind(path, &size) == CS_FILE_REGULAR && size < 64 << 20;
}

/* Copies the tokenizer files of a folder; *n_out counts them. */
static cs_status carry_folder(const cs_exporter *x, const char *dir, size_t *n_out, cs_error *err)
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

/* Files made from the vocabulary of a GGUF file. CS_E_FORMAT: it cannot be read, or files cannot hold it. */
static cs_status write_tokenizer(const cs_exporter *x, const char *path, bool *is_gguf, cs_error *err)
{
    cs_tok_hf_file file[CS_TOK_HF_FILES] = {0};
    cs_tokenizer *tok = NULL;
    CS_TRY(cs_tokenizer_create(path, &tok, err));
    *is_gguf = cs_tokenizer_is_gguf(tok);
    cs_status s = *is_gguf ? cs_tok_hf_files(tok, x->src->spec.max_pos, file, err) : CS_OK;
    for (int i = 0; i < CS_TOK_HF_FILES && s == CS_OK; i++)
        if (file[i].name)
            s = cs_exporter_file(x, file[i].name, file[i].text.data, file[i].text.len, err);
    cs_tok_hf_release(file);
    cs_tokenizer_destroy(tok);
    return s;
}

/* The same for what the source brings along: a model without its tokenizer is worth writing. */
static cs_status try_tokenizer(const cs_exporter *x, const char *path, cs_error *err)
{
    cs_error why = {0};
    bool is_gguf;
    cs_status s = write_tokenizer(x, path, &is_gguf, &why);
    if (s != CS_E_FORMAT)
        return s == CS_OK ? CS_OK : cs_fail(err, s, "%s", why.msg);
    cs_warn("no tokenizer is written: %s; name one with --tokenizer", why.msg);
    return CS_OK;
}

/* A tokenizer file gets the name under which a loader looks for its kind. */
static cs_status carry_file(const cs_exporter *x, const char *path, cs_error *err)
{
    cs_map map;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool is_gguf;
    CS_TRY(cs_map_init(&map, path, err));
    is_gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    if (map.size > 0 && map.data[0] == '{')
        name = "tokenizer.json";
    else if (map.size > 0 && map.data[0] == 0x0a)
        name = "tokenizer.model";
    cs_map_release(&map);
    return is_gguf ? write_tokenizer(x, path, &is_gguf, err) : copy_as(x, path, name, err);
}

static cs_status carry_tokenizer(const cs_exporter *x, cs_error *err)
{
    const char *given = x->args->tokenizer;
    size_t n = 0;
    if (given && cs_io_kind(given, NULL) != CS_FILE_DIR)
        return carry_file(x, given, err);
    const char *dir = given ? given : x->src->dir;
    bool present = false, is_gguf = false;
    if (!given && x->src->tokenizer_file)
        return try_tokenizer(x, x->src->tokenizer_file, err);
    if (!dir)
        return CS_OK;
    CS_TRY(carry_folder(x, dir, &n, err));
    if (n == 0)
        CS_TRY(cs_tokenizer_present(dir, &present, err));
    if (present)
        return given ? write_tokenizer(x, dir, &is_gguf, err) : try_tokenizer(x, dir, err);
    return n > 0 || !given ? CS_OK : cs_fail(err, CS_E_IO, "%s: no tokenizer file in this folder", given);
}

static const char *torch_name(cs_dtype t)
{
    for (size_t i = 0; i < sizeof torch_names / sizeof *torch_names; i++)
        if (torch_names[i].type == t)
            return torch_names[i].name;
    return "float32";
}

/* The source's own config with another dtype: keys that this program does not use stay. */
static cs_status edit_config(cs_exporter *x, cs_error *err)
{
    json_t *config = json_copy(x->src->config);
    const char *key = json_object_get(config, "dtype") && !json_object_get(config, "torch_dtype") ? "dtype" : "torch_dtype";
    const char *dtype = torch_name(x->args->dtype);
    bool ok = config && json_object_size(config) == json_object_size(x->src->config); /* json_copy drops what it has no memory for */
    if (!x->args->keep_dtype)
        ok = ok && json_object_set_new(config, key, json_string(dtype)) == 0 &&
             (!json_object_get(config, "dtype") || json_object_set_new(config, "dtype", json_string(dtype)) == 0);
    cs_status s = ok ? cs_json_dump(config, 2, &x->config, err) : cs_fail_nomem(err, 64, "config.json");
    json_decref(config);
    return s;
}

static cs_status make_config(cs_exporter *x, cs_error *err)
{
    cs_spec spec = x->src->spec;
    spec.dtype = x->args->keep_dtype ? spec.dtype : x->args->dtype;
    CS_TRY(x->src->config ? edit_config(x, err) : cs_spec_to_json(&spec, &x->config, err));
    cs_str_putc(&x->config, '\n');
    return cs_str_check(&x->config, err);
}

static cs_status write_generation_config(const cs_exporter *x, cs_error *err)
{
    char path[PATH_MAX], text[256];
    const cs_spec *s = &x->src->spec;
    if (x->src->dir) {
        CS_TRY(cs_hf_path(path, sizeof path, x->src->dir, "generation_config.json", err));
        if (cs_io_kind(path, NULL) == CS_FILE_REGULAR)
            return copy_as(x, path, "generation_config.json", err);
    }
    if (x->src->config)
        return CS_OK;
    const struct {
        const char *key;
        int64_t id;
    } ids[] = {{"bos_token_id", s->bos}, {"eos_token_id", s->eos}, {"pad_token_id", s->pad}};
    int n = snprintf(text, sizeof text, "{\n  \"_from_model_config\": true");
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0)
            n += snprintf(text + n, sizeof text - (size_t)n, ",\n  \"%s\": %" PRId64, ids[i].key, ids[i].id);
    n += snprintf(text + n, sizeof text - (size_t)n, "\n}\n");
    return cs_exporter_file(x, "generation_config.json", text, (size_t)n, err);
}

static cs_status check_output(const char *output, cs_error *err)
{
    char **names;
    size_t n;
    cs_file_kind kind;
    CS_TRY(cs_io_stat(output, &kind, NULL, err));
    if (kind == CS_FILE_NONE)
        return CS_OK;
    if (kind != CS_FILE_DIR)
        return cs_fail(err, CS_E_USAGE, "--output %s: is a file; name a folder to be made", output);
    CS_TRY(cs_io_list(output, &names, &n, err));
    cs_io_list_free(names, n);
    return n == 0 ? CS_OK : cs_fail(err, CS_E_USAGE, "--output %s: the folder is not empty; choose another or remove it", output);
}

static cs_status make_slice(cs_exporter *x, cs_error *err)
{
    size_t widest = CS_EXPORT_SLICE;
    for (int64_t i = 0; i < x->src->table.n_rows; i++)
        widest = (size_t)x->src->table.row[i].cols > widest ? (size_t)x->src->table.row[i].cols : widest;
    x->slice = cs_alloc_aligned(widest * 8);
    return x->slice ? CS_OK : cs_fail_nomem(err, widest * 8, "a slice of a tensor");
}

static cs_status write_folder(cs_exporter *x, const cs_exporter_kind *kind, cs_error *err)
{
    CS_TRY(make_slice(x, err));
    CS_TRY(make_config(x, err));
    CS_TRY(kind->plan(x, err));
    CS_TRY(cs_io_mkdirs(x->temp, err));
    int64_t left = cs_io_free_bytes(x->temp);
    if (left >= 0 && (uint64_t)left < x->total_bytes)
        return cs_fail(err, CS_E_IO, "%s: the weights need %zu bytes, %" PRId64 " are free; free some space", x->args->output, x->total_bytes, left);
    CS_TRY(write_generation_config(x, err));
    CS_TRY(carry_tokenizer(x, err));
    cs_progress_init(&x->bar, "convert", "MiB", (int64_t)(x->total_bytes >> 20));
    CS_TRY(kind->write(x, err));
    cs_progress_finish(&x->bar, (int64_t)(x->done_bytes >> 20));
    CS_TRY(cs_io_fsync_dir(x->temp, err));
    return cs_io_rename(x->temp, x->args->output, err);
}

cs_status cs_export(const cs_source *src, const cs_export_args *args, size_t *bytes_out, cs_error *err)
{
    static const cs_exporter_kind *const kinds[] = {[CS_EXPORT_HF] = &cs_exporter_hf, [CS_EXPORT_MEGATRON] = &cs_exporter_megatron};
    if (args->to == CS_EXPORT_GGUF)
        return cs_export_gguf(src, args, bytes_out, err);
    CS_TRY(check_output(args->output, err));
    size_t len = strlen(args->output);
    while (len > 1 && args->output[len - 1] == '/')
        len--;
    if (len > PATH_MAX - 400)
        return cs_fail(err, CS_E_IO, "%.200s: path too long", args->output);
    cs_exporter *x = cs_calloc(1, sizeof *x);
    if (!x)
        return cs_fail_nomem(err, sizeof *x, "converting");
    x->src = src;
    x->args = args;
    snprintf(x->temp, sizeof x->temp, "%.*s.tmp.%ld", (int)len, args->output, (long)getpid());
    cs_status s = write_folder(x, kinds[args->to], err);
    if (s == CS_OK && bytes_out)
        *bytes_out = x->total_bytes;
    if (s != CS_OK) {
        cs_error why = {0};
        if (cs_io_remove_tree(x->temp, NULL) != CS_OK && cs_io_remove_tree(x->temp, &why) != CS_OK)
            cs_warn("%s; remove it by hand", why.msg);
    }
    cs_st_plan_release(&x->plan);
    cs_str_release(&x->config);
    cs_free(x->slice);
    cs_free(x);
    return s;
}
