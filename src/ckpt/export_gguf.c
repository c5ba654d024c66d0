/* Writing a GGUF file that llama.cpp loads: keys of the architecture, the tokenizer, tensors in llama.cpp's names and row orders. Vectors are F32;
 * matrices as asked for, Q8_0 where their width allows it and F16 elsewhere. A head of unit rows (Baichuan 2) is written with its rows scaled. */
#include "base/log.h"
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/exporter.h"
#include "ckpt/gguf_rope.h"
#include "fmt/gguf_write.h"
#include "text/tok_ggml.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum gguf_order { AS_IS, QUERY, KEY, VALUE, FUSED } gguf_order;

/* One tensor: rows of a view, or of query, key and value in heads. */
typedef struct plan_row {
    int64_t row;  /* of the parameter table; -1 = rope_freqs */
    int64_t view; /* AS_IS */
    gguf_order order;
    bool unit_rows;
} plan_row;

typedef struct gguf_writer {
    const cs_source *src;
    const cs_export_args *args;
    cs_gguf_out out;
    plan_row *plan; /* by tag */
    int64_t n_plan;
    float *row;     /* a row in f32 and the same packed, or a vector */
    cs_writer w;
    cs_progress bar;
} gguf_writer;

/* ---- keys ---- */

static void put_sizes(gguf_writer *g)
{
    const cs_spec *s = &g->src->spec;
    const char *arch = s->family->gguf.arch;
    bool layer_norm = s->family->norm == CS_NORM_LAYER;
    const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"context_length", s->max_pos}, {"embedding_length", s->hidden}, {"block_count", s->n_layers}, {"feed_forward_length", s->ffn},
                {"attention.head_count", s->n_heads}, {"attention.head_count_kv", s->n_kv_heads}, {"vocab_size", s->vocab_size}};
    char key[128];
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, ints[i].key);
        cs_gguf_put_u32(&g->out, key, (uint32_t)ints[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.%s", arch, layer_norm ? "layer_norm_epsilon" : "layer_norm_rms_epsilon");
    cs_gguf_put_f32(&g->out, key, (float)s->norm_eps);
    if (s->head_dim * s->n_heads != s->hidden) {
        snprintf(key, sizeof key, "%s.attention.key_length", arch);
        cs_gguf_put_u32(&g->out, key, (uint32_t)s->head_dim);
        snprintf(key, sizeof key, "%s.attention.value_length", arch);
        cs_gguf_put_u32(&g->out, key, (uint32_t)s->head_dim);
    }
    if (s->window > 0) {
        snprintf(key, sizeof key, "%s.attention.sliding_window", arch);
        cs_gguf_put_u32(&g->out, key, (uint32_t)s->window);
    }
    if (layer_norm)
        return;
    snprintf(key, sizeof key, "%s.rope.dimension_count", arch);
    cs_gguf_put_u32(&g->out, key, (uint32_t)s->head_dim);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    cs_gguf_put_f32(&g->out, key, (float)s->rope_theta);
    if (s->rope_scaling.rule == CS_ROPE_LINEAR) {
        snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
        cs_gguf_put_str(&g->out, key, "linear", 6);
        snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
        cs_gguf_put_f32(&g->out, key, (float)s->rope_scaling.factor);
    }
}

static uint32_t type_of(const gguf_writer *g, int64_t view, int64_t cols, bool vector)
{
    cs_dtype t = g->args->keep_dtype ? cs_source_dtype(g->src, view) : g->args->dtype;
    if (vector)
        return CS_GGML_F32;
    if (g->args->q8_0)
        return cols % CS_Q8_0_BLOCK == 0 ? CS_GGML_Q8_0 : CS_GGML_F16;
    return t == CS_F16 ? CS_GGML_F16 : t == CS_BF16 ? CS_GGML_BF16 : CS_GGML_F32;
}

static void put_general(gguf_writer *g)
{
    /* llama.cpp's numbers of what most matrices are */
    static const struct {
        uint32_t type, file_type;
    } types[] = {{CS_GGML_F32, 0}, {CS_GGML_F16, 1}, {CS_GGML_Q8_0, 7}, {CS_GGML_BF16, 32}};
    const cs_spec *s = &g->src->spec;
    uint32_t type = type_of(g, g->src->first_view[CS_ROW_EMBED], s->hidden, false);
    cs_gguf_put_str(&g->out, "general.architecture", s->family->gguf.arch, strlen(s->family->gguf.arch));
    cs_gguf_put_str(&g->out, "general.name", s->family->name, strlen(s->family->name));
    cs_gguf_put_u32(&g->out, "general.quantization_version", 2);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            cs_gguf_put_u32(&g->out, "general.file_type", types[i].file_type);
}

static void put_id(gguf_writer *g, const char *key, int32_t id)
{
    if (id >= 0)
        cs_gguf_put_u32(&g->out, key, (uint32_t)id);
}

static void put_vocab(gguf_writer *g, const cs_tokenizer *tok, const cs_ggml_vocab *v)
{
    cs_gguf_out *o = &g->out;
    cs_gguf_put_str(o, "tokenizer.ggml.model", v->model, strlen(v->model));
    if (v->pre)
        cs_gguf_put_str(o, "tokenizer.ggml.pre", v->pre, strlen(v->pre));
    cs_gguf_put_array(o, "tokenizer.ggml.tokens", CS_GGUF_STRING, (uint64_t)v->n);
    for (int32_t i = 0; i < v->n; i++)
        cs_gguf_item_str(o, v->token[i].text, v->token[i].len);
    if (!v->pre) {
        cs_gguf_put_array(o, "tokenizer.ggml.scores", CS_GGUF_F32, (uint64_t)v->n);
        for (int32_t i = 0; i < v->n; i++)
            cs_gguf_item_f32(o, v->token[i].score);
    }
    cs_gguf_put_array(o, "tokenizer.ggml.token_type", CS_GGUF_I32, (uint64_t)v->n);
    for (int32_t i = 0; i < v->n; i++)
        cs_gguf_item_i32(o, v->token[i].type);
    if (v->n_merges > 0)
        cs_gguf_put_array(o, "tokenizer.ggml.merges", CS_GGUF_STRING, v->n_merges);
    for (size_t i = 0; i < v->n_merges; i++)
        cs_gguf_item_str(o, v->merge[i].data, v->merge[i].len);
    put_id(g, "tokenizer.ggml.bos_token_id", cs_tokenizer_bos(tok));
    put_id(g, "tokenizer.ggml.eos_token_id", cs_tokenizer_eos(tok));
    put_id(g, "tokenizer.ggml.unknown_token_id", cs_tokenizer_unk(tok));
    put_id(g, "tokenizer.ggml.padding_token_id", cs_tokenizer_pad(tok));
    cs_gguf_put_bool(o, "tokenizer.ggml.add_bos_token", v->add_bos);
    cs_gguf_put_bool(o, "tokenizer.ggml.add_eos_token", v->add_eos);
    if (!v->pre)
        cs_gguf_put_bool(o, "tokenizer.ggml.add_space_prefix", v->add_space_prefix);
    const char *chat = cs_tokenizer_chat_template(tok);
    if (chat)
        cs_gguf_put_str(o, "tokenizer.chat_template", chat, strlen(chat));
}

static cs_status put_tokenizer(gguf_writer *g, cs_error *err)
{
    const char *path = g->args->tokenizer ? g->args->tokenizer : g->src->tokenizer_file ? g->src->tokenizer_file : g->src->dir;
    cs_tokenizer *tok = NULL;
    cs_ggml_vocab v;
    bool present = path != NULL;
    if (path && path == g->src->dir)
        CS_TRY(cs_tokenizer_present(path, &present, err));
    if (!present)
        return cs_fail(err, CS_E_USAGE, "a GGUF file needs a tokenizer, and the input has none; name one with --tokenizer");
    CS_TRY(cs_tokenizer_create(path, &tok, err));
    cs_status s = cs_ggml_vocab_init(&v, tok, g->src->spec.vocab_size, err);
    if (s == CS_OK && v.n != g->src->spec.vocab_size)
        s = cs_fail(err, CS_E_USAGE, "%s: %d ids, the model has %lld; use the tokenizer the model was made for", path, v.n,
                    (long long)g->src->spec.vocab_size);
    if (s == CS_OK)
        put_vocab(g, tok, &v);
    cs_ggml_vocab_release(&v);
    cs_tokenizer_destroy(tok);
    return s;
}

/* ---- tensors ---- */

static void add(gguf_writer *g, const char *name, plan_row p, int64_t rows, int64_t cols, bool vector)
{
    cs_gguf_out_add(&g->out, name, type_of(g, p.view, cols, vector), vector ? 0 : rows, vector ? rows : cols, g->n_plan);
    g->plan[g->n_plan++] = p;
}

static void add_qkv(gguf_writer *g, int64_t l, int64_t row, const char *suffix)
{
    const cs_spec *s = &g->src->spec;
    const cs_param *p = &g->src->table.row[row];
    static const char *const names[] = {[QUERY] = "attn_q", [KEY] = "attn_k", [VALUE] = "attn_v", [FUSED] = "attn_qkv"};
    int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const int64_t rows[] = {[QUERY] = q, [KEY] = kv, [VALUE] = kv, [FUSED] = q + 2 * kv};
    char name[CS_LIMIT_GGUF_NAME + 1];
    if (p->n == 0)
        return;
    for (gguf_order o = s->family->gguf.fused_qkv ? FUSED : QUERY; o <= (s->family->gguf.fused_qkv ? FUSED : VALUE); o++) {
        snprintf(name, sizeof name, "blk.%lld.%s.%s", (long long)l, names[o], suffix);
        add(g, name, (plan_row){row, g->src->first_view[row], o, false}, rows[o], p->cols, p->ndim == 1);
    }
}

static void add_views(gguf_writer *g, int64_t l, int64_t row, const char *const names[2], const char *suffix)
{
    char name[CS_LIMIT_GGUF_NAME + 1];
    const cs_param *p = &g->src->table.row[row];
    for (int i = 0; i < p->n_parts && p->n > 0; i++) {
        if (l >= 0)
            snprintf(name, sizeof name, "blk.%lld.%s.%s", (long long)l, names[i], suffix);
        else
            snprintf(name, sizeof name, "%s.%s", names[i], suffix);
        add(g, name, (plan_row){row, g->src->first_view[row] + i, AS_IS, row == CS_ROW_HEAD && g->src->spec.norm_head}, p->part[i].rows, p->cols,
            p->ndim == 1);
    }
}

static void add_tensors(gguf_writer *g)
{
    const cs_spec *s = &g->src->spec;
    bool gated = s->family->act == CS_ACT_SWIGLU;
    static const char *const one[][2] = {{"attn_norm"}, {"attn_output"}, {"ffn_norm"}, {"ffn_gate", "ffn_up"}, {"ffn_up"}, {"ffn_down"}};
    static const char *const top[][2] = {{"token_embd"}, {"token_embd_norm"}, {"output_norm"}, {"output"}};
    add_views(g, -1, CS_ROW_EMBED, top[0], "weight");
    add_views(g, -1, CS_ROW_EMBED_NORM, top[1], "weight");
    add_views(g, -1, CS_ROW_EMBED_NORM_BIAS, top[1], "bias");
    if (s->rope_scaling.rule == CS_ROPE_LLAMA3 && s->pos == CS_POS_ROPE)
        add(g, "rope_freqs.weight", (plan_row){-1, 0, AS_IS, false}, s->head_dim / 2, 1, true);
    for (int64_t l = 0; l < s->n_layers; l++) {
        int64_t at = CS_ROW_FIRST_LAYER + l * CS_ROW_PER_LAYER;
        add_views(g, l, at + CS_ROW_NORM1, one[0], "weight");
        add_views(g, l, at + CS_ROW_NORM1_BIAS, one[0], "bias");
        add_qkv(g, l, at + CS_ROW_QKV, "weight");
        add_qkv(g, l, at + CS_ROW_QKV_BIAS, "bias");
        add_views(g, l, at + CS_ROW_OUT, one[1], "weight");
        add_views(g, l, at + CS_ROW_OUT_BIAS, one[1], "bias");
        add_views(g, l, at + CS_ROW_NORM2, one[2], "weight");
        add_views(g, l, at + CS_ROW_NORM2_BIAS, one[2], "bias");
        add_views(g, l, at + CS_ROW_UP, one[gated ? 3 : 4], "weight");
        add_views(g, l, at + CS_ROW_UP_BIAS, one[gated ? 3 : 4], "bias");
        add_views(g, l, at + CS_ROW_DOWN, one[5], "weight");
        add_views(g, l, at + CS_ROW_DOWN_BIAS, one[5], "bias");
    }
    add_views(g, -1, CS_ROW_FINAL_NORM, top[2], "weight");
    add_views(g, -1, CS_ROW_FINAL_NORM_BIAS, top[2], "bias");
    add_views(g, -1, s->tied_head && s->family->gguf.output_always ? CS_ROW_EMBED : CS_ROW_HEAD, top[3], "weight");
}

/* Where row k of the tensor lies in the source. */
static cs_source_row origin(const gguf_writer *g, const plan_row *p, int64_t k)
{
    const cs_spec *s = &g->src->spec;
    int64_t D = s->head_dim, q = s->n_heads * D, kv = s->n_kv_heads * D;
    int which = (int)p->order - QUERY;
    if (p->order == AS_IS)
        return (cs_source_row){p->view, k};
    if (p->order == FUSED) {
        which = k < q ? 0 : k < q + kv ? 1 : 2;
        k -= which == 0 ? 0 : q + (which - 1) * kv;
    }
    int64_t d = k % D;
    if (which < 2 && s->family->gguf.pairs && s->pos == CS_POS_ROPE)
        d = (d & 1) * (D / 2) + d / 2;
    return cs_source_qkv_row(g->src, p->row, which, k / D, d);
}

/* One row in f32, before rounding. */
static void read_row(const gguf_writer *g, const plan_row *p, int64_t k, int64_t cols, float *out)
{
    cs_source_row from = origin(g, p, k);
    cs_source_read(g->src, from.view, from.row, 1, CS_F32, out);
    double sum = 0;
    for (int64_t i = 0; p->unit_rows && i < cols; i++)
        sum += (double)out[i] * out[i];
    for (int64_t i = 0; p->unit_rows && i < cols; i++)
        out[i] = (float)(out[i] / fmax(sqrt(sum), 1e-12));
}

static cs_status write_vector(gguf_writer *g, const plan_row *p, int64_t n, cs_error *err)
{
    if (p->row < 0)
        cs_gguf_rope_factors(&g->src->spec, g->row);
    else if (p->order == AS_IS)
        cs_source_read(g->src, p->view, 0, n, CS_F32, g->row);
    for (int64_t k = 0; k < n && p->order != AS_IS; k++)
        read_row(g, p, k, 1, g->row + k);
    return cs_writer_write(&g->w, g->row, (size_t)n * sizeof *g->row, err);
}

static cs_status write_matrix(gguf_writer *g, const plan_row *p, const cs_gguf_out_tensor *t, cs_error *err)
{
    int64_t rows = t->dim[1], cols = t->dim[0];
    uint8_t *packed = (uint8_t *)(g->row + cols);
    for (int64_t k = 0; k < rows; k++) {
        read_row(g, p, k, cols, g->row);
        if (t->type == CS_GGML_Q8_0)
            cs_q8_0_pack(g->row, cols, packed);
        else
            cs_cast(t->type == CS_GGML_F16 ? CS_F16 : t->type == CS_GGML_BF16 ? CS_BF16 : CS_F32, packed, CS_F32, g->row, cols);
        CS_TRY(cs_writer_write(&g->w, packed, t->bytes / (size_t)rows, err));
    }
    return CS_OK;
}

static cs_status write_tensor(gguf_writer *g, const cs_gguf_out_tensor *t, cs_error *err)
{
    const plan_row *p = &g->plan[t->tag];
    static const uint8_t zeros[CS_GGUF_ALIGNMENT];
    CS_ASSERT((size_t)g->w.at == t->offset);
    CS_TRY(t->ndim == 1 ? write_vector(g, p, t->dim[0], err) : write_matrix(g, p, t, err));
    cs_progress_update(&g->bar, g->w.at >> 20, NULL);
    return cs_writer_write(&g->w, zeros, (CS_GGUF_ALIGNMENT - (size_t)g->w.at % CS_GGUF_ALIGNMENT) % CS_GGUF_ALIGNMENT, err);
}

static cs_status check_known(const cs_source *src, cs_error *err)
{
    const cs_spec *s = &src->spec;
    if (s->pos == CS_POS_ALIBI && s->family->norm != CS_NORM_LAYER && s->n_layers != 40)
        cs_warn("llama.cpp takes ALiBi for a %s model of 40 layers only; this one has %lld", s->family->gguf.arch, (long long)s->n_layers);
    if (s->window > 0)
        cs_warn("llama.cpp ignores the sliding window of %lld positions in this architecture; texts up to that length give the same",
                (long long)s->window);
    if (s->bias_mlp && s->family->act == CS_ACT_SWIGLU)
        cs_note("biases of the feed-forward are written as blk.N.ffn_*.bias");
    return s->head_dim * s->n_heads > 0 ? CS_OK : cs_fail(err, CS_E_FORMAT, "no heads");
}

static cs_status write_file(gguf_writer *g, cs_error *err)
{
    const cs_spec *s = &g->src->spec;
    int64_t widest = s->hidden > s->ffn ? s->hidden : s->ffn, qkv = (s->n_heads + 2 * s->n_kv_heads) * s->head_dim;
    size_t n = (size_t)(cs_param_n_views(&g->src->table) + 3 * s->n_layers + 8);
    widest = widest > qkv ? widest : qkv;
    g->plan = cs_calloc(n, sizeof *g->plan);
    g->row = cs_calloc((size_t)(2 * widest + 64), sizeof *g->row);
    if (!g->plan || !g->row)
        return cs_fail_nomem(err, n * sizeof *g->plan, "the list of tensors");
    put_general(g);
    put_sizes(g);
    CS_TRY(put_tokenizer(g, err));
    add_tensors(g);
    CS_TRY(cs_gguf_out_layout(&g->out, err));
    CS_TRY(cs_writer_init_atomic(&g->w, g->args->output, err));
    CS_TRY(cs_writer_write(&g->w, g->out.header.data, g->out.header.len, err));
    cs_progress_init(&g->bar, "convert", "MiB", (int64_t)(g->out.size >> 20));
    for (size_t i = 0; i < g->out.n; i++)
        CS_TRY(write_tensor(g, &g->out.tensor[i], err));
    cs_progress_finish(&g->bar, (int64_t)(g->out.size >> 20));
    return cs_writer_commit(&g->w, err);
}

cs_status cs_export_gguf(const cs_source *src, const cs_export_args *args, size_t *bytes_out, cs_error *err)
{
    gguf_writer g = {.src = src, .args = args, .w.fd = -1};
    CS_TRY(check_known(src, err));
    cs_status s = write_file(&g, err);
    if (s == CS_OK && bytes_out)
        *bytes_out = g.out.size - g.out.header.len;
    if (s != CS_OK)
        cs_writer_abort(&g.w);
    cs_gguf_out_release(&g.out);
    cs_free(g.plan);
    cs_free(g.row);
    return s;
}
