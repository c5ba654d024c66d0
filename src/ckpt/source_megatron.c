/* Weights of Megatron and AscendSpeed shards of any TP x PP (x virtual stages): every file is mapped, every tensor checked against the model's table
 * when the folder is opened, rows are gathered from the shards on demand. */
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/megatron.h"
#include "fmt/json.h"
#include "fmt/torch_file.h"
#include "model/family/families.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHUNKS = 64, MAX_RANKS = 4096, CONFIG_LIMIT = 1 << 20, MAX_CONFIG_VALUES = 4096 };

typedef struct shard {
    char *path;
    cs_map map;
    cs_torch_file torch;
    bool open;
    cs_torch_list chunk[MAX_CHUNKS];
    int n_chunks;
    int64_t tp, pp; /* from the name; pp -1 = the name has one number only */
} shard;

typedef struct mg_source {
    shard *shard; /* after sorting: [pp * tp_size + tp] */
    int64_t n_shards, tp, pp, n_chunks, padded_vocab;
    int64_t *stage, *chunk, *local; /* [n_layers]: where a layer lies */
    bool merged;
    const cs_torch_tensor **tensor; /* [n_views * tp]: of view i on rank t */
    cs_mg_tensor *role;             /* [n_views] */
} mg_source;

/* ---- finding the files ---- */

static cs_status has_shards(const char *dir, bool *found, cs_error *err)
{
    char **names;
    size_t n;
    cs_file_kind kind;
    *found = false;
    CS_TRY(cs_io_stat(dir, &kind, NULL, err));
    if (kind != CS_FILE_DIR)
        return CS_OK;
    CS_TRY(cs_io_list(dir, &names, &n, err));
    for (size_t i = 0; i < n; i++)
        *found |= strncmp(names[i], "mp_rank_", 8) == 0;
    cs_io_list_free(names, n);
    return CS_OK;
}

/* The folder with mp_rank_* that the tracker file of `path` names (Megatron's, or DeepSpeed's `latest`), or path itself. */
static cs_status find_folder(const char *path, char out[PATH_MAX], bool *found, cs_error *err)
{
    static const char *const trackers[] = {"latest_checkpointed_iteration.txt", "latest"};
    CS_TRY(has_shards(path, found, err));
    if (*found) {
        *found = snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
        return CS_OK;
    }
    for (size_t i = 0; i < 2 && !*found; i++) {
        char file[PATH_MAX], tag[128] = "", *end;
        uint8_t *text;
        size_t n;
        int64_t size;
        if (cs_hf_path(file, sizeof file, path, trackers[i], NULL) != CS_OK || cs_io_kind(file, &size) != CS_FILE_REGULAR ||
            size >= (int64_t)sizeof tag)
            continue;
        CS_TRY(cs_io_read_all(file, sizeof tag - 1, &text, &n, err));
        memcpy(tag, text, n);
        cs_free(text);
        tag[strcspn(tag, " \t\r\n")] = '\0';
        long long iteration = strtoll(tag, &end, 10);
        if (tag[0] && *end == '\0')
            snprintf(tag, sizeof tag, "iter_%07lld", iteration);
        if (tag[0] && !strchr(tag, '/') && cs_hf_path(out, PATH_MAX, path, tag, NULL) == CS_OK)
            CS_TRY(has_shards(out, found, err));
    }
    return CS_OK;
}

cs_status cs_megatron_present(const char *path, bool *present, cs_error *err)
{
    char dir[PATH_MAX];
    return find_folder(path, dir, present, err);
}

/* "mp_rank_01", "mp_rank_01_002" (folders with model_optim_rng.pt) and "mp_rank_03_model_states.pt". */
static bool parse_name(const char *name, int64_t *tp, int64_t *pp, bool *states)
{
    char *end;
    *pp = -1;
    *states = false;
    if (strncmp(name, "mp_rank_", 8) != 0 || name[8] < '0' || name[8] > '9')
        return false;
    *tp = strtoll(name + 8, &end, 10);
    if (strcmp(end, "_model_states.pt") == 0)
        return *states = true;
    if (*end == '_' && end[1] >= '0' && end[1] <= '9')
        *pp = strtoll(end + 1, &end, 10);
    return *end == '\0' && *tp < MAX_RANKS && *pp < MAX_RANKS;
}

static cs_status add_shard(mg_source *m, const char *dir, const char *name, cs_error *err)
{
    char path[PATH_MAX], folder[PATH_MAX], other[PATH_MAX];
    shard *s = &m->shard[m->n_shards];
    bool states;
    if (!parse_name(name, &s->tp, &s->pp, &states))
        return CS_OK;
    if (states) {
        CS_TRY(cs_hf_path(path, sizeof path, dir, name, err));
    } else {
        CS_TRY(cs_hf_path(folder, sizeof folder, dir, name, err));
        CS_TRY(cs_hf_path(path, sizeof path, folder, "model_optim_rng.pt", err));
        CS_TRY(cs_hf_path(other, sizeof other, folder, "model_rng.pt", err));
        if (cs_io_kind(path, NULL) == CS_FILE_NONE && cs_io_kind(other, NULL) != CS_FILE_NONE)
            strcpy(path, other);
    }
    s->path = cs_strdup(path);
    m->n_shards += s->path != NULL;
    return s->path ? CS_OK : cs_fail_nomem(err, strlen(path), "a file name");
}

static cs_status list_shards(mg_source *m, const char *dir, cs_error *err)
{
    char **names;
    size_t n;
    CS_TRY(cs_io_list(dir, &names, &n, err));
    m->shard = cs_calloc(n + 1, sizeof *m->shard);
    cs_status s = m->shard ? CS_OK : cs_fail_nomem(err, n * sizeof *m->shard, dir);
    for (size_t i = 0; i < n && s == CS_OK; i++)
        s = add_shard(m, dir, names[i], err);
    cs_io_list_free(names, n);
    return s;
}

/* ---- opening ---- */

/* The dict of weights: "model", "model0".. of virtual stages, DeepSpeed's "module" or "module.module". */
static cs_status list_chunks(shard *s, cs_error *err)
{
    const cs_pickle *p = &s->torch.pickle;
    cs_pk_value v, inner;
    char key[24];
    if (cs_pickle_get(p, p->root, "module", &v)) {
        if (cs_pickle_get(p, v, "module", &inner))
            v = inner;
        s->n_chunks = 1;
        return cs_torch_list_init(&s->chunk[0], &s->torch, v, err);
    }
    if (cs_pickle_get(p, p->root, "model", &v)) {
        s->n_chunks = 1;
        return cs_torch_list_init(&s->chunk[0], &s->torch, v, err);
    }
    for (; s->n_chunks < MAX_CHUNKS; s->n_chunks++) {
        snprintf(key, sizeof key, "model%d", s->n_chunks);
        if (!cs_pickle_get(p, p->root, key, &v))
            break;
        CS_TRY(cs_torch_list_init(&s->chunk[s->n_chunks], &s->torch, v, err));
    }
    return s->n_chunks > 0 ? CS_OK
                           : cs_fail(err, CS_E_FORMAT, "%s: no \"model\", \"model0\" or \"module\" in it; expected a Megatron checkpoint", s->path);
}

static cs_status open_shard(shard *s, cs_error *err)
{
    CS_TRY(cs_map_init(&s->map, s->path, err));
    CS_TRY(cs_torch_file_init(&s->torch, s->map.data, s->map.size, s->path, err));
    s->open = true;
    return list_chunks(s, err);
}

/* A pickle's tree as JSON. Values may be shared there, so what it unfolds to is limited; numbers that JSON has not become null. */
typedef struct unfolding {
    const cs_pickle *p;
    int left; /* values that may still come */
    bool no_memory;
} unfolding;

static json_t *to_json(unfolding *u, cs_pk_value v)
{
    size_t n, len;
    const cs_pk_value *item = cs_pickle_items(u->p, v, &n);
    const char *text = cs_pickle_text(u->p, v, &len);
    json_t *out = NULL;
    if (u->left-- <= 0)
        return NULL;
    switch (v.kind) {
    case CS_PK_BOOL: return json_boolean(v.u.i);
    case CS_PK_INT: out = json_integer(v.u.i); break;
    case CS_PK_FLOAT: out = isfinite(v.u.f) ? json_real(v.u.f) : json_null(); break;
    case CS_PK_STR: out = json_stringn(text, len); break;
    case CS_PK_TUPLE:
    case CS_PK_LIST:
        out = json_array();
        for (size_t i = 0; i < n && u->left > 0; i++)
            u->no_memory |= json_array_append_new(out, to_json(u, item[i])) != 0;
        break;
    case CS_PK_DICT:
    case CS_PK_OBJECT:
        out = json_object();
        for (size_t i = 0; i + 1 < n && u->left > 0; i += 2) {
            text = cs_pickle_text(u->p, item[i], &len);
            if (text)
                u->no_memory |= json_object_setn_new(out, text, len, to_json(u, item[i + 1])) != 0;
        }
        break;
    default: return json_null();
    }
    u->no_memory |= !out;
    return out;
}

/* The config inside the shards. */
static cs_status unfold(const shard *s, cs_pk_value v, json_t **out_create, cs_error *err)
{
    unfolding u = {&s->torch.pickle, MAX_CONFIG_VALUES, false};
    json_t *config = to_json(&u, v);
    *out_create = NULL;
    if (u.left > 0 && !u.no_memory) {
        *out_create = config;
        return CS_OK;
    }
    json_decref(config);
    if (u.left > 0)
        return cs_fail_nomem(err, 64, "the config inside the shards");
    return cs_fail(err, CS_E_FORMAT, "%s: \"config\" at byte %u of its pickle has more than %d values; expected a model's config", s->path, v.at,
                   MAX_CONFIG_VALUES);
}

/* The model's config: the caller's, the one inside the shards (written by `cspeed convert`), or config.json in or above the folder. */
static cs_status read_spec(cs_source *src, const mg_source *m, const char *path, const char *dir, const cs_source_hints *hints, cs_error *err)
{
    const shard *s = &m->shard[0];
    cs_pk_value v;
    json_t *config = NULL;
    const char *folders[] = {dir, path};
    char file[PATH_MAX], name[PATH_MAX + 16];
    if (hints->model_config) {
        snprintf(name, sizeof name, "%s", hints->model_config);
        CS_TRY(cs_json_load(hints->model_config, CONFIG_LIMIT, &config, err));
    } else if (cs_pickle_get(&s->torch.pickle, s->torch.pickle.root, "config", &v) && v.kind == CS_PK_DICT) {
        snprintf(name, sizeof name, "%s: \"config\"", s->path);
        CS_TRY(unfold(s, v, &config, err));
    }
    for (size_t i = 0; i < 2 && !config; i++) {
        CS_TRY(cs_hf_path(file, sizeof file, folders[i], "config.json", err));
        snprintf(name, sizeof name, "%s", file);
        if (cs_io_kind(file, NULL) == CS_FILE_REGULAR)
            CS_TRY(cs_json_load(file, CONFIG_LIMIT, &config, err));
    }
    if (!config)
        return cs_fail(err, CS_E_USAGE, "%s: the shards do not say what the model's sizes are, and no config.json lies beside them; name one with "
                       "--model-config", dir);
    src->config = config;
    return cs_spec_from_json(&src->spec, config, name, err);
}

static int by_rank(const void *a, const void *b)
{
    const shard *x = a, *y = b;
    int64_t p = x->pp != y->pp ? x->pp - y->pp : x->tp - y->tp;
    return p < 0 ? -1 : p > 0;
}

/* TP and PP from the names, from the config inside, or from which files hold the embedding. */
static cs_status find_layout(const cs_source *src, mg_source *m, const char *dir, const cs_source_hints *hints, cs_error *err)
{
    char embed[160];
    int64_t with_embed = 0, tp = 0;
    bool two = m->shard[0].pp >= 0;
    snprintf(embed, sizeof embed, "%s.weight", src->spec.family->megatron->tensor[CS_PART_EMBED]);
    for (int64_t i = 0; i < m->n_shards; i++) {
        with_embed += cs_torch_list_find(&m->shard[i].chunk[0], embed) != NULL;
        tp = m->shard[i].tp + 1 > tp ? m->shard[i].tp + 1 : tp;
        if ((m->shard[i].pp >= 0) != two || m->shard[i].n_chunks != m->shard[0].n_chunks)
            return cs_fail(err, CS_E_FORMAT, "%s: its shards are of different kinds: %s and %s", dir, m->shard[0].path, m->shard[i].path);
    }
    m->tp = hints->tp > 0 ? hints->tp : two ? tp : with_embed;
    if (m->tp <= 0)
        return cs_fail(err, CS_E_FORMAT, "%s: none of the %" PRId64 " shards holds \"%s\"; is one missing?", dir, m->n_shards, embed);
    if (m->n_shards % m->tp != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: %" PRId64 " shards are no multiple of %" PRId64 " tensor ranks; is one missing?", dir, m->n_shards,
                       m->tp);
    if (hints->pp > 0 && m->n_shards != m->tp * hints->pp)
        return cs_fail(err, CS_E_FORMAT, "%s: %" PRId64 " shards are not %" PRId64 " tensor ranks times %" PRId64 " pipeline ranks, as asked for",
                       dir, m->n_shards, m->tp, hints->pp);
    m->pp = m->n_shards / m->tp;
    m->n_chunks = m->shard[0].n_chunks;
    for (int64_t i = 0; i < m->n_shards; i++)
        if (!two) { /* one number: stage by stage */
            m->shard[i].pp = m->shard[i].tp / m->tp;
            m->shard[i].tp %= m->tp;
        }
    qsort(m->shard, (size_t)m->n_shards, sizeof *m->shard, by_rank);
    for (int64_t i = 0; i < m->n_shards; i++)
        if (m->shard[i].pp != i / m->tp || m->shard[i].tp != i % m->tp)
            return cs_fail(err, CS_E_FORMAT, "%s: the shard of tensor rank %" PRId64 ", pipeline rank %" PRId64 " is missing or there twice", dir,
                           i % m->tp, i / m->tp);
    return CS_OK;
}

/* Does a chunk hold layer number `local` of its own (or `layer` where numbers are absolute)? */
static bool chunk_has(const cs_source *src, const cs_torch_list *list, int64_t layer, int64_t local)
{
    char name[160];
    const cs_mg_tensor norm = {CS_ROW_FIRST_LAYER + CS_ROW_NORM1, 0, CS_MG_WHOLE};
    cs_mg_name(src, &norm, layer, local, name, sizeof name);
    return cs_torch_list_find(list, name) != NULL;
}

/* Layers in order: chunk by chunk, stage by stage, as many as each holds. */
static cs_status place_layers(const cs_source *src, mg_source *m, cs_error *err)
{
    int64_t L = src->spec.n_layers, l = 0;
    m->stage = cs_calloc((size_t)(3 * L), sizeof *m->stage);
    if (!m->stage)
        return cs_fail_nomem(err, (size_t)(3 * L) * sizeof *m->stage, "the layers");
    m->chunk = m->stage + L;
    m->local = m->chunk + L;
    for (int64_t c = 0; c < m->n_chunks; c++)
        for (int64_t p = 0; p < m->pp; p++) {
            const shard *s = &m->shard[p * m->tp];
            int64_t k = 0;
            for (; l < L && chunk_has(src, &s->chunk[c], l, k); k++, l++) {
                m->stage[l] = p;
                m->chunk[l] = c;
                m->local[l] = k;
            }
            if (l == L && chunk_has(src, &s->chunk[c], L, k))
                return cs_fail(err, CS_E_FORMAT, "%s: the shards hold more layers than the model's %" PRId64, s->path, L);
        }
    return l == L ? CS_OK : cs_fail(err, CS_E_FORMAT, "%s: the shards hold %" PRId64 " layers, the model has %" PRId64, m->shard[0].path, l, L);
}

static cs_status check_tensor(const cs_source *src, const mg_source *m, const shard *s, const char *name, const cs_mg_tensor *t,
                              const cs_torch_tensor *have, cs_error *err)
{
    int64_t shape[2];
    int ndim;
    char want[64], got[128];
    if (!have)
        return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is missing", s->path, name);
    cs_mg_shape(src, t, m->tp, m->padded_vocab, shape, &ndim);
    if (have->ndim != ndim || memcmp(have->shape, shape, (size_t)ndim * sizeof *shape) != 0)
        return cs_fail(err, CS_E_FORMAT,
                       "%s: tensor \"%s\" has shape %s, the model's config asks for %s on %" PRId64 " tensor ranks; is a shard missing?",
                       s->path, name, cs_st_shape_text(have->ndim, have->shape, got, sizeof got), cs_st_shape_text(ndim, shape, want, sizeof want),
                       m->tp);
    if (!cs_cast_can(have->dtype))
        return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is %s; weights are F64, F32, BF16 or F16", s->path, name, cs_st_dtype_name(have->dtype));
    return CS_OK;
}

/* Finds tensor t of a layer (-1 = none) on every tensor rank and notes it for the views of its row. */
static cs_status bind_tensor(cs_source *src, mg_source *m, const cs_mg_tensor *t, int64_t layer, cs_error *err)
{
    char name[160];
    int64_t stage = layer >= 0 ? m->stage[layer] : cs_mg_is_last(t) ? m->pp - 1 : 0;
    int64_t chunk = layer >= 0 ? m->chunk[layer] : cs_mg_is_last(t) ? m->n_chunks - 1 : 0;
    int64_t first = src->first_view[t->row] + (t->part > 0 ? t->part : 0), n = t->part < 0 ? src->table.row[t->row].n_parts : 1;
    cs_mg_name(src, t, layer, layer >= 0 ? m->local[layer] : 0, name, sizeof name);
    for (int64_t r = 0; r < m->tp; r++) {
        const shard *s = &m->shard[stage * m->tp + r];
        const cs_torch_tensor *have = cs_torch_list_find(&s->chunk[chunk], name);
        if (t->row == CS_ROW_EMBED && r == 0 && have && have->ndim == 2) /* the padding that was used */
            m->padded_vocab = have->shape[0] * m->tp;
        CS_TRY(check_tensor(src, m, s, name, t, have, err));
        for (int64_t i = first; i < first + n; i++) {
            m->tensor[i * m->tp + r] = have;
            m->role[i] = *t;
        }
    }
    return CS_OK;
}

static cs_status bind_all(cs_source *src, mg_source *m, cs_error *err)
{
    cs_mg_tensor list[CS_MG_MAX_TENSORS];
    int64_t n = cs_param_n_views(&src->table);
    char merged[160];
    m->tensor = cs_calloc((size_t)(n * m->tp), sizeof *m->tensor);
    m->role = cs_calloc((size_t)n, sizeof *m->role);
    if (!m->tensor || !m->role)
        return cs_fail_nomem(err, (size_t)(n * m->tp) * sizeof *m->tensor, "the list of tensors");
    const cs_mg_tensor up = {CS_ROW_FIRST_LAYER + CS_ROW_UP, -1, CS_MG_ROWS};
    if (src->spec.family->megatron->merged_mlp) {
        cs_mg_name(src, &up, 0, 0, merged, sizeof merged);
        m->merged = cs_torch_list_find(&m->shard[0].chunk[0], merged) != NULL;
    }
    for (int64_t l = -1; l < src->spec.n_layers; l++) {
        int count = cs_mg_tensors(&src->table, l, m->merged, list);
        for (int k = 0; k < count; k++)
            CS_TRY(bind_tensor(src, m, &list[k], l, err));
    }
    return m->padded_vocab >= src->spec.vocab_size
               ? CS_OK
               : cs_fail(err, CS_E_FORMAT, "%s: the shards hold %" PRId64 " ids, the model has %" PRId64, m->shard[0].path, m->padded_vocab,
                         src->spec.vocab_size);
}

static cs_status check_divisible(const cs_source *src, const mg_source *m, cs_error *err)
{
    const cs_spec *s = &src->spec;
    if (s->n_kv_heads % m->tp == 0 && s->ffn % m->tp == 0 && s->n_heads % m->tp == 0)
        return CS_OK;
    return cs_fail(err, CS_E_FORMAT, "%s: %" PRId64 " tensor ranks do not divide %" PRId64 " heads, %" PRId64 " key heads or %" PRId64 " ffn rows",
                   m->shard[0].path, m->tp, s->n_heads, s->n_kv_heads, s->ffn);
}

/* ---- reading ---- */

static cs_dtype mg_dtype(const cs_source *src, int64_t i)
{
    const mg_source *m = src->data;
    return m->tensor[i * m->tp]->dtype;
}

/* n elements from `first` of a tensor, whatever its strides. */
static void copy_elements(const cs_torch_tensor *t, int64_t first, int64_t n, cs_dtype type, void *out)
{
    enum { PART = 1024 };
    uint8_t part[PART * 8];
    if (t->contiguous) {
        cs_cast(type, out, t->dtype, t->data + (size_t)first * cs_dtype_size(t->dtype), n);
        return;
    }
    for (int64_t at = 0; at < n; at += PART) {
        int64_t len = n - at < PART ? n - at : PART;
        cs_torch_read(t, first + at, len, part);
        cs_cast(type, cs_flat_at(out, type, at), t->dtype, part, len);
    }
}

static void mg_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    const mg_source *m = src->data;
    const cs_mg_tensor *t = &m->role[i];
    int64_t cols = src->view[i].ndim == 2 ? src->view[i].shape[1] : 1, part = cols / m->tp;
    for (int64_t r = lo, run; r < lo + n; r += run) {
        cs_mg_place p = cs_mg_place_of(src, t, m->tp, m->padded_vocab, i, r);
        run = p.run < lo + n - r ? p.run : lo + n - r;
        void *to = cs_flat_at(out, type, (r - lo) * cols);
        if (t->cut != CS_MG_COLS) {
            copy_elements(m->tensor[i * m->tp + p.rank], p.row * cols, run * cols, type, to);
            continue;
        }
        run = 1;
        for (int64_t k = 0; k < m->tp; k++)
            copy_elements(m->tensor[i * m->tp + k], p.row * part, part, type, cs_flat_at(to, type, k * part));
    }
}

static void mg_release(cs_source *src)
{
    mg_source *m = src->data;
    if (!m)
        return;
    for (int64_t i = 0; i < m->n_shards; i++) {
        shard *s = &m->shard[i];
        for (int c = 0; c < MAX_CHUNKS; c++)
            cs_torch_list_release(&s->chunk[c]);
        if (s->open)
            cs_torch_file_release(&s->torch);
        if (s->map.path)
            cs_map_release(&s->map);
        cs_free(s->path);
    }
    cs_free(m->shard);
    cs_free(m->stage);
    cs_free(m->tensor);
    cs_free(m->role);
    cs_free(m);
}

static const cs_source_ops mg_ops = {"Megatron shards", mg_dtype, mg_read, mg_release};

cs_status cs_source_open_megatron(cs_source *src, const char *path, const cs_source_hints *hints, cs_error *err)
{
    char dir[PATH_MAX];
    bool found;
    src->ops = &mg_ops;
    mg_source *m = src->data = cs_calloc(1, sizeof *m);
    if (!m)
        return cs_fail_nomem(err, sizeof *m, "shards");
    src->dir = cs_strdup(path);
    if (!src->dir)
        return cs_fail_nomem(err, strlen(path), "a path");
    CS_TRY(find_folder(path, dir, &found, err));
    if (!found)
        return cs_fail(err, CS_E_IO, "%s: no folder with mp_rank_* in it", path);
    CS_TRY(list_shards(m, dir, err));
    if (m->n_shards == 0)
        return cs_fail(err, CS_E_FORMAT, "%s: no mp_rank_TT, mp_rank_TT_PPP or mp_rank_XX_model_states.pt in it", dir);
    for (int64_t i = 0; i < m->n_shards; i++) {
        CS_TRY(open_shard(&m->shard[i], err));
        src->file_bytes += m->shard[i].map.size;
    }
    src->n_files = (size_t)m->n_shards;
    CS_TRY(read_spec(src, m, path, dir, hints, err));
    CS_TRY(find_layout(src, m, dir, hints, err));
    CS_TRY(check_divisible(src, m, err));
    CS_TRY(cs_source_tables(src, err));
    CS_TRY(place_layers(src, m, err));
    CS_TRY(bind_all(src, m, err));
    src->spec.dtype = mg_dtype(src, 0);
    return CS_OK;
}

cs_megatron_layout cs_megatron_layout_of(const cs_source *src)
{
    const mg_source *m = src->data;
    CS_ASSERT(src->ops == &mg_ops);
    return (cs_megatron_layout){m->tp, m->pp, m->n_chunks, m->padded_vocab};
}
