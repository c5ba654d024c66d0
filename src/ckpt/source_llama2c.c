/* Weights of llama2.c: its model file, and PyTorch files of the same model (its training script's names). Query and key rows are put into Hugging
 * Face's order on the way. */
#include "base/log.h"
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/source.h"
#include "fmt/llama2c.h"
#include "fmt/torch_file.h"
#include "model/family/families.h"

#include <stdio.h>
#include <string.h>

typedef struct l2c_source {
    cs_map map;
    cs_llama2c model;       /* the .bin */
    cs_torch_file torch;    /* or the PyTorch file */
    cs_torch_list list;
    const cs_torch_tensor **tensor; /* [n_views] of the PyTorch file */
    bool has_model, has_torch;
} l2c_source;

static void l2c_release(cs_source *src)
{
    l2c_source *s = src->data;
    if (!s)
        return;
    cs_torch_list_release(&s->list);
    if (s->has_torch)
        cs_torch_file_release(&s->torch);
    if (s->map.path)
        cs_map_release(&s->map);
    cs_free(s);
}

/* What llama2.c fixes in its code: norm epsilon, rotary base and the ids of its tokenizer. */
static cs_spec l2c_spec(int64_t vocab, int64_t hidden, int64_t ffn, int64_t layers, int64_t heads, int64_t kv_heads, int64_t max_pos, bool tied)
{
    return (cs_spec){.family = &cs_family_llama, .vocab_size = vocab, .hidden = hidden, .ffn = ffn, .n_layers = layers, .n_heads = heads,
                     .n_kv_heads = kv_heads, .head_dim = heads > 0 ? hidden / heads : 0, .max_pos = max_pos, .norm_eps = 1e-5, .rope_theta = 10000.0,
                     .init_std = 0.02, .tied_head = tied, .bos = 1, .eos = 2, .pad = -1, .dtype = CS_F32};
}

static cs_status new_source(cs_source *src, const cs_source_ops *ops, const char *path, l2c_source **out, cs_error *err)
{
    src->ops = ops;
    l2c_source *s = src->data = *out = cs_calloc(1, sizeof *s);
    if (!s)
        return cs_fail_nomem(err, sizeof *s, "a model file");
    CS_TRY(cs_map_init(&s->map, path, err));
    src->n_files = 1;
    src->file_bytes = s->map.size;
    return CS_OK;
}

/* ---- the .bin ---- */

/* Part and layer of a view in the model file. */
static cs_llama2c_part part_of(const cs_source *src, int64_t i, int64_t *layer)
{
    static const cs_llama2c_part top[CS_ROW_FIRST_LAYER] = {
        [CS_ROW_EMBED] = CS_L2C_EMBED, [CS_ROW_FINAL_NORM] = CS_L2C_FINAL_NORM, [CS_ROW_HEAD] = CS_L2C_HEAD};
    static const cs_llama2c_part in_layer[CS_ROW_PER_LAYER][CS_PARAM_MAX_PARTS] = {
        [CS_ROW_NORM1] = {CS_L2C_ATT_NORM}, [CS_ROW_QKV] = {CS_L2C_WQ, CS_L2C_WK, CS_L2C_WV}, [CS_ROW_OUT] = {CS_L2C_WO},
        [CS_ROW_NORM2] = {CS_L2C_FFN_NORM}, [CS_ROW_UP] = {CS_L2C_W1, CS_L2C_W3},             [CS_ROW_DOWN] = {CS_L2C_W2}};
    int64_t row = src->view[i].param - src->table.row;
    *layer = 0;
    if (row < CS_ROW_FIRST_LAYER)
        return top[row];
    *layer = (row - CS_ROW_FIRST_LAYER) / CS_ROW_PER_LAYER;
    return in_layer[(row - CS_ROW_FIRST_LAYER) % CS_ROW_PER_LAYER][i - src->first_view[row]];
}

static bool is_rotated(cs_llama2c_part part)
{
    return part == CS_L2C_WQ || part == CS_L2C_WK;
}

static cs_dtype bin_dtype(const cs_source *src, int64_t i)
{
    (void)src, (void)i;
    return CS_F32;
}

static void bin_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    const l2c_source *s = src->data;
    int64_t cols = src->view[i].ndim == 2 ? src->view[i].shape[1] : 1, layer;
    cs_llama2c_part part = part_of(src, i, &layer);
    const float *w = cs_llama2c_tensor(&s->model, part, layer);
    if (!is_rotated(part)) {
        cs_cast(type, out, CS_F32, w + lo * cols, n * cols);
        return;
    }
    for (int64_t r = 0; r < n; r++)
        cs_cast(type, cs_flat_at(out, type, r * cols), CS_F32, w + cs_llama2c_row(lo + r, s->model.head_dim) * cols, cols);
}

static const cs_source_ops bin_ops = {"llama2.c model", bin_dtype, bin_read, l2c_release};

cs_status cs_source_open_llama2c(cs_source *src, const char *path, cs_error *err)
{
    l2c_source *s;
    CS_TRY(new_source(src, &bin_ops, path, &s, err));
    cs_llama2c *m = &s->model;
    CS_TRY(cs_llama2c_init(m, s->map.data, s->map.size, s->map.path, err));
    src->spec = l2c_spec(m->vocab, m->dim, m->ffn, m->n_layers, m->n_heads, m->n_kv_heads, m->max_seq, m->tied);
    CS_TRY(cs_spec_check(&src->spec, path, err));
    return cs_source_tables(src, err);
}

/* ---- the PyTorch file ---- */

static cs_dtype pt_dtype(const cs_source *src, int64_t i)
{
    return ((const l2c_source *)src->data)->tensor[i]->dtype;
}

/* Rows through a small buffer when they are not contiguous in the file. */
static void copy_rows(const cs_torch_tensor *t, int64_t row, int64_t n, int64_t cols, cs_dtype type, void *out)
{
    enum { PART = 1024 };
    uint8_t part[PART * 8];
    if (t->contiguous) {
        cs_cast(type, out, t->dtype, t->data + (size_t)(row * cols) * cs_dtype_size(t->dtype), n * cols);
        return;
    }
    for (int64_t at = 0; at < n * cols; at += PART) {
        int64_t len = n * cols - at < PART ? n * cols - at : PART;
        cs_torch_read(t, row * cols + at, len, part);
        cs_cast(type, cs_flat_at(out, type, at), t->dtype, part, len);
    }
}

static void pt_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    const cs_torch_tensor *t = ((const l2c_source *)src->data)->tensor[i];
    int64_t cols = src->view[i].ndim == 2 ? src->view[i].shape[1] : 1, layer;
    if (!is_rotated(part_of(src, i, &layer))) {
        copy_rows(t, lo, n, cols, type, out);
        return;
    }
    for (int64_t r = 0; r < n; r++)
        copy_rows(t, cs_llama2c_row(lo + r, src->spec.head_dim), 1, cols, type, cs_flat_at(out, type, r * cols));
}

static const cs_source_ops pt_ops = {"PyTorch file with llama2.c's names", pt_dtype, pt_read, l2c_release};

/* A tensor by llama2.c's name, also behind the "_orig_mod." that torch.compile puts in front. */
static const cs_torch_tensor *find(const l2c_source *s, const char *name)
{
    char compiled[128];
    const cs_torch_tensor *t = cs_torch_list_find(&s->list, name);
    snprintf(compiled, sizeof compiled, "_orig_mod.%s", name);
    return t ? t : cs_torch_list_find(&s->list, compiled);
}

static int64_t arg(const l2c_source *s, cs_pk_value args, const char *key)
{
    cs_pk_value v;
    return cs_pickle_get(&s->torch.pickle, args, key, &v) && v.kind == CS_PK_INT ? v.u.i : 0;
}

static cs_status read_pt_spec(cs_source *src, const char *path, cs_error *err)
{
    const l2c_source *s = src->data;
    const cs_torch_tensor *embed = find(s, "tok_embeddings.weight"), *w1 = find(s, "layers.0.feed_forward.w1.weight"),
                          *head = find(s, "output.weight");
    cs_pk_value args;
    if (!embed || !w1 || embed->ndim != 2 || w1->ndim != 2)
        return cs_fail(err, CS_E_FORMAT,
                       "%s: a PyTorch file without the tensors \"tok_embeddings.weight\" and \"layers.0.feed_forward.w1.weight\" of a "
                       "llama2.c model; a pytorch_model.bin is opened as its folder, together with config.json",
                       path);
    if (!cs_pickle_get(&s->torch.pickle, s->torch.pickle.root, "model_args", &args))
        return cs_fail(err, CS_E_FORMAT, "%s: no \"model_args\", which say how many heads the model has", path);
    int64_t heads = arg(s, args, "n_heads"), kv = arg(s, args, "n_kv_heads"), layers = arg(s, args, "n_layers"),
            max_seq = arg(s, args, "max_seq_len");
    bool tied = !head || (head->storage == embed->storage && head->first == embed->first);
    src->spec = l2c_spec(embed->shape[0], embed->shape[1], w1->shape[0], layers, heads, kv > 0 ? kv : heads, max_seq > 0 ? max_seq : 2048, tied);
    src->spec.dtype = embed->dtype;
    return cs_spec_check(&src->spec, path, err);
}

static cs_status find_tensors(cs_source *src, const char *path, cs_error *err)
{
    static const char *const top[] = {[CS_L2C_EMBED] = "tok_embeddings", [CS_L2C_FINAL_NORM] = "norm", [CS_L2C_HEAD] = "output"};
    static const char *const in_layer[] = {[CS_L2C_ATT_NORM] = "attention_norm", [CS_L2C_WQ] = "attention.wq",    [CS_L2C_WK] = "attention.wk",
                                           [CS_L2C_WV] = "attention.wv",         [CS_L2C_WO] = "attention.wo",    [CS_L2C_FFN_NORM] = "ffn_norm",
                                           [CS_L2C_W1] = "feed_forward.w1",      [CS_L2C_W2] = "feed_forward.w2", [CS_L2C_W3] = "feed_forward.w3"};
    l2c_source *s = src->data;
    int64_t n = cs_param_n_views(&src->table), layer;
    s->tensor = cs_arena_calloc(&src->arena, (size_t)n, sizeof *s->tensor);
    if (!s->tensor)
        return cs_fail_nomem(err, (size_t)n * sizeof *s->tensor, "the list of tensors");
    for (int64_t i = 0; i < n; i++) {
        char name[96];
        const cs_param_view *v = &src->view[i];
        cs_llama2c_part part = part_of(src, i, &layer);
        if (v->param - src->table.row < CS_ROW_FIRST_LAYER)
            snprintf(name, sizeof name, "%s.weight", top[part]);
        else
            snprintf(name, sizeof name, "layers.%lld.%s.weight", (long long)layer, in_layer[part]);
        const cs_torch_tensor *t = s->tensor[i] = find(s, name);
        if (!t)
            return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is missing", path, name);
        if (t->ndim != v->ndim || memcmp(t->shape, v->shape, (size_t)v->ndim * sizeof *v->shape) != 0 || !cs_cast_can(t->dtype))
            return cs_fail(err, CS_E_FORMAT, "%s: tensor \"%s\" is not a float tensor of %lld x %lld, which the other sizes ask for", path, name,
                           (long long)v->shape[0], (long long)(v->ndim == 2 ? v->shape[1] : 1));
    }
    return CS_OK;
}

cs_status cs_source_open_torch(cs_source *src, const char *path, cs_error *err)
{
    l2c_source *s;
    cs_pk_value model;
    CS_TRY(new_source(src, &pt_ops, path, &s, err));
    CS_TRY(cs_torch_file_init(&s->torch, s->map.data, s->map.size, s->map.path, err));
    s->has_torch = true;
    bool nested = cs_pickle_get(&s->torch.pickle, s->torch.pickle.root, "model", &model);
    CS_TRY(cs_torch_list_init(&s->list, &s->torch, nested ? model : s->torch.pickle.root, err));
    CS_TRY(read_pt_spec(src, path, err));
    CS_TRY(cs_source_tables(src, err));
    CS_TRY(find_tensors(src, path, err));
    cs_pk_value opt;
    if (cs_pickle_get(&s->torch.pickle, s->torch.pickle.root, "optimizer", &opt))
        cs_note("%s: its optimizer state is not carried over; only weights are", path);
    return CS_OK;
}
