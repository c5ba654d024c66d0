/* Index files of sharded safetensors. */
#include "base/mem.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "fmt/safetensors.h"

#include <string.h>

static bool plain_name(const char *file)
{
    return *file && *file != '.' && strlen(file) <= CS_LIMIT_SHARD_NAME && !strchr(file, '/') && !strchr(file, '\\');
}

static cs_status index_files(cs_st_index *index, const char *name, cs_error *err)
{
    const char *key;
    json_t *value, *seen = json_object();
    cs_status s = CS_OK;
    index->file = cs_calloc(json_object_size(index->weight_map) + 1, sizeof *index->file);
    if (!seen || !index->file)
        s = cs_fail_nomem(err, json_object_size(index->weight_map) * sizeof *index->file, name);
    json_object_foreach((json_t *)index->weight_map, key, value) {
        if (s != CS_OK)
            break;
        const char *file = json_string_value(value);
        if (!file || json_string_length(value) != strlen(file) || !plain_name(file))
            s = cs_fail(err, CS_E_FORMAT, "%s: \"weight_map\": expected a plain file name of at most %d bytes for \"%.200s\", found %.200s%s%s", name,
                        CS_LIMIT_SHARD_NAME, key, file ? "\"" : "no string", file ? file : "", file ? "\"" : "");
        else if (!json_object_get(seen, file) && index->n_files == CS_LIMIT_SHARDS)
            s = cs_fail(err, CS_E_FORMAT, "%s: \"weight_map\": expected at most %d files, found more", name, CS_LIMIT_SHARDS);
        else if (!json_object_get(seen, file)) {
            index->file[index->n_files++] = file;
            if (json_object_set_new(seen, file, json_true()) != 0)
                s = cs_fail_nomem(err, strlen(file), name);
        }
    }
    json_decref(seen);
    return s;
}

cs_status cs_st_index_init(cs_st_index *index, const char *bytes, size_t len, const char *name, cs_error *err)
{
    *index = (cs_st_index){0};
    CS_TRY(cs_json_parse(bytes, len, name, &index->tree, err));
    index->weight_map = json_object_get(index->tree, "weight_map");
    const json_t *meta = json_object_get(index->tree, "metadata"), *total = json_object_get(meta, "total_size");
    cs_status s;
    if (!json_is_object(index->weight_map))
        s = cs_fail(err, CS_E_FORMAT, "%s: expected an object \"weight_map\", found none; not a safetensors index", name);
    else if (json_object_size(index->weight_map) == 0)
        s = cs_fail(err, CS_E_FORMAT, "%s: expected tensors in \"weight_map\", found none", name);
    else if (meta && !json_is_null(meta) && !json_is_object(meta))
        s = cs_fail(err, CS_E_FORMAT, "%s: expected an object for \"metadata\"", name);
    else if (total && (!json_is_number(total) || !(json_number_value(total) >= 0)))
        s = cs_fail(err, CS_E_FORMAT, "%s: expected a number >= 0 for \"total_size\"", name);
    else
        s = index_files(index, name, err);
    if (s != CS_OK)
        cs_st_index_release(index);
    return s;
}

void cs_st_index_release(cs_st_index *index)
{
    json_decref(index->tree);
    cs_free(index->file);
    *index = (cs_st_index){0};
}
