/* See columns.h. */
#include "data/columns.h"

#include "base/options.h"
#include "fmt/json.h"
#include "fmt/limits.h"

#include <string.h>

const cs_columns cs_columns_alpaca = {.prompt = "instruction", .query = "input", .response = "output", .history = "history", .system = "system"};
const cs_columns cs_columns_sharegpt = {.messages = "conversations", .system = "system", .tools = "tools", .role_tag = "from",
                                        .content_tag = "value", .user_tag = "human", .assistant_tag = "gpt", .observation_tag = "observation",
                                        .function_tag = "function_call", .system_tag = "system"};
const cs_columns cs_columns_openai = {.messages = "messages", .role_tag = "role", .content_tag = "content", .user_tag = "user",
                                      .assistant_tag = "assistant", .observation_tag = "tool", .system_tag = "system"};

/* Where a value of an entry goes; the order is that of `fields`. */
typedef struct field {
    const char *key;
    size_t offset;
} field;

#define COLUMN(f) {#f, offsetof(cs_columns, f)}
static const field columns[] = {COLUMN(prompt), COLUMN(query), COLUMN(response), COLUMN(history), COLUMN(messages), COLUMN(system), COLUMN(tools)};
static const field tags[] = {COLUMN(role_tag), COLUMN(content_tag), COLUMN(user_tag), COLUMN(assistant_tag), COLUMN(observation_tag),
                             COLUMN(function_tag), COLUMN(system_tag)};

static cs_status take(const char *path, const char *name, const char *part, const json_t *map, const field *f, size_t n, cs_arena *perm,
                      cs_columns *out, cs_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(map))
        return cs_fail(err, CS_E_FORMAT, "%s: %s.%s: expected an object", path, name, part);
    json_object_foreach((json_t *)map, key, value) {
        size_t i = 0;
        while (i < n && strcmp(f[i].key, key) != 0)
            i++;
        if (i == n)
            return cs_fail(err, CS_E_FORMAT, "%s: %s.%s.%.100s: is not in this version (preferences, images and other media are not)", path, name,
                           part, key);
        if (!json_is_string(value))
            return cs_fail(err, CS_E_FORMAT, "%s: %s.%s.%s: expected a string", path, name, part, key);
        char *copy = cs_arena_strdup(perm, json_string_value(value));
        if (!copy)
            return cs_fail_nomem(err, json_string_length(value), path);
        memcpy((char *)out + f[i].offset, &copy, sizeof copy);
    }
    return CS_OK;
}

/* What an entry may say that this program cannot do. */
static cs_status check_entry(const char *path, const char *name, const json_t *entry, cs_error *err)
{
    static const char *const known[] = {"file_name", "formatting", "columns", "tags", "split", "num_samples", "ranking", "file_sha1",
                                        "hf_hub_url", "ms_hub_url"};
    const char *key;
    json_t *value;
    if (!json_is_object(entry))
        return cs_fail(err, CS_E_FORMAT, "%s: %s: expected an object", path, name);
    if (json_is_true(json_object_get(entry, "ranking")))
        return cs_fail(err, CS_E_FORMAT, "%s: %s: is a data set of preferences (ranking), which are not in this version", path, name);
    if (!json_is_string(json_object_get(entry, "file_name")))
        return cs_fail(err, CS_E_FORMAT, "%s: %s: has no file_name; data are not fetched, and no script is run", path, name);
    json_object_foreach((json_t *)entry, key, value) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i], key) != 0)
            i++;
        if (i == sizeof known / sizeof *known)
            return cs_fail(err, CS_E_FORMAT, "%s: %s.%.100s: is not in this version", path, name, key);
    }
    return CS_OK;
}

static cs_status read_entry(const char *path, const char *name, const json_t *entry, cs_arena *perm, cs_dataset_entry *out, cs_error *err)
{
    const char *formatting = "alpaca", *file_name = NULL;
    CS_TRY(check_entry(path, name, entry, err));
    CS_TRY(cs_json_get_str(entry, "formatting", path, &formatting, err));
    CS_TRY(cs_json_get_str(entry, "file_name", path, &file_name, err));
    CS_TRY(cs_json_get_int(entry, "num_samples", path, &out->num_samples, err));
    if (out->num_samples < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: %s.num_samples: expected a number of records, found %lld", path, name, (long long)out->num_samples);
    out->sharegpt = strcmp(formatting, "sharegpt") == 0;
    if (!out->sharegpt && strcmp(formatting, "alpaca") != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: %s.formatting: expected alpaca or sharegpt, found %.100s", path, name, formatting);
    out->file_name = cs_arena_strdup(perm, file_name);
    if (!out->file_name)
        return cs_fail_nomem(err, strlen(file_name), path);
    out->columns = out->sharegpt ? cs_columns_sharegpt : cs_columns_alpaca;
    const json_t *map = json_object_get(entry, "columns");
    if (map) { /* what the map leaves out is not there; the names of the main columns stay */
        out->columns.query = out->columns.history = out->columns.system = out->columns.tools = NULL;
        CS_TRY(take(path, name, "columns", map, columns, sizeof columns / sizeof *columns, perm, &out->columns, err));
        if (!out->sharegpt && !json_object_get(map, "response"))
            return cs_fail(err, CS_E_FORMAT, "%s: %s.columns: names no response; for plain text use --handler-name GeneralPretrainHandler with "
                           "--json-keys", path, name);
    }
    map = json_object_get(entry, "tags");
    return map ? take(path, name, "tags", map, tags, sizeof tags / sizeof *tags, perm, &out->columns, err) : CS_OK;
}

static bool ends_with_file(const json_t *entry, const char *file)
{
    const json_t *name = json_object_get(entry, "file_name");
    if (!json_is_string(name))
        return false;
    const char *slash = strrchr(json_string_value(name), '/');
    return strcmp(slash ? slash + 1 : json_string_value(name), file) == 0;
}

static cs_status no_such_name(const char *path, const char *name, json_t *info, cs_error *err)
{
    enum { MOST = 256 };
    const char *names[MOST], *key;
    size_t n = 0;
    json_t *value;
    json_object_foreach(info, key, value) {
        if (n < MOST)
            names[n++] = key;
    }
    const char *near = n > 0 ? cs_nearest_name(name, strlen(name), names, n) : NULL;
    return cs_fail(err, CS_E_USAGE, "--dataset-name %s: %s has no such entry%s%s%s", name, path, near ? "; did you mean " : "", near ? near : "",
                   near ? "?" : "");
}

cs_status cs_dataset_entry_load(const char *path, const char *name, const char *file, cs_arena *perm, bool *found, cs_dataset_entry *out,
                                cs_error *err)
{
    json_t *info = NULL;
    *found = false;
    *out = (cs_dataset_entry){0};
    CS_TRY(cs_json_load(path, CS_LIMIT_CONFIG_BYTES, &info, err));
    cs_status s = json_is_object(info) ? CS_OK : cs_fail(err, CS_E_FORMAT, "%s: expected an object of data sets", path);
    const char *key = name;
    json_t *entry = s == CS_OK && name ? json_object_get(info, name) : NULL, *value;
    if (s == CS_OK && !name) {
        const char *other;
        json_object_foreach(info, other, value) {
            if (!entry && ends_with_file(value, file)) {
                entry = value;
                key = other;
            }
        }
    }
    if (s == CS_OK && name && !entry)
        s = no_such_name(path, name, info, err);
    if (s == CS_OK && entry) {
        *found = true;
        s = read_entry(path, key, entry, perm, out, err);
    }
    json_decref(info);
    return s;
}
