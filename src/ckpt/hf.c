/* Finding and checking the weights of a Hugging Face folder. */
#include "ckpt/hf.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "fmt/limits.h"
#include "ckpt/cast.h"
#include "fmt/json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cs_status cs_hf_path(char *buf, size_t n, const char *dir, const char *file, cs_error *err)
{
    int used = snprintf(buf, n, "%s/%s", dir, file);
    if (used < 0 || (size_t)used >= n)
        return cs_fail(err, CS_E_IO, "%.200s: path too long", dir);
    return CS_OK;
}

cs_status cs_hf_json(const char *dir, const char *file, json_t **out_create, cs_error *err)
{
    char path[PATH_MAX];
    CS_TRY(cs_hf_path(path, sizeof path, dir, file, err));
    return cs_json_load(path, CS_LIMIT_CONFIG_BYTES, out_create, err);
}

static bool has(const char *dir, const char *file)
{
    char path[PATH_MAX];
    return cs_hf_path(path, sizeof path, dir, file, NULL) == CS_OK && cs_io_kind(path, NULL) == CS_FILE_REGULAR;
}

/* The files that weights may be in, by preference. */
static const char *const single_names[] = {"model.safetensors", "pytorch_model.bin"};
static const char *const index_names[] = {"model.safetensors.index.json", "pytorch_model.bin.index.json"};

bool cs_hf_present(const char *dir)
{
    for (size_t i = 0; i < 2; i++)
        if (has(dir, single_names[i]) || has(dir, index_names[i]))
            return true;
    return false;
}

/* A list entry as a safetensors entry; elements that are not neighbours in the file are copied. */
static cs_status adopt(cs_hf_shard *s, const cs_torch_named *from, cs_st_tensor *t, cs_error *err)
{
    const cs_torch_tensor *src = from->tensor;
    size_t size = cs_dtype_size(src->dtype);
    *t = (cs_st_tensor){.name = from->name, .dtype = src->dtype, .ndim = src->ndim, .n = src->n, .offset = src->offset,
                        .bytes = (size_t)src->n * size, .data = src->data};
    memcpy(t->shape, src->shape, (size_t)src->ndim * sizeof *t->shape);
    if (src->contiguous)
        return CS_OK;
    uint8_t *copy = cs_arena_alloc(&s->copies, t->bytes);
    if (!copy)
        return cs_fail_nomem(err, t->bytes, from->name);
    cs_torch_read(src, 0, src->n, copy);
    t->data = copy;
    return CS_OK;
}

static cs_status open_torch(cs_hf_shard *s, cs_error *err)
{
    CS_TRY(cs_torch_file_init(&s->torch, s->map.data, s->map.size, s->path, err));
    s->is_torch = true;
    CS_TRY(cs_torch_list_init(&s->list, &s->torch, s->torch.pickle.root, err));
    s->st.tensor = cs_calloc(s->list.n + 1, sizeof *s->st.tensor);
    s->st.by_name = cs_calloc(s->list.n + 1, sizeof *s->st.by_name);
    if (!s->st.tensor || !s->st.by_name)
        return cs_fail_nomem(err, s->list.n * sizeof *s->st.tensor, s->path);
    for (; s->st.n < s->list.n; s->st.n++) {
        CS_TRY(adopt(s, &s->list.item[s->st.n], &s->st.tensor[s->st.n], err));
        s->st.by_name[s->st.n] = &s->st.tensor[s->st.n];
    }
    return CS_OK;
}

static cs_status open_shard(cs_hf *hf, const char *path, cs_error *err)
{
    cs_hf_shard *s = &hf->shard[hf->n_shards];
    *s = (cs_hf_shard){.path = cs_strdup(path)};
    if (!s->path)
        return cs_fail_nomem(err, strlen(path), "a file name");
    cs_arena_init(&s->copies, "tensors");
    hf->n_shards++;
    CS_TRY(cs_map_init(&s->map, s->path, err));
    if (cs_torch_sniff(s->map.data, s->map.size))
        return open_torch(s, err);
    return cs_safetensors_init(&s->st, s->map.data, s->map.size, s->path, err);
}

static int by_data(const void *a, const void *b)
{
    const cs_st_tensor *x = *(const cs_st_tensor *const *)a, *y = *(const cs_st_tensor *const *)b;
    return (x->data > y->data) - (x->data < y->data);
}

/* Bytes of the tensors of a file; on a storage that several share (tied weights) once. */
static double bytes_in(const cs_hf_shard *s)
{
    double bytes = 0;
    const cs_st_tensor **t = cs_calloc(s->st.n + 1, sizeof *t);
    for (size_t i = 0; i < s->st.n; i++) {
        bytes += (double)s->st.tensor[i].bytes;
        if (t)
            t[i] = &s->st.tensor[i];
    }
    if (t)
        qsort(t, s->st.n, sizeof *t, by_data);
    for (size_t i = 1; t && i < s->st.n; i++)
        bytes -= t[i]->data == t[i - 1]->data ? (double)t[i]->bytes : 0;
    cs_free(t);
    return bytes;
}

/* Other programs write "total_size" by their own ideas (tied tensors twice, another dtype) and nobody reads it: a difference is worth a line only. */
static void check_total(const cs_hf *hf, const cs_st_index *index, const char *index_path)
{
    const json_t *total = json_object_get(json_object_get(index->tree, "metadata"), "total_size");
    double bytes = 0, once = 0;
    for (size_t k = 0; k < hf->n_shards; k++) {
        for (size_t i = 0; i < hf->shard[k].st.n; i++)
            bytes += (double)hf->shard[k].st.tensor[i].bytes;
        once += bytes_in(&hf->shard[k]);
    }
    if (total && json_number_value(total) != bytes && json_number_value(total) != once)
        cs_warn("%s: \"total_size\" is %.0f, the shards hold %.0f bytes of tensors", index_path, json_number_value(total), bytes);
}

/* Every tensor of the index is in its shard, and every tensor of a shard is in the index under that shard. */
static cs_status check_index(const cs_hf *hf, const cs_st_index *index, const char *index_path, cs_error *err)
{
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)index->weight_map, name, file) {
        const cs_hf_shard *where = NULL;
        const char *want = json_string_value(file);
        if (!cs_hf_find(hf, name, &where))
            return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is not in %s; shards of different models?", index_path, name, want);
        if (strcmp(strrchr(where->path, '/') + 1, want) != 0)
            return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" should be in %s but is in %s", index_path, name, want, where->path);
    }
    check_total(hf, index, index_path);
    if (cs_hf_n_tensors(hf) == json_object_size(index->weight_map))
        return CS_OK;
    for (size_t k = 0; k < hf->n_shards; k++)
        for (size_t i = 0; i < hf->shard[k].st.n; i++) {
            const char *t = hf->shard[k].st.tensor[i].name;
            const char *want = json_string_value(json_object_get(index->weight_map, t));
            if (!want || strcmp(strrchr(hf->shard[k].path, '/') + 1, want) != 0)
                return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is in the file but %s does not place it there", hf->shard[k].path, t, index_path);
        }
    return CS_OK;
}

static cs_status open_index(cs_hf *hf, const char *dir, const char *name, cs_error *err)
{
    char path[PATH_MAX], shard[PATH_MAX];
    uint8_t *text;
    size_t len;
    cs_st_index index;
    CS_TRY(cs_hf_path(path, sizeof path, dir, name, err));
    CS_TRY(cs_io_read_all(path, CS_LIMIT_JSON_BYTES, &text, &len, err));
    cs_status s = cs_st_index_init(&index, (const char *)text, len, path, err);
    cs_free(text);
    CS_TRY(s);
    hf->shard = cs_calloc(index.n_files + 1, sizeof *hf->shard);
    if (!hf->shard)
        s = cs_fail_nomem(err, index.n_files * sizeof *hf->shard, path);
    for (size_t i = 0; s == CS_OK && i < index.n_files; i++) {
        s = cs_hf_path(shard, sizeof shard, dir, index.file[i], err);
        if (s == CS_OK)
            s = open_shard(hf, shard, err);
    }
    if (s == CS_OK)
        s = check_index(hf, &index, path, err);
    cs_st_index_release(&index);
    return s;
}

static cs_status open_single(cs_hf *hf, const char *path, cs_error *err)
{
    hf->shard = cs_calloc(1, sizeof *hf->shard);
    if (!hf->shard)
        return cs_fail_nomem(err, sizeof *hf->shard, path);
    return open_shard(hf, path, err);
}

static cs_status open_folder(cs_hf *hf, const char *dir, cs_error *err)
{
    char file[PATH_MAX];
    for (size_t i = 0; i < 2; i++) {
        if (has(dir, single_names[i])) {
            CS_TRY(cs_hf_path(file, sizeof file, dir, single_names[i], err));
            return open_single(hf, file, err);
        }
        if (has(dir, index_names[i]))
            return open_index(hf, dir, index_names[i], err);
    }
    return cs_fail(err, CS_E_IO, "%s: neither model.safetensors, pytorch_model.bin nor the index of one of them is there", dir);
}

cs_status cs_hf_init(cs_hf *hf, const char *path, cs_error *err)
{
    *hf = (cs_hf){0};
    cs_status s = cs_io_kind(path, NULL) == CS_FILE_DIR ? open_folder(hf, path, err) : open_single(hf, path, err);
    if (s != CS_OK)
        cs_hf_release(hf);
    return s;
}

void cs_hf_release(cs_hf *hf)
{
    for (size_t i = 0; i < hf->n_shards; i++) {
        cs_safetensors_release(&hf->shard[i].st);
        cs_torch_list_release(&hf->shard[i].list);
        if (hf->shard[i].is_torch)
            cs_torch_file_release(&hf->shard[i].torch);
        cs_arena_release(&hf->shard[i].copies);
        cs_map_release(&hf->shard[i].map);
        cs_free(hf->shard[i].path);
    }
    cs_free(hf->shard);
    *hf = (cs_hf){0};
}

static const cs_st_tensor *find_exact(const cs_hf *hf, const char *name, const cs_hf_shard **shard)
{
    for (size_t i = 0; i < hf->n_shards; i++) {
        const cs_st_tensor *t = cs_safetensors_find(&hf->shard[i].st, name);
        if (t && shard)
            *shard = &hf->shard[i];
        if (t)
            return t;
    }
    return NULL;
}

const cs_st_tensor *cs_hf_find(const cs_hf *hf, const char *name, const cs_hf_shard **shard)
{
    const cs_st_tensor *t = find_exact(hf, name, shard);
    size_t n = hf->optional_prefix ? strlen(hf->optional_prefix) : 0;
    return !t && n > 0 && strncmp(name, hf->optional_prefix, n) == 0 ? find_exact(hf, name + n, shard) : t;
}

size_t cs_hf_n_tensors(const cs_hf *hf)
{
    size_t n = 0;
    for (size_t i = 0; i < hf->n_shards; i++)
        n += hf->shard[i].st.n;
    return n;
}

/* A tensor that a PyTorch file would have made by a call outside the table is told apart from one that is not there. */
static cs_status fail_missing(const cs_hf *hf, const char *name, cs_error *err)
{
    for (size_t i = 0; i < hf->n_shards; i++) {
        const cs_pickle *p = &hf->shard[i].torch.pickle;
        cs_pk_value v;
        const cs_pk_global *g = hf->shard[i].is_torch && cs_pickle_get(p, p->root, name, &v) ? cs_pickle_global(p, v) : NULL;
        if (g)
            return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" would be made by calling %.*s.%.*s, which is never done; save plain tensors",
                           hf->shard[i].path, name, (int)g->module_len, g->module, (int)g->name_len, g->name);
    }
    return cs_fail(err, CS_E_FORMAT, "%s%s: tensor \"%s\" is missing", hf->shard[0].path, hf->n_shards > 1 ? " and the other shards" : "", name);
}

static cs_status check_view(const cs_hf *hf, const cs_param_view *v, cs_error *err)
{
    const cs_hf_shard *where = NULL;
    const cs_st_tensor *t = cs_hf_find(hf, v->name, &where);
    char want[64], got[128];
    if (!t)
        return fail_missing(hf, v->name, err);
    if (t->ndim != v->ndim || memcmp(t->shape, v->shape, (size_t)v->ndim * sizeof *v->shape) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" has shape %s, config.json asks for %s", where->path, v->name,
                       cs_st_shape_text(t->ndim, t->shape, got, sizeof got), cs_st_shape_text(v->ndim, v->shape, want, sizeof want));
    if (!cs_cast_can(t->dtype))
        return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is %s; weights are F64, F32, BF16 or F16", where->path, v->name,
                       cs_st_dtype_name(t->dtype));
    return CS_OK;
}

/* A head beside tied embeddings is accepted only if it says the same. */
static bool is_tied_copy(const cs_hf *hf, const cs_spec *spec, const cs_st_tensor *t, bool *equal)
{
    char head[160], embed[160];
    snprintf(head, sizeof head, "%s.weight", spec->family->tensor[CS_PART_HEAD]);
    snprintf(embed, sizeof embed, "%s.weight", spec->family->tensor[CS_PART_EMBED]);
    if (!spec->tied_head || strcmp(t->name, head) != 0)
        return false;
    const cs_st_tensor *e = cs_hf_find(hf, embed, NULL);
    *equal = e && e->dtype == t->dtype && e->bytes == t->bytes && memcmp(e->data, t->data, t->bytes) == 0;
    return true;
}

static cs_status check_extra(const cs_hf *hf, const cs_spec *spec, const cs_hf_shard *shard, const cs_st_tensor *t, json_t *known, cs_error *err)
{
    bool equal = false;
    char full[512];
    snprintf(full, sizeof full, "%s%s", hf->optional_prefix ? hf->optional_prefix : "", t->name);
    if (json_object_get(known, t->name) || json_object_get(known, full) || cs_str_ends_with(t->name, "rotary_emb.inv_freq"))
        return CS_OK;
    if (!is_tied_copy(hf, spec, t, &equal))
        return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is none of a %s model with this config.json", shard->path, t->name, spec->family->name);
    if (!equal)
        return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" differs from the embedding although config.json ties them (\"tie_word_embeddings\")",
                       shard->path, t->name);
    return CS_OK;
}

cs_status cs_hf_check(const cs_hf *hf, const cs_spec *spec, const cs_param_table *table, cs_error *err)
{
    json_t *known = json_object();
    cs_status s = known ? CS_OK : cs_fail_nomem(err, 64, "tensor names");
    for (int64_t i = 0; s == CS_OK && i < cs_param_n_views(table); i++) {
        cs_param_view v = cs_param_view_at(table, i);
        s = check_view(hf, &v, err);
        if (s == CS_OK && json_object_set_new(known, v.name, json_true()) != 0)
            s = cs_fail_nomem(err, strlen(v.name), "tensor names");
    }
    for (size_t k = 0; s == CS_OK && k < hf->n_shards; k++)
        for (size_t i = 0; s == CS_OK && i < hf->shard[k].st.n; i++)
            s = check_extra(hf, spec, &hf->shard[k], &hf->shard[k].st.tensor[i], known, err);
    json_decref(known);
    return s;
}
