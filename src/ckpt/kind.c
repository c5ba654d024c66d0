/* See kind.h. Magic bytes first, then the shape of JSON, then the readers that have neither. */
#include "ckpt/kind.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/limits.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/manifest.h"
#include "fmt/json.h"
#include "fmt/llama2c.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *cs_kind_text(cs_kind kind)
{
    static const char *const text[CS_KIND_COUNT] = {
        [CS_KIND_RUN] = "run folder",       [CS_KIND_CHECKPOINT] = "checkpoint",       [CS_KIND_HF] = "Hugging Face folder",
        [CS_KIND_TOKENIZER] = "tokenizer",  [CS_KIND_SAFETENSORS] = "safetensors",     [CS_KIND_ST_INDEX] = "safetensors index",
        [CS_KIND_CONFIG] = "model config",  [CS_KIND_MANIFEST] = "checkpoint manifest", [CS_KIND_LLAMA2C] = "llama2.c model",
        [CS_KIND_IDXBIN] = "indexed data set", [CS_KIND_NPY] = "npy array",            [CS_KIND_JSON] = "JSON"};
    return text[kind];
}

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

static bool starts_with(const cs_map *map, const void *magic, size_t n)
{
    return map->size >= n && memcmp(map->data, magic, n) == 0;
}

bool cs_kind_idx_prefix(const char *path, char *buf, size_t n)
{
    size_t len = strlen(path);
    char idx[PATH_MAX];
    if (ends_with(path, ".idx") || ends_with(path, ".bin"))
        len -= 4;
    if (len >= n || (size_t)snprintf(idx, sizeof idx, "%.*s.idx", (int)len, path) >= sizeof idx)
        return false;
    snprintf(buf, n, "%.*s", (int)len, path);
    return cs_io_kind(idx, NULL) == CS_FILE_REGULAR;
}

static cs_status kind_of_json(const cs_map *map, cs_kind *out, cs_error *err)
{
    json_t *tree;
    if (map->size > CS_LIMIT_JSON_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: starts like JSON but has %zu bytes, more than any JSON file this program reads", map->path, map->size);
    CS_TRY(cs_json_parse((const char *)map->data, map->size, map->path, &tree, err));
    const json_t *model = json_object_get(tree, "model");
    if (json_object_get(tree, "weight_map"))
        *out = CS_KIND_ST_INDEX;
    else if (json_object_get(tree, "files") && json_object_get(tree, "xxh128"))
        *out = CS_KIND_MANIFEST;
    else if (json_object_get(tree, "hidden_size") && (json_object_get(tree, "model_type") || json_object_get(tree, "architectures")))
        *out = CS_KIND_CONFIG;
    else if (json_is_object(model) && json_object_get(model, "vocab"))
        *out = CS_KIND_TOKENIZER;
    else
        *out = CS_KIND_JSON;
    json_decref(tree);
    return CS_OK;
}

static bool looks_like_safetensors(const cs_map *map)
{
    uint64_t n = 0;
    for (int i = 7; map->size > 8 && i >= 0; i--)
        n = n << 8 | map->data[i];
    return n >= 2 && n <= CS_LIMIT_ST_HEADER && map->data[8] == '{';
}

static cs_status fail_unknown(const cs_map *map, const char *why, cs_error *err)
{
    char hex[32] = "";
    for (size_t i = 0; i < 8 && i < map->size; i++)
        snprintf(hex + 3 * i, sizeof hex - 3 * i, " %02x", map->data[i]);
    return cs_fail(err, CS_E_FORMAT, "%s: not a file this program reads (%zu bytes, at byte 0:%s)%s", map->path, map->size, hex, why);
}

static cs_status kind_of_file(const cs_map *map, cs_kind *out, cs_error *err)
{
    static const uint8_t llama2c_magic[] = {0x32, 0x34, 0x6b, 0x61};
    char prefix[PATH_MAX];
    cs_tokenizer *tok;
    if (starts_with(map, "MMIDIDX", 7))
        return *out = CS_KIND_IDXBIN, CS_OK;
    if (starts_with(map, "\x93NUMPY", 6))
        return *out = CS_KIND_NPY, CS_OK;
    if (starts_with(map, llama2c_magic, 4) || cs_llama2c_detect(map->data, map->size))
        return *out = CS_KIND_LLAMA2C, CS_OK;
    if (starts_with(map, "GGUF", 4))
        return fail_unknown(map, ": a GGUF file, which this version does not read", err);
    if (starts_with(map, "PK\3\4", 4))
        return fail_unknown(map, ": a zip or PyTorch file, which this version does not read; save it as safetensors", err);
    if (looks_like_safetensors(map) || ends_with(map->path, ".safetensors"))
        return *out = CS_KIND_SAFETENSORS, CS_OK;
    if (map->size > 0 && map->data[0] == '{')
        return kind_of_json(map, out, err);
    if (ends_with(map->path, ".bin") && cs_kind_idx_prefix(map->path, prefix, sizeof prefix))
        return *out = CS_KIND_IDXBIN, CS_OK;
    cs_status s = cs_tokenizer_create(map->path, &tok, err);
    if (s == CS_OK) {
        cs_tokenizer_destroy(tok);
        return *out = CS_KIND_TOKENIZER, CS_OK;
    }
    return s == CS_E_FORMAT ? fail_unknown(map, "", err) : s;
}

static bool has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return cs_hf_path(path, sizeof path, dir, name, NULL) == CS_OK && cs_io_kind(path, NULL) != CS_FILE_NONE;
}

static cs_status kind_of_folder(const char *path, cs_kind *out, cs_error *err)
{
    char **names;
    size_t n;
    int64_t iteration;
    bool run = false;
    cs_tokenizer *tok;
    if (has(path, CS_MANIFEST_NAME) || has(path, "trainer"))
        return *out = CS_KIND_CHECKPOINT, CS_OK;
    if (cs_hf_present(path))
        return *out = CS_KIND_HF, CS_OK;
    CS_TRY(cs_io_list(path, &names, &n, err));
    for (size_t i = 0; i < n; i++)
        run |= cs_ckpt_is_name(names[i], &iteration);
    cs_io_list_free(names, n);
    if (run)
        return *out = CS_KIND_RUN, CS_OK;
    if (cs_tokenizer_create(path, &tok, NULL) == CS_OK) {
        cs_tokenizer_destroy(tok);
        return *out = CS_KIND_TOKENIZER, CS_OK;
    }
    return cs_fail(err, CS_E_FORMAT, "%s: a folder without weights (safetensors), checkpoints (iter_*) or a tokenizer", path);
}

cs_status cs_kind_of(const char *path, cs_kind *out, cs_error *err)
{
    char prefix[PATH_MAX];
    cs_map map;
    cs_file_kind file = cs_io_kind(path, NULL);
    if (file == CS_FILE_NONE && cs_kind_idx_prefix(path, prefix, sizeof prefix))
        return *out = CS_KIND_IDXBIN, CS_OK;
    if (file == CS_FILE_DIR)
        return kind_of_folder(path, out, err);
    CS_TRY(cs_map_init(&map, path, err));
    cs_status s = kind_of_file(&map, out, err);
    cs_map_release(&map);
    return s;
}
