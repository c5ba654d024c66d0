/* See hf_params.h. */
#include "data/hf_params.h"

#include "base/io.h"
#include "base/log.h"
#include "data/glob.h"
#include "data/hf_folder.h"
#include "fmt/json.h"
#include "fmt/json_repair.h"
#include "fmt/limits.h"

#include <string.h>

typedef struct params {
    const char *file;
    cs_arena *perm;
    const char *path, *config, *data_dir, *split;
    const json_t *data_files;
    const char *dir; /* what data_files are relative to; "" = the working folder */
    cs_record_kind kind;
    bool builder; /* path is the name of a kind */
} params;

/* ---- the file ---- */

static cs_status load(const char *file, json_t **out, cs_error *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    cs_error why = {0};
    CS_TRY(cs_io_read_all(file, CS_LIMIT_CONFIG_BYTES, &data, &size, err));
    cs_status s = cs_json_parse((const char *)data, size, file, out, &why);
    if (s == CS_E_FORMAT) {
        cs_str text = {0}, notes = {0};
        s = cs_json_repair((const char *)data, size, file, &text, &notes, &why);
        if (s == CS_OK)
            s = cs_json_parse(cs_str_cstr(&text), text.len, file, out, &why);
        for (const char *line = cs_str_cstr(&notes); s == CS_OK && *line; line = strchr(line, '\n') + 1)
            cs_warn("%.*s", (int)strcspn(line, "\n"), line);
        cs_str_release(&text);
        cs_str_release(&notes);
    }
    cs_free(data);
    if (s != CS_OK)
        *err = why;
    if (s == CS_OK && !json_is_object(*out)) {
        json_decref(*out);
        s = cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object with the arguments of load_dataset", file);
    }
    return s;
}

static cs_status read_string(const params *p, const json_t *v, const char *key, const char **out, cs_error *err)
{
    if (json_is_null(v))
        return CS_OK;
    if (!json_is_string(v))
        return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": expected a string", p->file, key);
    *out = cs_arena_strdup(p->perm, json_string_value(v));
    return *out ? CS_OK : cs_fail_nomem(err, json_string_length(v), p->file);
}

static cs_status read_keys(params *p, json_t *root, cs_error *err)
{
    static const char *const without_effect[] = {
        "streaming", "cache_dir", "num_proc", "keep_in_memory", "save_infos", "revision", "token", "use_auth_token", "trust_remote_code",
        "download_mode", "download_config", "verification_mode", "ignore_verifications", "storage_options"};
    const struct {
        const char *key;
        const char **out;
    } strings[] = {{"path", &p->path}, {"name", &p->config}, {"data_dir", &p->data_dir}, {"split", &p->split}};
    cs_str unused = {0};
    const char *key;
    json_t *v;
    json_object_foreach(root, key, v) {
        bool known = strcmp(key, "data_files") == 0;
        for (size_t i = 0; i < 4 && !known; i++) {
            if (strcmp(key, strings[i].key) != 0)
                continue;
            known = true;
            CS_TRY(read_string(p, v, key, strings[i].out, err));
        }
        for (size_t i = 0; i < sizeof without_effect / sizeof without_effect[0] && !known; i++)
            if ((known = strcmp(key, without_effect[i]) == 0) && i > 0)
                cs_str_printf(&unused, "%s%s", unused.len ? ", " : "", key);
        if (!known) {
            cs_str_release(&unused);
            return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": is not read; keys are path, name, data_dir, data_files, split, streaming", p->file, key);
        }
    }
    if (unused.len > 0)
        cs_note("%s: no effect here, where files are read as they lie: %s", p->file, cs_str_cstr(&unused));
    cs_str_release(&unused);
    p->data_files = json_object_get(root, "data_files");
    if (json_is_null(p->data_files))
        p->data_files = NULL;
    return CS_OK;
}

/* ---- files ---- */

static cs_status add_one(const params *p, const json_t *v, cs_paths *out, cs_error *err)
{
    if (!json_is_string(v))
        return cs_fail(err, CS_E_FORMAT, "%s: \"data_files\": expected a path, a list of paths, or an object of them by split", p->file);
    const char *name = json_string_value(v);
    bool below = p->dir[0] && name[0] != '/';
    const char *path = cs_arena_printf(p->perm, "%s%s%s", below ? p->dir : "", below ? "/" : "", name);
    if (!path)
        return cs_fail_nomem(err, strlen(name), p->file);
    cs_file_kind kind = cs_io_kind(path, NULL);
    if (kind == CS_FILE_REGULAR)
        return cs_paths_add_data(out, path, err);
    if (kind == CS_FILE_NONE && cs_glob_is_pattern(path))
        return cs_glob_expand(path, out, err);
    return cs_fail(err, CS_E_IO, "%s: \"data_files\": %s: %s", p->file, path,
                   kind == CS_FILE_NONE ? "no such file; nothing is downloaded" : "is no file");
}

/* The files of data_files for one split. */
static cs_status add_data_files(const params *p, const char *split, cs_paths *out, cs_error *err)
{
    const json_t *v = p->data_files, *item;
    size_t i;
    if (json_is_object(v)) {
        const char *key;
        json_t *each;
        v = NULL;
        json_object_foreach((json_t *)p->data_files, key, each)
            if (strcmp(cs_hf_split_name(key), cs_hf_split_name(split)) == 0)
                v = each;
        if (!v)
            return cs_fail(err, CS_E_FORMAT, "%s: \"data_files\" has nothing under the split \"%s\"", p->file, split);
    } else if (strcmp(cs_hf_split_name(split), "train") != 0) {
        return cs_fail(err, CS_E_FORMAT, "%s: \"data_files\" without splits are all \"train\", found \"split\": \"%s\"", p->file, split);
    }
    if (!json_is_array(v))
        return add_one(p, v, out, err);
    json_array_foreach(v, i, item)
        CS_TRY(add_one(p, item, out, err));
    return CS_OK;
}

/* What "path" means: a kind, a folder, or a file. */
static cs_status find_path(params *p, cs_error *err)
{
    static const struct {
        const char *name;
        cs_record_kind kind;
    } kinds[] = {{"json", CS_RECORD_JSON}, {"csv", CS_RECORD_AUTO}, {"text", CS_RECORD_LINES},
                 {"parquet", CS_RECORD_AUTO}, {"arrow", CS_RECORD_AUTO}};
    if (!p->path)
        return cs_fail(err, CS_E_FORMAT, "%s: \"path\" is missing: a folder or file, or json, csv, text or parquet with \"data_files\"", p->file);
    cs_file_kind found = cs_io_kind(p->path, NULL);
    p->dir = found == CS_FILE_DIR ? p->path : "";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && found == CS_FILE_NONE; i++)
        if (strcmp(p->path, kinds[i].name) == 0) {
            p->kind = kinds[i].kind;
            p->builder = true;
        }
    if (found == CS_FILE_NONE && !p->builder)
        return cs_fail(err, CS_E_IO, "%s: \"path\": %s: no such file or folder on this machine; nothing is downloaded, so fetch the data set and "
                       "give its folder", p->file, p->path);
    if (found == CS_FILE_OTHER)
        return cs_fail(err, CS_E_IO, "%s: \"path\": %s: is neither a file nor a folder", p->file, p->path);
    if (p->data_dir) {
        p->dir = p->dir[0] ? cs_arena_printf(p->perm, "%s/%s", p->dir, p->data_dir) : p->data_dir;
        if (!p->dir)
            return cs_fail_nomem(err, strlen(p->data_dir), p->file);
        if (cs_io_kind(p->dir, NULL) != CS_FILE_DIR)
            return cs_fail(err, CS_E_IO, "%s: \"data_dir\": %s: no such folder", p->file, p->dir);
    }
    if (p->builder && !p->data_files && !p->data_dir)
        return cs_fail(err, CS_E_FORMAT, "%s: \"path\": \"%s\" is a kind of file; say in \"data_files\" which ones", p->file, p->path);
    return CS_OK;
}

static cs_status add_part(const params *p, const char *split, cs_input_part *part, cs_error *err)
{
    cs_paths files = {.perm = p->perm};
    if (p->data_files)
        CS_TRY(add_data_files(p, split, &files, err));
    else if (p->dir[0])
        CS_TRY(cs_hf_folder_find(p->dir, p->config, split, &files, err));
    else
        CS_TRY(cs_paths_add_data(&files, p->path, err));
    part->files = (cs_strlist){files.items, files.n};
    part->kind = p->kind;
    return CS_OK;
}

static cs_status read_root(params *p, json_t *root, cs_inputs *out, cs_error *err)
{
    const char **names;
    CS_TRY(read_keys(p, root, err));
    CS_TRY(find_path(p, err));
    CS_TRY(cs_hf_split_parse(p->split ? p->split : "train", p->file, p->perm, out, &names, err));
    for (size_t i = 0; i < out->n; i++)
        CS_TRY(add_part(p, names[i], &out->parts[i], err));
    cs_inputs_count(out);
    return CS_OK;
}

cs_status cs_hf_params_read(const char *file, cs_arena *perm, cs_inputs *out, cs_error *err)
{
    params p = {.file = file, .perm = perm, .kind = CS_RECORD_AUTO};
    json_t *root;
    CS_TRY(load(file, &root, err));
    cs_status s = read_root(&p, root, out, err);
    json_decref(root);
    return s;
}
