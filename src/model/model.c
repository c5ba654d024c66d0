/* Assembly of the model from the parameter table, and its forward and backward passes. */
#include "model/model.h"

#include "base/clock.h"

#include <string.h>

static const void *store_of(const cs_param_table *t, const cs_param *p)
{
    return p->n > 0 ? cs_flat_at(t->store, t->prec.store, p->offset) : NULL;
}

static cs_linear make_linear(const cs_param_table *t, cs_param *w, const cs_param *bias)
{
    return (cs_linear){.w = &w->weight, .bias = bias ? store_of(t, bias) : NULL};
}

/* A norm's bias is the row behind its weight. */
static cs_norm make_norm(const cs_model *m, const cs_param *w)
{
    return (cs_norm){.rule = m->spec.family->norm, .w = store_of(&m->table, w), .b = store_of(&m->table, w + 1), .eps = m->spec.norm_eps};
}

static void make_block(cs_model *m, int64_t l)
{
    const cs_spec *s = &m->spec;
    const cs_param_table *t = &m->table;
    cs_block *b = &m->block[l];
#define ROW(name) cs_param_layer(t, l, CS_ROW_##name)
    b->norm1 = make_norm(m, ROW(NORM1));
    b->norm2 = make_norm(m, ROW(NORM2));
    b->qkv = make_linear(t, ROW(QKV), ROW(QKV_BIAS));
    b->out = make_linear(t, ROW(OUT), ROW(OUT_BIAS));
    b->attention = (cs_attention){.n_heads = s->n_heads, .n_kv_heads = s->n_kv_heads, .head_dim = s->head_dim, .layer = l, .alibi = m->alibi,
                                  .window = l >= s->window_from ? s->window : 0};
    b->mlp = (cs_mlp){.act = s->family->act, .up = make_linear(t, ROW(UP), ROW(UP_BIAS)), .down = make_linear(t, ROW(DOWN), ROW(DOWN_BIAS)),
                      .ffn = s->ffn};
    b->rope = s->pos == CS_POS_ROPE ? &m->rope : NULL;
#undef ROW
}

static cs_status make_positions(cs_model *m, int64_t n_pos, cs_error *err)
{
    const cs_spec *s = &m->spec;
    if (s->pos == CS_POS_ROPE)
        return cs_rope_init(&m->rope, n_pos, s->head_dim, s->rope_theta, &s->rope_scaling, m->prec, &m->perm, err);
    m->alibi = cs_arena_calloc(&m->perm, (size_t)s->n_heads, sizeof *m->alibi);
    if (!m->alibi)
        return cs_fail_nomem(err, (size_t)s->n_heads * sizeof *m->alibi, "slopes");
    cs_alibi_slopes(s->n_heads, m->alibi);
    return CS_OK;
}

/* What may fail on one rank alone; the allocation of the weights behind it is collective. */
static cs_status plan(cs_model *m, const cs_model_options *opt, cs_error *err)
{
    CS_TRY(cs_kernels_select(&opt->kernels, &m->k, &m->gemm, err));
    m->mesh = opt->mesh;
    if (!m->mesh) {
        CS_TRY(cs_mesh_init(&m->alone, cs_comm_self(), 1, 1, 1, err));
        m->mesh = &m->alone;
    }
    return cs_param_table_init(&m->table, &m->spec, m->prec, opt->decay_norms, &m->perm, err);
}

static cs_status build(cs_model *m, const cs_model_options *opt, cs_error *err)
{
    const cs_spec *s = &m->spec;
    cs_param_table *t = &m->table;
    CS_TRY(cs_param_table_alloc(t, opt->training, m->mesh->group[CS_AXIS_DP], err));
    CS_TRY(make_positions(m, opt->n_pos, err));
    m->block = cs_arena_calloc(&m->perm, (size_t)s->n_layers, sizeof *m->block);
    m->saved = cs_arena_calloc(&m->perm, (size_t)s->n_layers, sizeof *m->saved);
    if (!m->block || !m->saved)
        return cs_fail_nomem(err, (size_t)s->n_layers * sizeof *m->block, "the layers");
    m->embed = (cs_embed){.w = store_of(t, &t->row[CS_ROW_EMBED]), .rows = s->vocab_size};
    for (int64_t l = 0; l < s->n_layers; l++)
        make_block(m, l);
    m->embed_norm = make_norm(m, &t->row[CS_ROW_EMBED_NORM]);
    m->final_norm = make_norm(m, &t->row[CS_ROW_FINAL_NORM]);
    m->loss = (cs_loss){.head = make_linear(t, &t->row[s->tied_head ? CS_ROW_EMBED : CS_ROW_HEAD], NULL), .most = s->vocab_size};
    if (s->norm_head) {
        CS_TRY(cs_normhead_init(&m->norm_head, m->loss.head.w, opt->training, m->prec, &m->perm, err));
        m->loss.head.w = &m->norm_head.unit;
    }
    return CS_OK;
}

cs_status cs_model_create(const cs_spec *spec, const cs_model_options *opt, cs_model **out, cs_error *err)
{
    cs_comm *dp = opt->mesh ? opt->mesh->group[CS_AXIS_DP] : cs_comm_self();
    cs_model *m = cs_calloc(1, sizeof *m);
    *out = NULL;
    CS_TRY(cs_agree(dp, m ? CS_OK : cs_fail_nomem(err, sizeof *m, "the model"), err));
    m->spec = *spec;
    m->prec = cs_precision_of(opt->kernels.store);
    cs_arena_init(&m->perm, "model tables");
    cs_arena_init(&m->scratch, "temporary activations");
    cs_arena_init(&m->stash, "saved activations");
    cs_status status = cs_agree(dp, plan(m, opt, err), err);
    if (status == CS_OK)
        status = build(m, opt, err);
    if (status != CS_OK) {
        cs_model_destroy(m);
        return status;
    }
    *out = m;
    return CS_OK;
}

void cs_model_seal(cs_model *m)
{
    cs_param_table *t = &m->table;
    CS_ASSERT(!t->store_shared && !t->grad);
    for (int64_t i = 0; i < t->n_rows && m->k->weight_pack; i++) {
        cs_param *p = &t->row[i];
        if (!cs_param_for_products_only(&m->spec, t, p))
            continue;
        m->k->weight_pack(&p->weight);
        cs_mem_discard(t->store, cs_flat_at(t->store, t->prec.store, p->offset), (size_t)p->n * cs_dtype_size(t->prec.store));
        p->weight.data = NULL;
    }
}

void cs_model_destroy(cs_model *m)
{
    if (!m)
        return;
    if (m->norm_head.raw)
        m->k->weight_release(&m->norm_head.unit);
    if (m->table.row)
        cs_param_table_release(&m->table, m->k);
    cs_mesh_release(&m->alone);
    cs_arena_release(&m->stash);
    cs_arena_release(&m->scratch);
    cs_arena_release(&m->perm);
    cs_free(m);
}

static void *grad_of(const cs_param_table *t, const cs_param *p)
{
    return p->n > 0 ? cs_flat_at(t->grad, t->prec.acc, p->offset) : NULL;
}

static void bind_linear(const cs_param_table *t, cs_linear *lin, const cs_param *w, const cs_param *bias)
{
    lin->dw = grad_of(t, w);
    lin->dbias = bias ? grad_of(t, bias) : NULL;
}

static void bind_norm(const cs_param_table *t, cs_norm *norm, const cs_param *w)
{
    norm->dw = grad_of(t, w);
    norm->db = grad_of(t, w + 1);
}

void cs_model_bind_grad(cs_model *m, void *grad)
{
    cs_param_table *t = &m->table;
    t->grad = grad;
    m->embed.dw = grad_of(t, &t->row[CS_ROW_EMBED]);
    bind_norm(t, &m->embed_norm, &t->row[CS_ROW_EMBED_NORM]);
    bind_norm(t, &m->final_norm, &t->row[CS_ROW_FINAL_NORM]);
    bind_linear(t, &m->loss.head, &t->row[m->spec.tied_head ? CS_ROW_EMBED : CS_ROW_HEAD], NULL);
    if (m->norm_head.raw) {
        m->norm_head.draw = m->loss.head.dw;
        m->loss.head.dw = m->norm_head.dunit;
    }
    for (int64_t l = 0; l < m->spec.n_layers; l++) {
        cs_block *b = &m->block[l];
#define ROW(name) cs_param_layer(t, l, CS_ROW_##name)
        bind_norm(t, &b->norm1, ROW(NORM1));
        bind_norm(t, &b->norm2, ROW(NORM2));
        bind_linear(t, &b->qkv, ROW(QKV), ROW(QKV_BIAS));
        bind_linear(t, &b->out, ROW(OUT), ROW(OUT_BIAS));
        bind_linear(t, &b->mlp.up, ROW(UP), ROW(UP_BIAS));
        bind_linear(t, &b->mlp.down, ROW(DOWN), ROW(DOWN_BIAS));
#undef ROW
    }
}

static cs_ctx make_ctx(cs_model *m, const cs_batch *batch, const cs_kv *kv, bool keep)
{
    return (cs_ctx){.k = m->k, .prec = m->prec, .mesh = m->mesh, .batch = batch, .kv = kv, .scratch = &m->scratch, .stash = keep ? &m->stash : NULL};
}

static void update_head(cs_model *m)
{
    if (m->norm_head.raw)
        cs_normhead_forward(&m->norm_head, m->k);
}

/* Embedding and all blocks. Without stash two buffers take turns; with it every layer's output stays for backward. */
static cs_tensor run_blocks(cs_model *m, const cs_ctx *ctx)
{
    int64_t T = ctx->batch->rows, H = m->spec.hidden;
    cs_tensor x = cs_ctx_tensor(ctx, cs_ctx_keep(ctx), T, H), other = {0};
    if (!ctx->stash)
        other = cs_ctx_tensor(ctx, ctx->scratch, T, H);
    cs_embed_forward(&m->embed, ctx, x);
    if (m->embed_norm.w) {
        cs_tensor normed = cs_ctx_tensor(ctx, cs_ctx_keep(ctx), T, H);
        cs_norm_forward(&m->embed_norm, ctx, x, normed, ctx->stash ? &m->embed_norm_saved : NULL);
        x = normed;
    }
    for (int64_t l = 0; l < m->spec.n_layers; l++) {
        cs_tensor y = ctx->stash ? cs_ctx_tensor(ctx, ctx->stash, T, H) : other;
        cs_block_forward(&m->block[l], ctx, x, y, ctx->stash ? &m->saved[l] : NULL);
        other = x;
        x = y;
    }
    return x;
}

double cs_model_loss(cs_model *m, const cs_batch *batch)
{
    cs_ctx ctx = make_ctx(m, batch, NULL, false);
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    cs_tensor x = run_blocks(m, &ctx), n = cs_ctx_tensor(&ctx, &m->scratch, batch->rows, m->spec.hidden);
    cs_norm_forward(&m->final_norm, &ctx, x, n, NULL);
    update_head(m);
    double sum = cs_loss_forward(&m->loss, &ctx, n, 0, NULL);
    cs_arena_restore(&m->scratch, mark);
    return sum;
}

double cs_model_loss_backward(cs_model *m, const cs_batch *batch, double scale)
{
    cs_ctx ctx = make_ctx(m, batch, NULL, true);
    cs_arena_mark scratch = cs_arena_save(&m->scratch), stash = cs_arena_save(&m->stash);
    cs_norm_saved norm_saved;
    cs_loss_saved loss_saved;
    double start = cs_clock_now();
    CS_ASSERT(m->table.grad);

    cs_tensor x = run_blocks(m, &ctx), n = cs_ctx_tensor(&ctx, &m->stash, batch->rows, m->spec.hidden);
    cs_norm_forward(&m->final_norm, &ctx, x, n, &norm_saved);
    update_head(m);
    double sum = cs_loss_forward(&m->loss, &ctx, n, scale, &loss_saved);
    if (m->norm_head.raw)
        cs_normhead_backward(&m->norm_head, m->k);
    double turn = cs_clock_now();

    cs_tensor dx = cs_ctx_tensor(&ctx, &m->scratch, batch->rows, m->spec.hidden);
    cs_loss_backward(&m->loss, &ctx, &loss_saved, dx);
    cs_norm_backward(&m->final_norm, &ctx, dx, &norm_saved, dx);
    for (int64_t l = m->spec.n_layers - 1; l >= 0; l--)
        cs_block_backward(&m->block[l], &ctx, dx, &m->saved[l], dx);
    if (m->embed_norm.w)
        cs_norm_backward(&m->embed_norm, &ctx, dx, &m->embed_norm_saved, dx);
    cs_embed_backward(&m->embed, &ctx, dx);
    m->forward_s += turn - start;
    m->backward_s += cs_clock_now() - turn;

    cs_arena_restore(&m->stash, stash);
    cs_arena_restore(&m->scratch, scratch);
    return sum;
}

void cs_model_logits(cs_model *m, const cs_batch *batch, const cs_kv *kv, const int64_t *rows, int64_t n_rows, void *logits)
{
    cs_ctx ctx = make_ctx(m, batch, kv, false);
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    cs_tensor x = run_blocks(m, &ctx);
    if (!rows)
        n_rows = batch->rows;
    cs_tensor picked = cs_ctx_tensor(&ctx, &m->scratch, n_rows, m->spec.hidden), n = cs_ctx_tensor(&ctx, &m->scratch, n_rows, m->spec.hidden);
    size_t row_bytes = (size_t)m->spec.hidden * cs_dtype_size(m->prec.store);
    for (int64_t i = 0; i < n_rows; i++)
        memcpy(cs_tensor_rows(picked, i, 1).data, cs_tensor_rows(x, rows ? rows[i] : i, 1).data, row_bytes);
    cs_norm_forward(&m->final_norm, &ctx, picked, n, NULL);
    update_head(m);
    cs_loss_logits(&m->loss, &ctx, n, logits);
    cs_arena_restore(&m->scratch, mark);
}

static bool finite_row(const cs_model *m, const cs_param *p)
{
    return p->n == 0 || m->k->acc_finite(p->n, grad_of(&m->table, p));
}

int64_t cs_model_bad_layer(const cs_model *m)
{
    const cs_param_table *t = &m->table;
    for (int64_t l = 0; l < m->spec.n_layers; l++)
        for (int r = 0; r < CS_ROW_PER_LAYER; r++)
            if (!finite_row(m, cs_param_layer(t, l, (cs_layer_row)r)))
                return l;
    for (int r = CS_ROW_FINAL_NORM; r <= CS_ROW_HEAD; r++)
        if (!finite_row(m, &t->row[r]))
            return m->spec.n_layers;
    for (int r = CS_ROW_EMBED; r <= CS_ROW_EMBED_NORM_BIAS; r++)
        if (!finite_row(m, &t->row[r]))
            return -2;
    return -1;
}
