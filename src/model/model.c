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

static void make_block(cs_model *m, int64_t l)
{
    const cs_spec *s = &m->spec;
    const cs_param_table *t = &m->table;
    cs_block *b = &m->block[l];
#define ROW(name) cs_param_layer(t, l, CS_ROW_##name)
    b->norm1 = (cs_norm){.w = store_of(t, ROW(NORM1)), .eps = s->norm_eps};
    b->norm2 = (cs_norm){.w = store_of(t, ROW(NORM2)), .eps = s->norm_eps};
    b->qkv = make_linear(t, ROW(QKV), ROW(QKV_BIAS));
    b->out = make_linear(t, ROW(OUT), ROW(OUT_BIAS));
    b->attention = (cs_attention){s->n_heads, s->n_kv_heads, s->head_dim, l};
    b->mlp.gate_up = make_linear(t, ROW(GATE_UP), ROW(GATE_UP_BIAS));
    b->mlp.down = make_linear(t, ROW(DOWN), ROW(DOWN_BIAS));
    b->mlp.ffn = s->ffn;
    b->rope = &m->rope;
#undef ROW
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
    CS_TRY(cs_rope_init(&m->rope, opt->n_pos, s->head_dim, s->rope_theta, m->prec, &m->perm, err));
    m->block = cs_arena_calloc(&m->perm, (size_t)s->n_layers, sizeof *m->block);
    m->saved = cs_arena_calloc(&m->perm, (size_t)s->n_layers, sizeof *m->saved);
    if (!m->block || !m->saved)
        return cs_fail_nomem(err, (size_t)s->n_layers * sizeof *m->block, "the layers");
    m->embed.w = store_of(t, &t->row[CS_ROW_EMBED]);
    for (int64_t l = 0; l < s->n_layers; l++)
        make_block(m, l);
    m->final_norm = (cs_norm){.w = store_of(t, &t->row[CS_ROW_FINAL_NORM]), .eps = s->norm_eps};
    m->loss.head = make_linear(t, &t->row[s->tied_head ? CS_ROW_EMBED : CS_ROW_HEAD], NULL);
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

void cs_model_destroy(cs_model *m)
{
    if (!m)
        return;
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

void cs_model_bind_grad(cs_model *m, void *grad)
{
    cs_param_table *t = &m->table;
    t->grad = grad;
    m->embed.dw = grad_of(t, &t->row[CS_ROW_EMBED]);
    m->final_norm.dw = grad_of(t, &t->row[CS_ROW_FINAL_NORM]);
    bind_linear(t, &m->loss.head, &t->row[m->spec.tied_head ? CS_ROW_EMBED : CS_ROW_HEAD], NULL);
    for (int64_t l = 0; l < m->spec.n_layers; l++) {
        cs_block *b = &m->block[l];
#define ROW(name) cs_param_layer(t, l, CS_ROW_##name)
        b->norm1.dw = grad_of(t, ROW(NORM1));
        b->norm2.dw = grad_of(t, ROW(NORM2));
        bind_linear(t, &b->qkv, ROW(QKV), ROW(QKV_BIAS));
        bind_linear(t, &b->out, ROW(OUT), ROW(OUT_BIAS));
        bind_linear(t, &b->mlp.gate_up, ROW(GATE_UP), ROW(GATE_UP_BIAS));
        bind_linear(t, &b->mlp.down, ROW(DOWN), ROW(DOWN_BIAS));
#undef ROW
    }
}

static cs_ctx make_ctx(cs_model *m, const cs_batch *batch, const cs_kv *kv, bool keep)
{
    return (cs_ctx){.k = m->k, .prec = m->prec, .mesh = m->mesh, .batch = batch, .kv = kv, .scratch = &m->scratch, .stash = keep ? &m->stash : NULL};
}

/* Embedding and all blocks. Without stash two buffers take turns; with it every layer's output stays for backward. */
static cs_tensor run_blocks(cs_model *m, const cs_ctx *ctx)
{
    int64_t T = ctx->batch->rows, H = m->spec.hidden;
    cs_tensor x = cs_ctx_tensor(ctx, cs_ctx_keep(ctx), T, H), other = {0};
    if (!ctx->stash)
        other = cs_ctx_tensor(ctx, ctx->scratch, T, H);
    cs_embed_forward(&m->embed, ctx, x);
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
    double sum = cs_loss_forward(&m->loss, &ctx, n, scale, &loss_saved);
    double turn = cs_clock_now();

    cs_tensor dx = cs_ctx_tensor(&ctx, &m->scratch, batch->rows, m->spec.hidden);
    cs_loss_backward(&m->loss, &ctx, &loss_saved, dx);
    cs_norm_backward(&m->final_norm, &ctx, dx, &norm_saved, dx);
    for (int64_t l = m->spec.n_layers - 1; l >= 0; l--)
        cs_block_backward(&m->block[l], &ctx, dx, &m->saved[l], dx);
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
    if (!finite_row(m, &t->row[CS_ROW_FINAL_NORM]) || !finite_row(m, &t->row[CS_ROW_HEAD]))
        return m->spec.n_layers;
    return finite_row(m, &t->row[CS_ROW_EMBED]) ? -1 : -2;
}
