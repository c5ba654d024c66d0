/* Finding the tokenizer of a path, reading its files, applying tokenizer_config.json. */
#include "base/io.h"
#include "fmt/gguf.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "fmt/llama2c_tok.h"
#include "text/merges.h"
#include "text/tok_config.h"

#define XXH_STATIC_LINKING_ONLY /* the hash state lives on the stack */
#include <xxhash.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_PATH = 4096 };

typedef enum tok_kind { TOK_SPM, TOK_LLAMA2C, TOK_JSON, TOK_GPT2, TOK_GGUF, TOK_BLOOM } tok_kind;

/* One file in memory; `path` belongs to the tokenizer. */
typedef struct tok_file {
    uint8_t *data;
    size_t size;
    const char *path;
    cs_map map; /* GGUF, which may hold weights too: mapped, data borrowed from it */
} tok_file;

static void drop_file(tok_file *f)
{
    if (f->map.data)
        cs_map_release(&f->map);
    else
        cs_free(f->data);
    *f = (tok_file){0};
}

static cs_status join_path(char out[MAX_PATH], const char *dir, const char *name, cs_error *err)
{
    if (snprintf(out, MAX_PATH, "%s/%s", dir, name) >= MAX_PATH)
        return cs_fail(err, CS_E_IO, "%s/%s: path too long", dir, name);
    return CS_OK;
}

static bool is_file(const char *path)
{
    return cs_io_kind(path, NULL) == CS_FILE_REGULAR;
}

static bool is_gguf(const uint8_t *data, size_t size)
{
    return size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

/* Reads a file and notes it as one of the tokenizer's. */
static cs_status take_file(cs_tokenizer *t, XXH3_state_t *hash, const char *path, size_t limit, tok_file *out, cs_error *err)
{
    CS_ASSERT(t->n_files < CS_MAX_TOK_FILES);
    CS_TRY(cs_io_read_all(path, limit, &out->data, &out->size, err));
    uint64_t size = out->size;
    char *kept = cs_strdup(path);
    if (!kept) {
        drop_file(out);
        return cs_fail_nomem(err, strlen(path), "a path");
    }
    XXH3_64bits_update(hash, &size, sizeof size);
    XXH3_64bits_update(hash, out->data, out->size);
    t->files[t->n_files++] = kept;
    out->path = kept;
    return CS_OK;
}

/* As take_file for a GGUF file: mapped, and only its key-values count for the hash. *is = false and nothing done when it is none. */
static cs_status take_gguf(cs_tokenizer *t, XXH3_state_t *hash, const char *path, tok_file *out, bool *is, cs_error *err)
{
    cs_gguf g;
    cs_map map;
    *is = false;
    CS_TRY(cs_map_init(&map, path, err));
    cs_status status = CS_OK;
    if (is_gguf(map.data, map.size) && (status = cs_gguf_init(&g, map.data, map.size, path, err)) == CS_OK) {
        uint64_t size = g.kv_end - g.kv_start;
        XXH3_64bits_update(hash, &size, sizeof size);
        XXH3_64bits_update(hash, map.data + g.kv_start, g.kv_end - g.kv_start);
        cs_gguf_release(&g);
        char *kept = cs_strdup(path);
        if (kept) {
            t->files[t->n_files++] = kept;
            *out = (tok_file){(uint8_t *)map.data, map.size, kept, map};
            *is = true;
            return CS_OK;
        }
        status = cs_fail_nomem(err, strlen(path), "a path");
    }
    cs_map_release(&map);
    return status;
}

/* ---- the files beside it ---- */

/* *out and *name stay NULL when the file is missing. */
static cs_status load_config_file(cs_tokenizer *t, XXH3_state_t *hash, const char *dir, const char *file, json_t **out, const char **name,
                                  cs_error *err)
{
    char path[MAX_PATH];
    tok_file f = {0};
    CS_TRY(join_path(path, dir, file, err));
    if (!is_file(path))
        return CS_OK;
    CS_TRY(take_file(t, hash, path, CS_LIMIT_CONFIG_BYTES, &f, err));
    *name = f.path;
    cs_status status = cs_json_parse_config((const char *)f.data, f.size, path, out, err);
    drop_file(&f);
    if (status == CS_OK && !json_is_object(*out))
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object", path);
    return status;
}

/* Does the model's config.json say that it is an Aquila? A missing or damaged one says nothing here. CS_E_NOMEM only. */
static cs_status is_aquila(const char *dir, bool *yes, cs_error *err)
{
    char path[MAX_PATH];
    json_t *tree = NULL;
    cs_error why = {0};
    *yes = false;
    CS_TRY(join_path(path, dir, "config.json", err));
    cs_status status = is_file(path) ? cs_json_load(path, CS_LIMIT_CONFIG_BYTES, &tree, &why) : CS_E_IO;
    if (status == CS_E_NOMEM)
        return cs_fail(err, CS_E_NOMEM, "%s", why.msg);
    const char *type = json_string_value(json_object_get(tree, "model_type"));
    const char *name = json_string_value(json_array_get(json_object_get(tree, "architectures"), 0));
    *yes = (type && strncasecmp(type, "aquila", 6) == 0) || (name && strncasecmp(name, "aquila", 6) == 0);
    json_decref(tree);
    return CS_OK;
}

static cs_status load_config(cs_tokenizer *t, XXH3_state_t *hash, const char *dir, tok_kind kind, cs_tok_config *c, cs_error *err)
{
    CS_TRY(load_config_file(t, hash, dir, "tokenizer_config.json", &c->config, &c->config_name, err));
    CS_TRY(load_config_file(t, hash, dir, "special_tokens_map.json", &c->map, &c->map_name, err));
    if (!json_object_get(c->config, "added_tokens_decoder"))
        CS_TRY(load_config_file(t, hash, dir, "added_tokens.json", &c->added, &c->added_name, err));
    if (kind == TOK_GPT2)
        CS_TRY(is_aquila(dir, &c->aquila, err));
    return CS_OK;
}

/* ---- search ---- */

/* Does it parse as a llama2.c tokenizer? CS_E_NOMEM only. */
static cs_status is_llama2c(const uint8_t *data, size_t size, const char *path, bool *yes, cs_error *err)
{
    cs_llama2c_tok probe;
    cs_error why = {0};
    cs_status status = cs_llama2c_tok_parse(data, size, path, &probe, &why);
    *yes = status == CS_OK;
    if (status == CS_OK)
        cs_llama2c_tok_release(&probe);
    return status == CS_E_NOMEM ? cs_fail(err, CS_E_NOMEM, "%s", why.msg) : CS_OK;
}

static cs_status has_gguf_tokenizer(const uint8_t *data, size_t size, const char *path, bool *yes, cs_error *err)
{
    cs_gguf g;
    cs_error why = {0};
    *yes = false;
    if (!is_gguf(data, size))
        return CS_OK;
    cs_status status = cs_gguf_init(&g, data, size, path, &why);
    if (status == CS_OK) {
        *yes = cs_gguf_find(&g, "tokenizer.ggml.model") != NULL;
        cs_gguf_release(&g);
    }
    return status == CS_E_NOMEM ? cs_fail(err, CS_E_NOMEM, "%s", why.msg) : CS_OK;
}

static cs_status kind_of(const tok_file *f, tok_kind *out, cs_error *err)
{
    size_t i = 0;
    bool llama2c = false;
    while (i < f->size && strchr(" \t\r\n", f->data[i]) && f->data[i])
        i++;
    if (i < f->size && f->data[i] == '{')
        return *out = TOK_JSON, CS_OK;
    if (cs_merges_detect((const char *)f->data, f->size))
        return *out = TOK_BLOOM, CS_OK;
    CS_TRY(is_llama2c(f->data, f->size, f->path, &llama2c, err));
    *out = llama2c ? TOK_LLAMA2C : TOK_SPM;
    return CS_OK;
}

typedef cs_status probe_fn(const uint8_t *data, size_t size, const char *path, bool *yes, cs_error *err);

/* The one file of a folder with this ending that the probe takes. Weights of any kind fail the probes early. */
static cs_status find_by_content(const char *dir, const char *ending, probe_fn *probe, char out[MAX_PATH], bool *found, cs_error *err)
{
    char **names, path[MAX_PATH];
    size_t n, tail = strlen(ending);
    cs_status status = CS_OK;
    *found = false;
    CS_TRY(cs_io_list(dir, &names, &n, err));
    for (size_t i = 0; i < n && status == CS_OK; i++) {
        size_t len = strlen(names[i]);
        cs_map map;
        bool yes = false;
        if (len <= tail || strcmp(names[i] + len - tail, ending) != 0)
            continue;
        status = join_path(path, dir, names[i], err);
        if (status != CS_OK || !is_file(path))
            continue;
        status = cs_map_init(&map, path, err);
        if (status == CS_OK)
            status = probe(map.data, map.size, path, &yes, err);
        cs_map_release(&map);
        if (!yes)
            continue;
        if (*found)
            status = cs_fail(err, CS_E_FORMAT, "%s: several tokenizers: %s and %s; name one", dir, out, path);
        *found = true;
        memcpy(out, path, sizeof path);
    }
    cs_io_list_free(names, n);
    return status;
}

/* The tokenizer file of a directory, if there is any; *merges gets the second one of GPT-2's pair or "". */
static cs_status find_in_dir(const char *dir, char path[MAX_PATH], char merges[MAX_PATH], bool *any, cs_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    bool found;
    *any = true;
    merges[0] = '\0';
    for (size_t i = 0; i < 2; i++) {
        CS_TRY(join_path(path, dir, names[i], err));
        if (is_file(path))
            return CS_OK;
    }
    CS_TRY(join_path(path, dir, "vocab.json", err));
    CS_TRY(join_path(merges, dir, "merges.txt", err));
    if (is_file(path) && is_file(merges))
        return CS_OK;
    merges[0] = '\0';
    CS_TRY(find_by_content(dir, ".bin", is_llama2c, path, &found, err));
    if (!found)
        CS_TRY(find_by_content(dir, ".gguf", has_gguf_tokenizer, path, &found, err));
    *any = found;
    if (!found) { /* BLOOM's rules need no vocabulary */
        CS_TRY(join_path(path, dir, "merges.txt", err));
        *any = is_file(path);
    }
    return CS_OK;
}

/* The folder of a file, for the configuration beside it. */
static void dir_of(const char *path, char out[MAX_PATH])
{
    const char *slash = strrchr(path, '/');
    if (slash)
        snprintf(out, MAX_PATH, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    else
        snprintf(out, MAX_PATH, ".");
}

/* ---- creation ---- */

static const char from_gguf[] = "GGUF vocabulary";

static cs_tokenizer *new_tokenizer(void)
{
    cs_tokenizer *t = cs_calloc(1, sizeof *t);
    if (!t || !(t->pool = cs_tok_pool_create())) {
        cs_free(t);
        return NULL;
    }
    cs_arena_init(&t->mem, "tokenizer");
    return t;
}

static cs_status load_kind(cs_tokenizer *t, tok_kind kind, const tok_file *f, const tok_file *merges, const cs_tok_config *cfg, cs_error *err)
{
    switch (kind) {
    case TOK_SPM:
        CS_TRY(cs_tok_load_spm(t, f->data, f->size, f->path, cfg, err));
        t->source = t->is_unigram ? "SentencePiece unigram" : "SentencePiece BPE";
        return CS_OK;
    case TOK_LLAMA2C:
        t->source = "llama2.c tokenizer";
        return cs_tok_load_llama2c(t, f->data, f->size, f->path, err);
    case TOK_GGUF:
        t->source = from_gguf;
        return cs_tok_load_gguf(t, f->data, f->size, f->path, err);
    case TOK_BLOOM:
        t->source = "merges.txt of BLOOM";
        return cs_tok_load_bloom(t, (cs_bytes){(const char *)f->data, f->size}, f->path, err);
    case TOK_JSON:
        t->source = "tokenizer.json";
        return cs_tok_load_json(t, (const char *)f->data, f->size, f->path, cfg, err);
    default:
        t->source = "vocab.json with merges.txt";
        return cs_tok_load_gpt2(t, (cs_bytes){(const char *)f->data, f->size}, (cs_bytes){(const char *)merges->data, merges->size}, f->path,
                                merges->path, cfg, err);
    }
}

static cs_status load_path(cs_tokenizer *t, const char *path, XXH3_state_t *hash, cs_tok_config *cfg, tok_file files[2], cs_error *err)
{
    char file[MAX_PATH], merges[MAX_PATH] = "", dir[MAX_PATH];
    tok_kind kind = TOK_SPM;
    bool gguf = false;
    if (cs_io_kind(path, NULL) == CS_FILE_DIR) {
        bool any;
        CS_TRY(find_in_dir(path, file, merges, &any, err));
        if (!any)
            return cs_fail(err, CS_E_IO, "%s: no tokenizer.json, tokenizer.model, vocab.json with merges.txt, llama2.c tokenizer .bin, "
                           ".gguf vocabulary or merges.txt of BLOOM in it", path);
        snprintf(dir, sizeof dir, "%s", path);
    } else {
        if (snprintf(file, sizeof file, "%s", path) >= MAX_PATH)
            return cs_fail(err, CS_E_IO, "%s: path too long", path);
        dir_of(path, dir);
    }
    CS_TRY(take_gguf(t, hash, file, &files[0], &gguf, err));
    if (!gguf)
        CS_TRY(take_file(t, hash, file, CS_LIMIT_TOKENIZER_BYTES, &files[0], err));
    if (merges[0]) {
        CS_TRY(take_file(t, hash, merges, CS_LIMIT_TOKENIZER_BYTES, &files[1], err));
        files[1].size = cs_merges_unescape((char *)files[1].data, files[1].size);
    }
    if (gguf)
        kind = TOK_GGUF;
    else if (merges[0])
        kind = TOK_GPT2;
    else
        CS_TRY(kind_of(&files[0], &kind, err));
    if (kind == TOK_BLOOM)
        files[0].size = cs_merges_unescape((char *)files[0].data, files[0].size);
    bool configured = kind != TOK_LLAMA2C && kind != TOK_GGUF;
    if (configured)
        CS_TRY(load_config(t, hash, dir, kind, cfg, err));
    CS_TRY(cs_tok_config_read(cfg, err));
    CS_TRY(load_kind(t, kind, &files[0], &files[1], cfg, err));
    return configured ? cs_tok_config_apply(t, cfg, kind == TOK_JSON, err) : CS_OK;
}

cs_status cs_tokenizer_present(const char *dir, bool *present, cs_error *err)
{
    char file[MAX_PATH], merges[MAX_PATH] = "";
    return find_in_dir(dir, file, merges, present, err);
}

bool cs_tokenizer_is_gguf(const cs_tokenizer *tok)
{
    return tok->source == from_gguf;
}

cs_status cs_tokenizer_create(const char *path, cs_tokenizer **out, cs_error *err)
{
    cs_tok_config cfg = {0};
    tok_file files[2] = {0};
    XXH3_state_t hash;
    cs_tokenizer *t = new_tokenizer();
    if (!t)
        return cs_fail_nomem(err, sizeof *t, "a tokenizer");
    XXH3_64bits_reset(&hash);
    cs_status status = load_path(t, path, &hash, &cfg, files, err);
    t->hash = XXH3_64bits_digest(&hash);
    drop_file(&files[0]);
    drop_file(&files[1]);
    cs_tok_config_release(&cfg);
    if (status != CS_OK) {
        cs_tokenizer_destroy(t);
        return status;
    }
    *out = t;
    return CS_OK;
}

cs_status cs_tokenizer_create_from_bytes(const char *kind, const uint8_t *bytes, size_t len, const char *name, cs_tokenizer **out, cs_error *err)
{
    cs_tok_config cfg = {0};
    tok_kind k = strcmp(kind, "spm") == 0 ? TOK_SPM : strcmp(kind, "llama2c") == 0 ? TOK_LLAMA2C : strcmp(kind, "gguf") == 0 ? TOK_GGUF : TOK_JSON;
    tok_file f = {.data = (uint8_t *)bytes, .size = len, .path = name};
    cs_tokenizer *t = new_tokenizer();
    if (!t)
        return cs_fail_nomem(err, sizeof *t, "a tokenizer");
    cs_status status = cs_tok_config_read(&cfg, err);
    if (status == CS_OK)
        status = load_kind(t, k, &f, NULL, &cfg, err);
    cs_tok_config_release(&cfg);
    if (status != CS_OK) {
        cs_tokenizer_destroy(t);
        return status;
    }
    t->hash = XXH3_64bits(bytes, len);
    *out = t;
    return CS_OK;
}
