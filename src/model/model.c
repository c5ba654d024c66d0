/* Assembly of the model from the parameter table. */
#include "model/model.h"

#include <string.h>

static const void *store_of(const cs_param_table *t, const cs_param *p)
{
    return p->n > 0 ? cs_flat_at(t->store, t->prec.store, p->offset) : NULL;
}

static cs_linear make_linear(const cs_param_table *t, cs_param *w, const cs_param *bias)
{
    return (cs_linear){.cut = w->cut, .w = &w->weight, .bias = bias ? store_of(t, bias) : NULL};
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
    int64_t tp = t->place.tp, heads = s->n_heads / tp;
#define ROW(name) cs_param_layer(t, l, CS_ROW_##name)
    b->norm1 = make_norm(m, ROW(NORM1));
    b->norm2 = make_norm(m, ROW(NORM2));
    b->qkv = make_linear(t, ROW(QKV), ROW(QKV_BIAS));
    b->out = make_linear(t, ROW(OUT), ROW(OUT_BIAS));
    b->attention = (cs_attention){.n_heads = heads, .n_kv_heads = s->n_kv_heads / tp, .head_dim = s->head_dim, .layer = l,
                                  .alibi = m->alibi ? m->alibi + t->place.tp_rank * heads : NULL, .window = l >= s->window_from ? s->window : 0};
    b->mlp = (cs_mlp){.act = s->family->act, .up = make_linear(t, ROW(UP), ROW(UP_BIAS)), .down = make_linear(t, ROW(DOWN), ROW(DOWN_BIAS)),
                      .ffn = ROW(DOWN)->cols};
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
    m->sequence_parallel = opt->sequence_parallel && m->mesh->size[CS_AXIS_TP] > 1;
    m->recompute_group = opt->recompute_group > 0 ? opt->recompute_group : 1;
    CS_ASSERT(!opt->place || (opt->place->tp == m->mesh->size[CS_AXIS_TP] && opt->place->n_stages == m->mesh->size[CS_AXIS_PP]));
    CS_ASSERT(opt->place || (m->mesh->size[CS_AXIS_TP] == 1 && m->mesh->size[CS_AXIS_PP] == 1));
    return cs_param_table_init(&m->table, &m->spec, m->prec, opt->decay_norms, opt->place, &m->perm, err);
}

static cs_status add_stashes(cs_model *m, int64_t n, cs_error *err)
{
    int64_t most = 0;
    const cs_place *p = &m->table.place;
    for (int64_t c = 0; c < p->n_chunks; c++)
        most = p->chunk[c].hi - p->chunk[c].lo > most ? p->chunk[c].hi - p->chunk[c].lo : most;
    if (n <= m->n_stashes)
        return CS_OK;
    cs_stash *more = cs_realloc_array(m->stash, (size_t)n, sizeof *more);
    if (!more)
        return cs_fail_nomem(err, (size_t)n * sizeof *more, "the layers");
    m->stash = more;
    for (; m->n_stashes < n; m->n_stashes++) {
        cs_stash *s = &more[m->n_stashes];
        *s = (cs_stash){.input = cs_arena_calloc(&m->perm, (size_t)most + 1, sizeof *s->input),
                        .block = cs_arena_calloc(&m->perm, (size_t)most + 1, sizeof *s->block)};
        if (!s->input || !s->block)
            return cs_fail_nomem(err, (size_t)most * sizeof *s->block, "the layers");
        cs_arena_init(&s->arena, "saved activations");
    }
    return CS_OK;
}

static cs_status reserve(cs_arena *arena, int64_t bytes, cs_error *err)
{
    return cs_arena_reserve(arena, (size_t)bytes) ? CS_OK : cs_fail_nomem(err, (size_t)bytes, arena->name);
}

cs_status cs_model_make_room(cs_model *m, int64_t n, cs_model_room room, cs_error *err)
{
    CS_TRY(add_stashes(m, n, err));
    for (int64_t i = 0; i < m->n_stashes; i++)
        CS_TRY(reserve(&m->stash[i].arena, room.stash, err));
    CS_TRY(reserve(&m->refill, room.refill, err));
    return reserve(&m->scratch, room.scratch, err);
}

void cs_model_measure(cs_model *m, cs_part_times *times)
{
    for (int64_t l = 0; l < m->spec.n_layers; l++)
        m->block[l].times = times;
}

static void empty(cs_arena *arena)
{
    const char *name = arena->name;
    CS_ASSERT(arena->used == 0);
    cs_arena_release(arena);
    cs_arena_init(arena, name);
}

void cs_model_set_drops(cs_model *m, const unsigned char *drop)
{
    for (int64_t l = 0; l < m->spec.n_layers; l++) {
        CS_ASSERT(drop[l] <= CS_DROP_PARTS || drop[l] == CS_DROP_LAYER);
        m->block[l].drop = drop[l];
    }
    for (int64_t i = 0; i < m->n_stashes; i++)
        empty(&m->stash[i].arena);
    empty(&m->refill);
    empty(&m->scratch);
}

static cs_status make_head(cs_model *m, const cs_model_options *opt, cs_error *err)
{
    int64_t tp = m->table.place.tp;
    cs_param *head = &m->table.row[m->spec.tied_head ? CS_ROW_EMBED : CS_ROW_HEAD];
    m->final_norm = make_norm(m, &m->table.row[CS_ROW_FINAL_NORM]);
    m->loss = (cs_loss){.head = make_linear(&m->table, head, NULL), .first = head->part[0].lo, .most = (head->part[0].rows + tp - 1) / tp};
    m->loss.head.cut = CS_CUT_NONE; /* the loss module does the communication of its input, once for all chunks of rows */
    if (!m->spec.norm_head)
        return CS_OK;
    CS_TRY(cs_normhead_init(&m->norm_head, m->loss.head.w, opt->training, m->prec, &m->perm, err));
    m->loss.head.w = &m->norm_head.unit;
    return CS_OK;
}

static cs_status build(cs_model *m, const cs_model_options *opt, cs_error *err)
{
    const cs_spec *s = &m->spec;
    cs_param_table *t = &m->table;
    CS_TRY(cs_param_table_alloc(t, opt->training, opt->sparse && cs_comm_size(m->mesh->group[CS_AXIS_DP]) > 1, m->mesh->group[CS_AXIS_DP], err));
    CS_TRY(make_positions(m, opt->n_pos, err));
    m->block = cs_arena_calloc(&m->perm, (size_t)s->n_layers, sizeof *m->block);
    if (!m->block)
        return cs_fail_nomem(err, (size_t)s->n_layers * sizeof *m->block, "the layers");
    CS_TRY(add_stashes(m, 1, err));
    const cs_param *embed = &t->row[CS_ROW_EMBED];
    m->embed = (cs_embed){.w = store_of(t, embed), .rows = embed->rows, .first = embed->part[0].lo};
    for (int64_t c = 0; c < t->place.n_chunks; c++)
        for (int64_t l = t->place.chunk[c].lo; l < t->place.chunk[c].hi; l++)
            make_block(m, l);
    if (opt->drop)
        cs_model_set_drops(m, opt->drop);
    m->embed_norm = make_norm(m, &t->row[CS_ROW_EMBED_NORM]);
    return t->place.stage == t->place.n_stages - 1 ? make_head(m, opt, err) : CS_OK;
}

cs_status cs_model_create(const cs_spec *spec, const cs_model_options *opt, cs_model **out, cs_error *err)
{
    cs_comm *world = opt->mesh ? opt->mesh->world : cs_comm_self();
    cs_model *m = cs_calloc(1, sizeof *m);
    *out = NULL;
    CS_TRY(cs_agree(world, m ? CS_OK : cs_fail_nomem(err, sizeof *m, "the model"), err));
    m->spec = *spec;
    m->prec = cs_precision_of(opt->kernels.store);
    cs_arena_init(&m->perm, "model tables");
    cs_arena_init(&m->scratch, "temporary activations");
    cs_arena_init(&m->refill, "activations computed again");
    cs_status status = cs_agree(world, plan(m, opt, err), err);
    if (status == CS_OK)
        status = cs_agree(world, build(m, opt, err), err);
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
    for (int64_t i = 0; i < m->n_stashes; i++)
        cs_arena_release(&m->stash[i].arena);
    cs_free(m->stash);
    cs_arena_release(&m->scratch);
    cs_arena_release(&m->refill);
    cs_arena_release(&m->perm);
    cs_free(m);
}

static void *grad_of(const cs_param_table *t, const cs_param *p)
{
    return p->n > 0 ? cs_flat_at(t->grad, t->prec.acc, p->offset) : NULL;
}

static void bind_linear(const cs_param_table *t, cs_linear *lin, const cs_param *w, const cs_param *bias)
{
    lin->dw = lin->w ? grad_of(t, w) : NULL;
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
        if (!b->qkv.w)
            continue;
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
