/* Weights of a GGUF file (F32, F16, BF16, Q8_0) as the tensors of a Hugging Face folder: llama.cpp's names, and its order of query and key rows. */
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/gguf_rope.h"
#include "ckpt/source.h"
#include "fmt/gguf_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gguf_source {
    cs_map map;
    cs_gguf gguf;
    bool open;
    const cs_gguf_tensor **tensor; /* [n_views * 3]: of the view itself, or its query, key and value tensors */
    uint8_t *is_qkv;               /* [n_views] */
} gguf_source;

static void gguf_release(cs_source *src)
{
    gguf_source *g = src->data;
    if (!g)
        return;
    if (g->open)
        cs_gguf_release(&g->gguf);
    if (g->map.path)
        cs_map_release(&g->map);
    cs_free(g);
}

static bool readable(uint32_t type)
{
    return type == CS_GGML_F32 || type == CS_GGML_F16 || type == CS_GGML_BF16 || type == CS_GGML_Q8_0;
}

static cs_dtype gguf_dtype(const cs_source *src, int64_t i)
{
    const gguf_source *g = src->data;
    switch (g->tensor[3 * i]->type) {
    case CS_GGML_F16: return CS_F16;
    case CS_GGML_BF16: return CS_BF16;
    default: return CS_F32;
    }
}

/* Row k of a tensor with `cols` columns. */
static void read_row(const cs_gguf_tensor *t, int64_t k, int64_t cols, cs_dtype type, void *out)
{
    enum { PART = 1024 };
    float part[PART];
    if (t->type != CS_GGML_Q8_0) {
        cs_dtype from = t->type == CS_GGML_F16 ? CS_F16 : t->type == CS_GGML_BF16 ? CS_BF16 : CS_F32;
        cs_cast(type, out, from, t->data + (size_t)(k * cols) * cs_dtype_size(from), cols);
        return;
    }
    const uint8_t *blocks = t->data + (size_t)(k * cols) / CS_Q8_0_BLOCK * CS_Q8_0_BYTES;
    for (int64_t at = 0; at < cols; at += PART) {
        int64_t n = cols - at < PART ? cols - at : PART;
        cs_q8_0_unpack(blocks + at / CS_Q8_0_BLOCK * CS_Q8_0_BYTES, n, part);
        cs_cast(type, cs_flat_at(out, type, at), CS_F32, part, n);
    }
}

/* The tensor and row that hold row r of a query-key-value view. */
static const cs_gguf_tensor *qkv_place(const cs_source *src, int64_t i, int64_t r, int64_t *row)
{
    const gguf_source *g = src->data;
    const cs_spec *s = &src->spec;
    int64_t D = s->head_dim, head = r / D, d = r % D, m = s->n_heads / s->n_kv_heads,
            which = i - src->first_view[src->view[i].param - src->table.row];
    if (s->family->qkv == CS_QKV_BLOCKS) {
        which = head < s->n_heads ? 0 : head < s->n_heads + s->n_kv_heads ? 1 : 2;
        head -= which == 0 ? 0 : s->n_heads + (which - 1) * s->n_kv_heads;
    } else if (s->family->qkv == CS_QKV_BY_HEAD) {
        int64_t group = head / (m + 2), slot = head % (m + 2);
        which = slot < m ? 0 : slot - m + 1;
        head = which == 0 ? group * m + slot : group;
    }
    if (which < 2 && s->family->gguf.pairs && s->pos == CS_POS_ROPE)
        d = d < D / 2 ? 2 * d : 2 * (d - D / 2) + 1;
    *row = head * D + d;
    if (s->family->gguf.fused_qkv)
        *row += which == 0 ? 0 : (s->n_heads + (which - 1) * s->n_kv_heads) * D;
    return s->family->gguf.fused_qkv ? g->tensor[3 * i] : g->tensor[3 * i + which];
}

static void gguf_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    const gguf_source *g = src->data;
    int64_t cols = src->view[i].ndim == 2 ? src->view[i].shape[1] : 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t row = lo + k;
        const cs_gguf_tensor *t = g->is_qkv[i] ? qkv_place(src, i, lo + k, &row) : g->tensor[3 * i];
        read_row(t, row, cols, type, cs_flat_at(out, type, k * cols));
    }
}

static const cs_source_ops gguf_ops = {"GGUF model", gguf_dtype, gguf_read, gguf_release};

/* ---- spec ---- */

static cs_status get_size(const cs_gguf *g, const char *arch, const char *what, int64_t *out, cs_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, what);
    return cs_gguf_get_int(g, key, out, err);
}

/* The shortest decimal number that is v in f32, in which most files keep it: 1e-05 and not 9.9999997e-06. */
static double shortest(double v)
{
    char text[32];
    for (int digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if ((float)strtod(text, NULL) == (float)v)
            return (double)(float)v == v ? strtod(text, NULL) : v;
    }
    return v;
}

static cs_status get_number(const cs_gguf *g, const char *arch, const char *what, double *out, cs_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, what);
    double v = NAN;
    CS_TRY(cs_gguf_get_real(g, key, &v, err));
    if (!isnan(v))
        *out = shortest(v);
    return CS_OK;
}

/* The first family of that architecture; attention biases make it the one that has them. */
static const cs_family *find_family(const char *arch, size_t len)
{
    for (const cs_family *const *f = cs_families; *f; f++)
        if (strlen((*f)->gguf.arch) == len && memcmp((*f)->gguf.arch, arch, len) == 0)
            return *f;
    return NULL;
}

static bool has(const cs_gguf *g, const char *name)
{
    return cs_gguf_find_tensor(g, name) != NULL;
}

/* Llama 3's scaling as a tensor; the rule behind it is found again. */
static cs_status read_rope_freqs(cs_spec *s, const cs_gguf *g, cs_error *err)
{
    const cs_gguf_tensor *t = cs_gguf_find_tensor(g, "rope_freqs.weight");
    if (t->type != CS_GGML_F32 || t->ndim != 1 || t->dim[0] != s->head_dim / 2)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: tensor rope_freqs.weight is not F32 [%lld], one number for each pair of a head", g->name,
                       t->entry, (long long)(s->head_dim / 2));
    float *factors = cs_malloc(t->bytes);
    if (!factors)
        return cs_fail_nomem(err, t->bytes, "rope_freqs.weight");
    memcpy(factors, t->data, t->bytes);
    bool found = cs_gguf_rope_solve(s, factors);
    cs_free(factors);
    return found ? CS_OK
                 : cs_fail(err, CS_E_FORMAT, "%s: offset %zu: no factor, high_freq_factor and original_max_position_embeddings of Llama 3's rope "
                           "scaling give the numbers of tensor rope_freqs.weight; convert the original model", g->name, t->offset);
}

static cs_status read_rope(cs_spec *s, const cs_gguf *g, const char *arch, cs_error *err)
{
    const char *type = NULL;
    char key[128];
    size_t len = 0;
    CS_TRY(get_number(g, arch, "rope.freq_base", &s->rope_theta, err));
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    CS_TRY(cs_gguf_get_str(g, key, &type, &len, err));
    if (has(g, "rope_freqs.weight"))
        CS_TRY(read_rope_freqs(s, g, err));
    if (!type || (len == 4 && memcmp(type, "none", 4) == 0))
        return CS_OK;
    if (len != 6 || memcmp(type, "linear", 6) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: %s \"%.*s\" is not in this version; linear is", g->name, key, (int)(len < 40 ? len : 40), type);
    s->rope_scaling.rule = CS_ROPE_LINEAR;
    return get_number(g, arch, "rope.scaling.factor", &s->rope_scaling.factor, err);
}

static cs_status read_spec(cs_source *src, const cs_gguf *g, cs_error *err)
{
    const char *name = "";
    size_t len = 0;
    CS_TRY(cs_gguf_get_str(g, "general.architecture", &name, &len, err));
    const cs_family *f = find_family(name, len);
    if (!f)
        return cs_fail(err, CS_E_FORMAT, "%s: general.architecture \"%.*s\" is not one this version knows", g->name, (int)(len < 40 ? len : 40),
                       name);
    const char *arch = f->gguf.arch;
    cs_spec *s = &src->spec;
    const cs_gguf_tensor *embed = cs_gguf_find_tensor(g, "token_embd.weight");
    *s = f->defaults;
    s->family = f;
    s->bos = s->eos = s->pad = -1;
    s->n_kv_heads = 0;
    if (!embed || embed->ndim != 2)
        return cs_fail(err, CS_E_FORMAT, "%s: no matrix token_embd.weight; a vocabulary without a model?", g->name);
    s->vocab_size = embed->dim[1];
    CS_TRY(get_size(g, arch, "context_length", &s->max_pos, err));
    CS_TRY(get_size(g, arch, "embedding_length", &s->hidden, err));
    CS_TRY(get_size(g, arch, "block_count", &s->n_layers, err));
    CS_TRY(get_size(g, arch, "feed_forward_length", &s->ffn, err));
    CS_TRY(get_size(g, arch, "attention.head_count", &s->n_heads, err));
    CS_TRY(get_size(g, arch, "attention.head_count_kv", &s->n_kv_heads, err));
    CS_TRY(get_size(g, arch, "attention.key_length", &s->head_dim, err));
    CS_TRY(get_number(g, arch, f->norm == CS_NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", &s->norm_eps, err));
    s->n_kv_heads = s->n_kv_heads > 0 ? s->n_kv_heads : s->n_heads;
    s->head_dim = s->head_dim > 0 ? s->head_dim : s->n_heads > 0 ? s->hidden / s->n_heads : 0;
    if (f->gguf.pairs && !f->gguf.fused_qkv && f->qkv == CS_QKV_BLOCKS && s->n_layers == 40)
        s->pos = CS_POS_ALIBI; /* llama.cpp's rule */
    if (s->pos == CS_POS_ROPE)
        CS_TRY(read_rope(s, g, arch, err));
    s->bias_qkv = s->bias_qkv || has(g, "blk.0.attn_q.bias");
    s->bias_out = s->bias_out || has(g, "blk.0.attn_output.bias");
    s->bias_mlp = s->bias_mlp || has(g, "blk.0.ffn_up.bias");
    s->tied_head = !has(g, "output.weight") || (f->gguf.output_always && f->defaults.tied_head);
    CS_TRY(cs_gguf_get_int(g, "tokenizer.ggml.bos_token_id", &s->bos, err));
    CS_TRY(cs_gguf_get_int(g, "tokenizer.ggml.eos_token_id", &s->eos, err));
    CS_TRY(cs_gguf_get_int(g, "tokenizer.ggml.padding_token_id", &s->pad, err));
    s->dtype = embed->type == CS_GGML_F16 ? CS_F16 : embed->type == CS_GGML_BF16 ? CS_BF16 : CS_F32;
    return cs_spec_check(s, g->name, err);
}

/* ---- tensors ---- */

static cs_status bind(const cs_source *src, int64_t slot, const char *name, int64_t rows, int64_t cols, bool vector, cs_error *err)
{
    gguf_source *g = src->data;
    const cs_gguf_tensor *t = g->tensor[slot] = cs_gguf_find_tensor(&g->gguf, name);
    if (!t)
        return cs_fail(err, CS_E_FORMAT, "%s: tensor %s is missing", g->gguf.name, name);
    if (!readable(t->type))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: tensor %s is %s; F32, F16, BF16 and Q8_0 are read", g->gguf.name, t->entry, name,
                       cs_gguf_type_name(t->type));
    if (vector ? t->ndim != 1 || t->dim[0] != rows : t->ndim != 2 || t->dim[0] != cols || t->dim[1] != rows)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: tensor %s is not %lld x %lld, which the keys ask for", g->gguf.name, t->entry, name,
                       (long long)rows, (long long)cols);
    return CS_OK;
}

static cs_status bind_qkv(cs_source *src, int64_t row, int64_t l, const char *suffix, cs_error *err)
{
    gguf_source *g = src->data;
    const cs_spec *s = &src->spec;
    const cs_param *p = &src->table.row[row];
    static const char *const names[] = {"attn_q", "attn_k", "attn_v"};
    int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim, first = src->first_view[row];
    char name[80];
    for (int64_t i = first; i < first + p->n_parts; i++) {
        g->is_qkv[i] = true;
        for (int k = 0; k < (s->family->gguf.fused_qkv ? 1 : 3); k++) {
            snprintf(name, sizeof name, "blk.%lld.%s.%s", (long long)l, s->family->gguf.fused_qkv ? "attn_qkv" : names[k], suffix);
            CS_TRY(bind(src, 3 * i + k, name, s->family->gguf.fused_qkv ? q + 2 * kv : k == 0 ? q : kv, p->cols, p->ndim == 1, err));
        }
    }
    return CS_OK;
}

static cs_status bind_row(cs_source *src, int64_t row, const char *prefix, const char *const names[2], const char *suffix, cs_error *err)
{
    const cs_param *p = &src->table.row[row];
    char name[80];
    for (int i = 0; i < p->n_parts; i++) {
        snprintf(name, sizeof name, "%s%s.%s", prefix, names[i], suffix);
        CS_TRY(bind(src, 3 * (src->first_view[row] + i), name, p->part[i].rows, p->cols, p->ndim == 1, err));
    }
    return CS_OK;
}

static cs_status bind_all(cs_source *src, cs_error *err)
{
    static const struct {
        int row;
        const char *name[2], *suffix;
    } top[] = {{CS_ROW_EMBED, {"token_embd"}, "weight"},          {CS_ROW_EMBED_NORM, {"token_embd_norm"}, "weight"},
               {CS_ROW_EMBED_NORM_BIAS, {"token_embd_norm"}, "bias"}, {CS_ROW_FINAL_NORM, {"output_norm"}, "weight"},
               {CS_ROW_FINAL_NORM_BIAS, {"output_norm"}, "bias"}, {CS_ROW_HEAD, {"output"}, "weight"}},
      layer[] = {{CS_ROW_NORM1, {"attn_norm"}, "weight"},   {CS_ROW_NORM1_BIAS, {"attn_norm"}, "bias"}, {CS_ROW_OUT, {"attn_output"}, "weight"},
                 {CS_ROW_OUT_BIAS, {"attn_output"}, "bias"}, {CS_ROW_NORM2, {"ffn_norm"}, "weight"},     {CS_ROW_NORM2_BIAS, {"ffn_norm"}, "bias"},
                 {CS_ROW_UP, {"ffn_gate", "ffn_up"}, "weight"}, {CS_ROW_UP_BIAS, {"ffn_gate", "ffn_up"}, "bias"},
                 {CS_ROW_DOWN, {"ffn_down"}, "weight"},     {CS_ROW_DOWN_BIAS, {"ffn_down"}, "bias"}};
    bool gated = src->spec.family->act == CS_ACT_SWIGLU;
    char prefix[32];
    for (size_t i = 0; i < sizeof top / sizeof *top; i++)
        CS_TRY(bind_row(src, top[i].row, "", top[i].name, top[i].suffix, err));
    for (int64_t l = 0; l < src->spec.n_layers; l++) {
        int64_t at = CS_ROW_FIRST_LAYER + l * CS_ROW_PER_LAYER;
        snprintf(prefix, sizeof prefix, "blk.%lld.", (long long)l);
        CS_TRY(bind_qkv(src, at + CS_ROW_QKV, l, "weight", err));
        CS_TRY(bind_qkv(src, at + CS_ROW_QKV_BIAS, l, "bias", err));
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++)
            CS_TRY(bind_row(src, at + layer[i].row, prefix, layer[i].name[1] && !gated ? layer[i].name + 1 : layer[i].name, layer[i].suffix, err));
    }
    return CS_OK;
}

cs_status cs_source_open_gguf(cs_source *src, const char *path, cs_error *err)
{
    src->ops = &gguf_ops;
    gguf_source *g = src->data = cs_calloc(1, sizeof *g);
    if (!g)
        return cs_fail_nomem(err, sizeof *g, "a GGUF model");
    CS_TRY(cs_map_init(&g->map, path, err));
    src->tokenizer_file = cs_strdup(path);
    if (!src->tokenizer_file)
        return cs_fail_nomem(err, strlen(path), "a path");
    src->n_files = 1;
    src->file_bytes = g->map.size;
    CS_TRY(cs_gguf_init(&g->gguf, g->map.data, g->map.size, g->map.path, err));
    g->open = true;
    CS_TRY(read_spec(src, &g->gguf, err));
    CS_TRY(cs_source_tables(src, err));
    size_t n = (size_t)cs_param_n_views(&src->table);
    g->tensor = cs_arena_calloc(&src->arena, 3 * n, sizeof *g->tensor);
    g->is_qkv = cs_arena_calloc(&src->arena, n, 1);
    if (!g->tensor || !g->is_qkv)
        return cs_fail_nomem(err, 3 * n * sizeof *g->tensor, "the list of tensors");
    return bind_all(src, err);
}
