/* Finding the tokenizer of a path, reading its files, applying tokenizer_config.json. */
#include "base/io.h"
#include "fmt/json.h"
#include "fmt/llama2c_tok.h"
#include "text/tok.h"

#define XXH_STATIC_LINKING_ONLY /* the hash state lives on the stack */
#include <xxhash.h>

#include <stdio.h>
#include <string.h>

enum { MAX_FILE = 256 << 20, MAX_CONFIG = 16 << 20, MAX_PATH = 4096 };

typedef enum tok_kind { TOK_SPM, TOK_LLAMA2C, TOK_JSON, TOK_GPT2 } tok_kind;

/* One file in memory; `path` belongs to the tokenizer. */
typedef struct tok_file {
    uint8_t *data;
    size_t size;
    const char *path;
} tok_file;

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

/* Reads a file and notes it as one of the tokenizer's. */
static cs_status take_file(cs_tokenizer *t, XXH3_state_t *hash, const char *path, size_t limit, tok_file *out, cs_error *err)
{
    CS_ASSERT(t->n_files < CS_MAX_TOK_FILES);
    CS_TRY(cs_io_read_all(path, limit, &out->data, &out->size, err));
    uint64_t size = out->size;
    char *kept = cs_strdup(path);
    if (!kept) {
        cs_free(out->data);
        *out = (tok_file){0};
        return cs_fail_nomem(err, strlen(path), "a path");
    }
    XXH3_64bits_update(hash, &size, sizeof size);
    XXH3_64bits_update(hash, out->data, out->size);
    t->files[t->n_files++] = kept;
    out->path = kept;
    return CS_OK;
}

/* ---- tokenizer_config.json ---- */

/* A token given as "text" or {"content": "text"}. */
static const char *token_name(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

static int flag_of(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_boolean(v) ? json_is_true(v) : -1;
}

static void read_config(cs_tok_config *c)
{
    const char **const slots[] = {&c->bos, &c->eos, &c->unk, &c->pad};
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    for (size_t i = 0; i < 4; i++) {
        const char *name = token_name(c->config, keys[i]);
        *slots[i] = name ? name : token_name(c->map, keys[i]);
    }
    c->add_bos = flag_of(c->config, "add_bos_token");
    c->add_eos = flag_of(c->config, "add_eos_token");
    c->legacy = flag_of(c->config, "legacy");
    c->add_prefix_space = flag_of(c->config, "add_prefix_space");
}

static cs_status load_config_file(cs_tokenizer *t, XXH3_state_t *hash, const char *dir, const char *name, json_t **out, cs_error *err)
{
    char path[MAX_PATH];
    tok_file f = {0};
    CS_TRY(join_path(path, dir, name, err));
    if (!is_file(path))
        return CS_OK;
    CS_TRY(take_file(t, hash, path, MAX_CONFIG, &f, err));
    cs_status status = cs_json_parse((const char *)f.data, f.size, path, out, err);
    cs_free(f.data);
    if (status == CS_OK && !json_is_object(*out))
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object", path);
    return status;
}

static void set_id(const cs_tokenizer *t, const char *name, int32_t *id)
{
    int32_t found = name ? cs_vocab_find_any(&t->vocab, name, strlen(name)) : -1;
    if (found >= 0)
        *id = found;
}

/* BOS and EOS rules of the configuration win over the file's own; other extra ids of a post-processor stay. */
static void apply_config(cs_tokenizer *t, const cs_tok_config *c, bool from_json)
{
    int32_t old_bos = t->bos, old_eos = t->eos;
    set_id(t, c->bos, &t->bos);
    set_id(t, c->eos, &t->eos);
    set_id(t, c->unk, &t->unk);
    set_id(t, c->pad, &t->pad);
    if (c->add_bos >= 0 || (t->bos != old_bos && !from_json)) {
        bool had = t->n_prefix > 0 && (t->prefix[0] == old_bos || t->prefix[0] == t->bos);
        bool want = c->add_bos >= 0 ? c->add_bos : had;
        if (had && !want)
            memmove(t->prefix, t->prefix + 1, --t->n_prefix * sizeof *t->prefix);
        else if (want && !had && t->bos >= 0 && t->n_prefix < CS_MAX_EXTRA_IDS)
            memmove(t->prefix + 1, t->prefix, t->n_prefix++ * sizeof *t->prefix);
        if (want && t->bos >= 0)
            t->prefix[0] = t->bos;
    }
    if (c->add_eos >= 0 || (t->eos != old_eos && !from_json)) {
        bool had = t->n_suffix > 0 && (t->suffix[t->n_suffix - 1] == old_eos || t->suffix[t->n_suffix - 1] == t->eos);
        bool want = c->add_eos >= 0 ? c->add_eos : had;
        if (had && !want)
            t->n_suffix--;
        else if (want && !had && t->eos >= 0 && t->n_suffix < CS_MAX_EXTRA_IDS)
            t->n_suffix++;
        if (want && t->eos >= 0)
            t->suffix[t->n_suffix - 1] = t->eos;
    }
    /* What a model says to begin and end texts must not show when they are printed. */
    if (t->bos >= 0 && c->bos)
        t->vocab.pieces[t->bos].special = true;
    if (t->eos >= 0 && c->eos)
        t->vocab.pieces[t->eos].special = true;
}

/* ---- search ---- */

static tok_kind kind_of(const tok_file *f)
{
    size_t i = 0;
    cs_llama2c_tok probe;
    while (i < f->size && strchr(" \t\r\n", f->data[i]) && f->data[i])
        i++;
    if (i < f->size && f->data[i] == '{')
        return TOK_JSON;
    cs_status status = cs_llama2c_tok_parse(f->data, f->size, "", &probe, NULL);
    if (status == CS_E_FORMAT)
        return TOK_SPM;
    if (status == CS_OK)
        cs_llama2c_tok_release(&probe);
    return TOK_LLAMA2C;
}

/* The one *.bin of a folder that is a llama2.c tokenizer. Weights of any kind fail its checks early. */
static cs_status find_llama2c(const char *dir, char out[MAX_PATH], bool *found, cs_error *err)
{
    char **names, path[MAX_PATH];
    size_t n;
    cs_status status = CS_OK;
    *found = false;
    CS_TRY(cs_io_list(dir, &names, &n, err));
    for (size_t i = 0; i < n && status == CS_OK; i++) {
        size_t len = strlen(names[i]);
        cs_map map;
        cs_llama2c_tok probe;
        if (len < 5 || strcmp(names[i] + len - 4, ".bin") != 0)
            continue;
        status = join_path(path, dir, names[i], err);
        if (status != CS_OK || !is_file(path) || cs_map_init(&map, path, NULL) != CS_OK)
            continue;
        cs_error why = {0};
        cs_status probed = cs_llama2c_tok_parse(map.data, map.size, path, &probe, &why);
        if (probed == CS_E_NOMEM)
            status = cs_fail(err, CS_E_NOMEM, "%s", why.msg);
        if (probed == CS_OK) {
            cs_llama2c_tok_release(&probe);
            if (*found)
                status = cs_fail(err, CS_E_FORMAT, "%s: several llama2.c tokenizers: %s and %s; name one", dir, out, path);
            *found = true;
            memcpy(out, path, sizeof path);
        }
        cs_map_release(&map);
    }
    cs_io_list_free(names, n);
    return status;
}

/* The tokenizer file of a directory; *merges gets the second one of GPT-2's pair or "". */
static cs_status find_in_dir(const char *dir, char path[MAX_PATH], char merges[MAX_PATH], cs_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    bool found;
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
    CS_TRY(find_llama2c(dir, path, &found, err));
    if (found)
        return CS_OK;
    return cs_fail(err, CS_E_IO, "%s: no tokenizer.json, tokenizer.model, vocab.json with merges.txt or llama2.c tokenizer .bin in it", dir);
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

static cs_tokenizer *new_tokenizer(void)
{
    cs_tokenizer *t = cs_calloc(1, sizeof *t);
    if (t)
        cs_arena_init(&t->mem, "tokenizer");
    return t;
}

static cs_status load_kind(cs_tokenizer *t, tok_kind kind, const tok_file *f, const tok_file *merges, const cs_tok_config *cfg, cs_error *err)
{
    switch (kind) {
    case TOK_SPM: return cs_tok_load_spm(t, f->data, f->size, f->path, cfg, err);
    case TOK_LLAMA2C: return cs_tok_load_llama2c(t, f->data, f->size, f->path, err);
    case TOK_JSON: return cs_tok_load_json(t, (const char *)f->data, f->size, f->path, cfg, err);
    default:
        return cs_tok_load_gpt2(t, (cs_bytes){(const char *)f->data, f->size}, (cs_bytes){(const char *)merges->data, merges->size}, f->path,
                                merges->path, cfg, err);
    }
}

static cs_status load_path(cs_tokenizer *t, const char *path, XXH3_state_t *hash, cs_tok_config *cfg, tok_file files[2], cs_error *err)
{
    char file[MAX_PATH], merges[MAX_PATH] = "", dir[MAX_PATH];
    if (cs_io_kind(path, NULL) == CS_FILE_DIR) {
        CS_TRY(find_in_dir(path, file, merges, err));
        snprintf(dir, sizeof dir, "%s", path);
    } else {
        if (snprintf(file, sizeof file, "%s", path) >= MAX_PATH)
            return cs_fail(err, CS_E_IO, "%s: path too long", path);
        dir_of(path, dir);
    }
    CS_TRY(take_file(t, hash, file, MAX_FILE, &files[0], err));
    if (merges[0])
        CS_TRY(take_file(t, hash, merges, MAX_FILE, &files[1], err));
    tok_kind kind = merges[0] ? TOK_GPT2 : kind_of(&files[0]);
    if (kind != TOK_LLAMA2C) {
        CS_TRY(load_config_file(t, hash, dir, "tokenizer_config.json", &cfg->config, err));
        CS_TRY(load_config_file(t, hash, dir, "special_tokens_map.json", &cfg->map, err));
    }
    read_config(cfg);
    CS_TRY(load_kind(t, kind, &files[0], &files[1], cfg, err));
    apply_config(t, cfg, kind == TOK_JSON);
    return CS_OK;
}

cs_status cs_tokenizer_create(const char *path, cs_tokenizer **out, cs_error *err)
{
    cs_tok_config cfg = {0};
    tok_file files[2] = {{0}, {0}};
    XXH3_state_t hash;
    cs_tokenizer *t = new_tokenizer();
    if (!t)
        return cs_fail_nomem(err, sizeof *t, "a tokenizer");
    XXH3_64bits_reset(&hash);
    cs_status status = load_path(t, path, &hash, &cfg, files, err);
    t->hash = XXH3_64bits_digest(&hash);
    cs_free(files[0].data);
    cs_free(files[1].data);
    json_decref(cfg.config);
    json_decref(cfg.map);
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
    read_config(&cfg);
    tok_kind k = strcmp(kind, "spm") == 0 ? TOK_SPM : strcmp(kind, "llama2c") == 0 ? TOK_LLAMA2C : TOK_JSON;
    tok_file f = {(uint8_t *)bytes, len, name};
    cs_tokenizer *t = new_tokenizer();
    if (!t)
        return cs_fail_nomem(err, sizeof *t, "a tokenizer");
    cs_status status = load_kind(t, k, &f, NULL, &cfg, err);
    if (status != CS_OK) {
        cs_tokenizer_destroy(t);
        return status;
    }
    t->hash = XXH3_64bits(bytes, len);
    *out = t;
    return CS_OK;
}
