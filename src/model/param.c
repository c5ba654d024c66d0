/* The parameter table: layout, names, initial values, views. */
#include "model/param.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "fmt/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct builder {
    cs_param_table *t;
    const cs_spec *spec;
    cs_arena *arena;
    bool decay_norms, failed;
} builder;

/* "model.layers.%.mlp.up_proj" + 3 + "weight" -> "model.layers.3.mlp.up_proj.weight" */
static const char *tensor_name(builder *b, cs_part part, int64_t layer, const char *suffix)
{
    const char *pattern = b->spec->family->tensor[part], *mark = strchr(pattern, '%');
    char *name = mark ? cs_arena_printf(b->arena, "%.*s%lld%s.%s", (int)(mark - pattern), pattern, (long long)layer, mark + 1, suffix)
                      : cs_arena_printf(b->arena, "%s.%s", pattern, suffix);
    b->failed |= !name;
    return name ? name : "";
}

typedef struct part_size {
    cs_part part;
    int64_t rows;
} part_size;

/* The limits of a spec keep every count of elements in an int64_t: a layer has at most 7 matrices of DIM x DIM, the ends have 2. */
_Static_assert((INT64_MAX / CS_LIMIT_DIM / CS_LIMIT_DIM - 2) / 7 >= CS_LIMIT_LAYERS, "the number of parameters could overflow");

/* Fills row `index`; `present` false leaves an empty row. cols == 0 marks a 1-D parameter. */
static void add_row(builder *b, int64_t index, bool present, int64_t layer, const part_size *parts, int n_parts, int64_t cols, cs_init_kind init,
                    double std, bool decay)
{
    cs_param_table *t = b->t;
    cs_param *p = &t->row[index];
    bool vector = cols == 0;
    *p = (cs_param){
        .name = "", .ndim = vector ? 1 : 2, .cols = vector ? 1 : cols, .init = init, .init_std = std, .decay = decay, .offset = t->n_elements};
    if (!present)
        return;
    p->n_parts = n_parts;
    for (int i = 0; i < n_parts; i++) {
        p->part[i] = (cs_param_part){tensor_name(b, parts[i].part, layer, vector && init == CS_INIT_ZEROS ? "bias" : "weight"), parts[i].rows};
        p->rows += parts[i].rows;
    }
    p->name = p->part[0].name;
    p->n = p->rows * p->cols;
    t->n_views += n_parts;
    t->n_elements += (p->n + CS_PARAM_ALIGN - 1) / CS_PARAM_ALIGN * CS_PARAM_ALIGN;
    p->weight = (cs_weight){.dtype = t->prec.store, .rows = p->rows, .cols = p->cols, .ld = p->cols, .version = 1};
}

static void add_norm(builder *b, int64_t index, int64_t layer, cs_part part, bool present)
{
    const part_size size[] = {{part, b->spec->hidden}};
    add_row(b, index, present, layer, size, 1, 0, CS_INIT_ONES, 0, b->decay_norms);
    add_row(b, index + 1, present && b->spec->family->norm == CS_NORM_LAYER, layer, size, 1, 0, CS_INIT_ZEROS, 0, false);
}

static void add_qkv(builder *b, int64_t at, int64_t l)
{
    const cs_spec *s = b->spec;
    int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const part_size apart[] = {{CS_PART_Q, q}, {CS_PART_K, kv}, {CS_PART_V, kv}}, fused[] = {{CS_PART_QKV, q + 2 * kv}};
    bool one = s->family->qkv != CS_QKV_SEPARATE;
    add_row(b, at + CS_ROW_QKV, true, l, one ? fused : apart, one ? 1 : 3, s->hidden, CS_INIT_NORMAL, s->init_std, true);
    add_row(b, at + CS_ROW_QKV_BIAS, s->bias_qkv, l, one ? fused : apart, one ? 1 : 3, 0, CS_INIT_ZEROS, 0, false);
    if (s->family->qkv == CS_QKV_BY_HEAD)
        for (int k = CS_ROW_QKV; k <= CS_ROW_QKV_BIAS; k++) {
            b->t->row[at + k].group = s->n_heads / s->n_kv_heads;
            b->t->row[at + k].head_rows = s->head_dim;
        }
}

static void add_layer(builder *b, int64_t l)
{
    const cs_spec *s = b->spec;
    int64_t at = CS_ROW_FIRST_LAYER + l * CS_ROW_PER_LAYER, q = s->n_heads * s->head_dim;
    double std = s->init_std, out_std = s->init_std / sqrt(2.0 * (double)s->n_layers);
    bool gated = s->family->act == CS_ACT_SWIGLU;
    const part_size out[] = {{CS_PART_O, s->hidden}}, gate_up[] = {{CS_PART_GATE, s->ffn}, {CS_PART_UP, s->ffn}},
                    down[] = {{CS_PART_DOWN, s->hidden}};
    const part_size *up = gated ? gate_up : gate_up + 1;
    add_norm(b, at + CS_ROW_NORM1, l, CS_PART_NORM1, true);
    add_qkv(b, at, l);
    add_row(b, at + CS_ROW_OUT, true, l, out, 1, q, CS_INIT_NORMAL, out_std, true);
    add_row(b, at + CS_ROW_OUT_BIAS, s->bias_out, l, out, 1, 0, CS_INIT_ZEROS, 0, false);
    add_norm(b, at + CS_ROW_NORM2, l, CS_PART_NORM2, true);
    add_row(b, at + CS_ROW_UP, true, l, up, gated ? 2 : 1, s->hidden, CS_INIT_NORMAL, std, true);
    add_row(b, at + CS_ROW_UP_BIAS, s->bias_mlp, l, up, gated ? 2 : 1, 0, CS_INIT_ZEROS, 0, false);
    add_row(b, at + CS_ROW_DOWN, true, l, down, 1, s->ffn, CS_INIT_NORMAL, out_std, true);
    add_row(b, at + CS_ROW_DOWN_BIAS, s->bias_mlp, l, down, 1, 0, CS_INIT_ZEROS, 0, false);
}

cs_status cs_param_table_init(cs_param_table *t, const cs_spec *spec, cs_precision prec, bool decay_norms, cs_arena *arena, cs_error *err)
{
    int64_t n_rows = CS_ROW_FIRST_LAYER + spec->n_layers * CS_ROW_PER_LAYER;
    *t = (cs_param_table){.n_rows = n_rows, .prec = prec};
    builder b = {t, spec, arena, decay_norms, false};
    const part_size embed[] = {{CS_PART_EMBED, spec->vocab_size}}, head[] = {{CS_PART_HEAD, spec->vocab_size}};
    t->row = cs_arena_calloc(arena, (size_t)n_rows, sizeof *t->row);
    if (!t->row)
        return cs_fail_nomem(err, (size_t)n_rows * sizeof *t->row, "the parameter table");
    add_row(&b, CS_ROW_EMBED, true, 0, embed, 1, spec->hidden, CS_INIT_NORMAL, spec->init_std, true);
    add_norm(&b, CS_ROW_EMBED_NORM, 0, CS_PART_EMBED_NORM, spec->family->embed_norm);
    for (int64_t l = 0; l < spec->n_layers; l++)
        add_layer(&b, l);
    add_norm(&b, CS_ROW_FINAL_NORM, 0, CS_PART_FINAL_NORM, true);
    add_row(&b, CS_ROW_HEAD, !spec->tied_head, 0, head, 1, spec->hidden, CS_INIT_NORMAL, spec->init_std, true);
    return b.failed ? cs_fail_nomem(err, 256, "parameter names") : CS_OK;
}

cs_status cs_param_table_alloc(cs_param_table *t, bool training, cs_comm *dp, cs_error *err)
{
    size_t store;
    if (!cs_mul_checked((size_t)t->n_elements, cs_dtype_size(t->prec.store), &store) || store > INT64_MAX)
        return cs_fail_nomem(err, SIZE_MAX, "the weights");
    t->store_shared = training && dp && cs_comm_size(dp) > 1;
    t->store = t->store_shared ? cs_comm_alloc(dp, (int64_t)store) : cs_alloc_aligned(store);
    if (!t->store)
        return cs_fail_nomem(err, store, "the weights");
    memset(t->store, 0, store);
    if (training && t->prec.store == t->prec.master) {
        t->master = t->store;
        t->master_hi = t->n_elements;
    }
    for (int64_t i = 0; i < t->n_rows; i++)
        t->row[i].weight.data = cs_flat_at(t->store, t->prec.store, t->row[i].offset);
    return CS_OK;
}

void cs_param_table_release(cs_param_table *t, const cs_kernels *k)
{
    for (int64_t i = 0; i < t->n_rows; i++)
        if (t->row[i].n > 0 && k)
            k->weight_release(&t->row[i].weight);
    if (t->master == t->store)
        t->master = NULL;
    if (!t->store_shared)
        cs_free(t->store);
    t->store = NULL;
}

static void put_value(void *flat, cs_dtype type, int64_t at, double value)
{
    if (type == CS_F64)
        ((double *)flat)[at] = value;
    else if (type == CS_F32)
        ((float *)flat)[at] = (float)value;
    else
        ((uint16_t *)flat)[at] = type == CS_F16 ? cs_f16_from_f32((float)value) : cs_bf16_from_f32((float)value);
}

static void fill_view(cs_param_table *t, const cs_param_view *v, uint64_t seed)
{
    const cs_param *p = v->param;
    uint64_t site = cs_rng_site(v->name);
    int64_t run_n = v->n / v->n_runs;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < v->n; i++) {
        double value = p->init == CS_INIT_ONES ? 1.0 : p->init == CS_INIT_ZEROS ? 0.0 : p->init_std * cs_rng_normal(seed, site, (uint64_t)i);
        int64_t at = cs_param_view_run(v, i / run_n).offset + i % run_n;
        if (t->master && t->master != t->store && at >= t->master_lo && at < t->master_hi)
            put_value(t->master, t->prec.master, at - t->master_lo, value);
        put_value(t->store, t->prec.store, at, value);
    }
}

void cs_param_table_fill(cs_param_table *t, uint64_t seed)
{
    for (int64_t i = 0; i < t->n_views; i++) {
        cs_param_view v = cs_param_view_at(t, i);
        fill_view(t, &v, seed);
    }
    cs_param_touch(t);
}

int64_t cs_param_n_views(const cs_param_table *t)
{
    return t->n_views;
}

cs_param_view cs_param_view_at(const cs_param_table *t, int64_t i)
{
    CS_ASSERT(i >= 0 && i < t->n_views);
    const cs_param *p = t->row;
    while (i >= p->n_parts)
        i -= (p++)->n_parts;
    cs_param_view v = {
        .name = p->part[i].name, .ndim = p->ndim, .shape = {p->part[i].rows, p->ndim == 2 ? p->cols : 1}, .offset = p->offset, .param = p};
    for (int64_t j = 0; j < i; j++)
        v.offset += p->part[j].rows * p->cols;
    v.n = p->part[i].rows * p->cols;
    v.n_runs = p->group > 0 ? p->rows / p->head_rows : 1;
    return v;
}

/* Head i of the file: key head i / (group + 2), there one of its query heads, its key or its value. */
cs_param_run cs_param_view_run(const cs_param_view *v, int64_t i)
{
    const cs_param *p = v->param;
    int64_t n = v->n / v->n_runs;
    if (v->n_runs == 1)
        return (cs_param_run){0, v->offset, n};
    int64_t kv_heads = v->n_runs / (p->group + 2), g = i / (p->group + 2), k = i % (p->group + 2);
    int64_t head = k < p->group ? g * p->group + k : kv_heads * p->group + (k - p->group) * kv_heads + g;
    return (cs_param_run){i * n, v->offset + head * n, n};
}

void cs_param_touch(cs_param_table *t)
{
    for (int64_t i = 0; i < t->n_rows; i++)
        t->row[i].weight.version++;
}
