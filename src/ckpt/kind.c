/* See kind.h. Magic bytes first, then the shape of JSON and text, then the readers that have neither. */
#include "ckpt/kind.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/manifest.h"
#include "ckpt/source.h"
#include "data/records.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "fmt/llama2c.h"
#include "fmt/llama2c_tok.h"
#include "fmt/tfevents.h"
#include "text/merges.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 1 << 16 };

const char *cs_kind_text(cs_kind kind)
{
    static const char *const text[CS_KIND_COUNT] = {
        [CS_KIND_RUN] = "run folder",
        [CS_KIND_CHECKPOINT] = "checkpoint",
        [CS_KIND_HF] = "Hugging Face folder",
        [CS_KIND_MEGATRON] = "Megatron shards",
        [CS_KIND_TOKENIZER] = "tokenizer",
        [CS_KIND_SAFETENSORS] = "safetensors",
        [CS_KIND_ST_INDEX] = "safetensors index",
        [CS_KIND_CONFIG] = "model config",
        [CS_KIND_MANIFEST] = "checkpoint manifest",
        [CS_KIND_TOK_CONFIG] = "tokenizer config",
        [CS_KIND_VOCAB] = "vocabulary",
        [CS_KIND_MERGES] = "merge rules",
        [CS_KIND_GGUF] = "GGUF",
        [CS_KIND_LLAMA2C] = "llama2.c model",
        [CS_KIND_IDXBIN] = "indexed data set",
        [CS_KIND_NPY] = "npy array",
        [CS_KIND_METRICS] = "training metrics",
        [CS_KIND_TFEVENTS] = "TensorBoard events",
        [CS_KIND_JSONL] = "JSON lines",
        [CS_KIND_TEXT] = "text",
        [CS_KIND_JSON] = "JSON",
        [CS_KIND_TORCH] = "PyTorch checkpoint",
        [CS_KIND_ZIP] = "zip archive",
        [CS_KIND_PARQUET] = "Parquet",
    };
    return text[kind];
}

static bool starts_with(const cs_map *map, const void *magic, size_t n)
{
    return map->size >= n && memcmp(map->data, magic, n) == 0;
}

bool cs_kind_idx_prefix(const char *path, char *buf, size_t n)
{
    size_t len = strlen(path);
    char idx[PATH_MAX];
    if (cs_str_ends_with(path, ".idx") || cs_str_ends_with(path, ".bin"))
        len -= 4;
    if (len >= n || (size_t)snprintf(idx, sizeof idx, "%.*s.idx", (int)len, path) >= sizeof idx)
        return false;
    snprintf(buf, n, "%.*s", (int)len, path);
    return cs_io_kind(idx, NULL) == CS_FILE_REGULAR;
}

/* ---- JSON ---- */

/* An object that only maps texts to ids. */
static bool is_vocab(const json_t *tree)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)tree, key, v)
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return false;
    return json_object_size(tree) > 0;
}

static bool is_tok_config(const json_t *tree)
{
    static const char *const keys[] = {"tokenizer_class", "added_tokens_decoder", "bos_token", "eos_token",
                                       "unk_token",       "pad_token",            "add_bos_token"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(tree, keys[i]))
            return true;
    return false;
}

static cs_kind kind_of_tree(const json_t *tree)
{
    const json_t *model = json_object_get(tree, "model");
    if (json_object_get(tree, "weight_map"))
        return CS_KIND_ST_INDEX;
    if (json_object_get(tree, "files") && json_object_get(tree, "xxh128"))
        return CS_KIND_MANIFEST;
    if (json_object_get(tree, "hidden_size") && (json_object_get(tree, "model_type") || json_object_get(tree, "architectures")))
        return CS_KIND_CONFIG;
    if (json_is_object(model) && json_object_get(model, "vocab"))
        return CS_KIND_TOKENIZER;
    if (is_vocab(tree))
        return CS_KIND_VOCAB;
    return is_tok_config(tree) ? CS_KIND_TOK_CONFIG : CS_KIND_JSON;
}

static cs_status kind_of_json(const cs_map *map, cs_kind *out, cs_error *err)
{
    json_t *tree;
    if (map->size > CS_LIMIT_JSON_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: starts like JSON but has %zu bytes, more than any JSON file this program reads", map->path, map->size);
    CS_TRY(cs_json_parse_config((const char *)map->data, map->size, map->path, &tree, err));
    *out = kind_of_tree(tree);
    json_decref(tree);
    return CS_OK;
}

/* The first line of a file, unpacked: JSON of its own and not all of the file -> lines of JSON. */
static cs_status kind_of_lines(const char *path, bool whole_is_json, cs_kind *out, cs_error *err)
{
    cs_records *r;
    const char *text;
    size_t len;
    int64_t line;
    json_t *first = NULL;
    cs_error why = {0};
    CS_TRY(cs_records_create(path, CS_RECORD_LINES, &r, err));
    cs_status s = cs_records_next(r, &text, &len, &line, err);
    if (s == CS_OK && text && cs_json_parse_lenient(text, len, path, &first, &why) != CS_OK && why.status == CS_E_NOMEM)
        s = cs_fail(err, CS_E_NOMEM, "%s", why.msg);
    bool is_row = json_is_object(first);
    bool is_metrics = is_row && json_object_get(first, "step") && json_object_get(first, "lm_loss");
    if (s == CS_OK && is_row && whole_is_json)
        s = cs_records_next(r, &text, &len, &line, err); /* a second line? */
    *out = is_metrics ? CS_KIND_METRICS : is_row && (!whole_is_json || text) ? CS_KIND_JSONL : whole_is_json ? CS_KIND_JSON : CS_KIND_TEXT;
    json_decref(first);
    cs_records_destroy(r);
    return s;
}

/* ---- binary files ---- */

static uint64_t get_le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static bool looks_like_safetensors(const cs_map *map)
{
    uint64_t n = map->size > 8 ? get_le(map->data, 8) : 0;
    return n >= 2 && n <= CS_LIMIT_ST_HEADER && map->data[8] == '{';
}

/* The version record, the first of every event file. */
static bool looks_like_tfevents(const cs_map *map)
{
    return map->size >= 12 && get_le(map->data, 8) < (1 << 20) && cs_tfevents_length_ok(map->data);
}

/* llama2.c's tokenizer begins with its longest length, a score and the piece "<unk>". */
static bool looks_like_llama2c_tok(const cs_map *map)
{
    return map->size >= 17 && get_le(map->data, 4) <= CS_LIMIT_LLAMA2C_TOKEN && get_le(map->data + 8, 4) == 5 &&
           memcmp(map->data + 12, "<unk>", 5) == 0;
}

/* PyTorch writes "<name>/data.pkl" first; before 1.6 a pickle of a magic number. */
static cs_kind kind_of_zip(const cs_map *map)
{
    size_t n = map->size >= 30 ? (size_t)get_le(map->data + 26, 2) : 0;
    bool torch = n <= map->size - 30 && memmem(map->data + 30, n, "data.pkl", 8) != NULL;
    return torch ? CS_KIND_TORCH : CS_KIND_ZIP;
}

/* Well-formed UTF-8 without control characters, as far as the first bytes show. */
static bool looks_like_text(const cs_map *map)
{
    size_t n = map->size < HEAD ? map->size : HEAD, good = cs_utf8_valid_prefix(map->data, n);
    if (good < n && !(n < map->size && n - good < 4))
        return false;
    for (size_t i = 0; i < good; i++)
        if ((map->data[i] < 0x20 && !strchr("\t\n\r\f\v", map->data[i])) || map->data[i] == 0 || map->data[i] == 0x7f)
            return false;
    return true;
}

static cs_status fail_unknown(const cs_map *map, cs_error *err)
{
    char hex[32] = "";
    for (size_t i = 0; i < 8 && i < map->size; i++)
        snprintf(hex + 3 * i, sizeof hex - 3 * i, " %02x", map->data[i]);
    return cs_fail(err, CS_E_FORMAT, "%s: not a file this program reads (%zu bytes, at byte 0:%s)", map->path, map->size, hex);
}

static cs_status kind_of_tokenizer(const cs_map *map, cs_kind *out, cs_error *err)
{
    cs_tokenizer *tok;
    cs_llama2c_tok pieces;
    cs_error why = {0};
    *out = CS_KIND_TOKENIZER;
    if (looks_like_llama2c_tok(map)) {
        CS_TRY(cs_llama2c_tok_parse(map->data, map->size, map->path, &pieces, err));
        cs_llama2c_tok_release(&pieces);
        return CS_OK;
    }
    cs_status s = cs_tokenizer_create(map->path, &tok, &why);
    if (s == CS_OK)
        cs_tokenizer_destroy(tok);
    bool like_spm = map->size > 8 && map->data[0] == 0x0a && map->data[2] == 0x0a; /* a piece with its text first */
    if (s == CS_E_FORMAT && !like_spm)
        return fail_unknown(map, err);
    return s == CS_OK ? CS_OK : cs_fail(err, s, "%s", why.msg);
}

/* Files that say what they are in their first bytes. */
static bool kind_of_magic(const cs_map *map, cs_kind *out)
{
    static const struct {
        const char *magic;
        size_t n;
        cs_kind kind;
    } rows[] = {{"MMIDIDX", 7, CS_KIND_IDXBIN},
                {"\x93NUMPY", 6, CS_KIND_NPY},
                {"GGUF", 4, CS_KIND_GGUF},
                {"PAR1", 4, CS_KIND_PARQUET},
                {"24ka", 4, CS_KIND_LLAMA2C},
                {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14, CS_KIND_TORCH}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (starts_with(map, rows[i].magic, rows[i].n))
            return *out = rows[i].kind, true;
    if (starts_with(map, "PK\3\4", 4))
        return *out = kind_of_zip(map), true;
    if (cs_llama2c_detect(map->data, map->size))
        return *out = CS_KIND_LLAMA2C, true;
    if (looks_like_tfevents(map))
        return *out = CS_KIND_TFEVENTS, true;
    if (looks_like_safetensors(map) || cs_str_ends_with(map->path, ".safetensors"))
        return *out = CS_KIND_SAFETENSORS, true;
    return false;
}

static cs_status kind_of_file(const cs_map *map, cs_kind *out, cs_error *err)
{
    char prefix[PATH_MAX];
    size_t i = 0;
    if (map->size == 0)
        return cs_fail(err, CS_E_FORMAT, "%s: empty file", map->path);
    if (cs_str_ends_with(map->path, ".bin") && cs_kind_idx_prefix(map->path, prefix, sizeof prefix))
        return *out = CS_KIND_IDXBIN, CS_OK;
    if (kind_of_magic(map, out))
        return CS_OK;
    if (starts_with(map, "\x1f\x8b", 2) || starts_with(map, "\x28\xb5\x2f\xfd", 4))
        return kind_of_lines(map->path, false, out, err);
    while (i < map->size && strchr(" \t\r\n", map->data[i]) && map->data[i])
        i++;
    if (i < map->size && (map->data[i] == '{' || map->data[i] == '[')) {
        CS_TRY(kind_of_lines(map->path, true, out, err));
        return *out == CS_KIND_JSON ? kind_of_json(map, out, err) : CS_OK;
    }
    if (!looks_like_text(map))
        return kind_of_tokenizer(map, out, err);
    *out = cs_merges_detect((const char *)map->data, map->size) ? CS_KIND_MERGES : CS_KIND_TEXT;
    return CS_OK;
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
    bool run = false, megatron;
    cs_tokenizer *tok;
    cs_error why = {0};
    if (has(path, CS_MANIFEST_NAME) || has(path, "trainer"))
        return *out = CS_KIND_CHECKPOINT, CS_OK;
    if (cs_hf_present(path))
        return *out = CS_KIND_HF, CS_OK;
    CS_TRY(cs_megatron_present(path, &megatron, err));
    if (megatron)
        return *out = CS_KIND_MEGATRON, CS_OK;
    CS_TRY(cs_io_list(path, &names, &n, err));
    for (size_t i = 0; i < n; i++)
        run |= cs_ckpt_is_name(names[i], &iteration);
    cs_io_list_free(names, n);
    if (run)
        return *out = CS_KIND_RUN, CS_OK;
    cs_status s = cs_tokenizer_create(path, &tok, &why);
    if (s == CS_OK) {
        cs_tokenizer_destroy(tok);
        return *out = CS_KIND_TOKENIZER, CS_OK;
    }
    if (s != CS_E_IO) /* a damaged tokenizer, or no memory */
        return cs_fail(err, s, "%s", why.msg);
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
