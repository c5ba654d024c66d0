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

/* What a row is, beside its parts. */
typedef struct row_form {
    int64_t cols; /* 0 = a 1-D parameter */
    cs_cut cut;
    cs_init_kind init;
    double std;
    bool decay;
} row_form;

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

/* Rows [lo, lo + n) of a part that this rank has. */
static void cut_rows(const cs_place *p, cs_param_part *part)
{
    part->lo = part->rows * p->tp_rank / p->tp;
    part->n = part->rows * (p->tp_rank + 1) / p->tp - part->lo;
}

/* Describes row `index`, whole; where it lies follows when all rows are known. */
static cs_param *add_row(builder *b, int64_t index, bool present, int64_t layer, const part_size *parts, int n_parts, row_form f)
{
    cs_param_table *t = b->t;
    const cs_place *place = &t->place;
    cs_param *p = &t->row[index];
    bool vector = f.cols == 0;
    *p = (cs_param){.name = "", .ndim = vector ? 1 : 2, .full_cols = vector ? 1 : f.cols, .cut = f.cut, .init = f.init, .init_std = f.std,
                    .decay = f.decay};
    p->col_lo = f.cut == CS_CUT_COLS ? p->full_cols * place->tp_rank / place->tp : 0;
    p->cols = f.cut == CS_CUT_COLS ? p->full_cols * (place->tp_rank + 1) / place->tp - p->col_lo : p->full_cols;
    if (!present)
        return p;
    p->n_parts = n_parts;
    for (int i = 0; i < n_parts; i++) {
        p->part[i] = (cs_param_part){.name = tensor_name(b, parts[i].part, layer, vector && f.init == CS_INIT_ZEROS ? "bias" : "weight"),
                                     .rows = parts[i].rows, .n = parts[i].rows};
        if (f.cut == CS_CUT_ROWS)
            cut_rows(place, &p->part[i]);
        p->rows += p->part[i].n;
    }
    p->name = p->part[0].name;
    t->n_views += n_parts;
    return p;
}

static void add_norm(builder *b, int64_t index, int64_t layer, cs_part part, bool present)
{
    const part_size size[] = {{part, b->spec->hidden}};
    add_row(b, index, present, layer, size, 1, (row_form){.init = CS_INIT_ONES, .decay = b->decay_norms});
    add_row(b, index + 1, present && b->spec->family->norm == CS_NORM_LAYER, layer, size, 1, (row_form){.init = CS_INIT_ZEROS});
}

static void add_qkv(builder *b, int64_t at, int64_t l)
{
    const cs_spec *s = b->spec;
    int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const part_size apart[] = {{CS_PART_Q, q}, {CS_PART_K, kv}, {CS_PART_V, kv}}, fused[] = {{CS_PART_QKV, q + 2 * kv}};
    bool one = s->family->qkv != CS_QKV_SEPARATE;
    const row_form form[] = {{s->hidden, CS_CUT_ROWS, CS_INIT_NORMAL, s->init_std, true}, {0, CS_CUT_ROWS, CS_INIT_ZEROS, 0, false}};
    for (int k = 0; k < 2; k++) {
        cs_param *p = add_row(b, at + CS_ROW_QKV + k, k == 0 || s->bias_qkv, l, one ? fused : apart, one ? 1 : 3, form[k]);
        if (one && (b->t->by_head || b->t->place.tp > 1)) {
            p->head_rows = s->head_dim;
            p->q_heads = s->n_heads;
            p->kv_heads = s->n_kv_heads;
        }
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
    const row_form bias = {.init = CS_INIT_ZEROS}, cut_bias = {.cut = CS_CUT_ROWS, .init = CS_INIT_ZEROS};
    add_norm(b, at + CS_ROW_NORM1, l, CS_PART_NORM1, true);
    add_qkv(b, at, l);
    add_row(b, at + CS_ROW_OUT, true, l, out, 1, (row_form){q, CS_CUT_COLS, CS_INIT_NORMAL, out_std, true});
    add_row(b, at + CS_ROW_OUT_BIAS, s->bias_out, l, out, 1, bias);
    add_norm(b, at + CS_ROW_NORM2, l, CS_PART_NORM2, true);
    add_row(b, at + CS_ROW_UP, true, l, up, gated ? 2 : 1, (row_form){s->hidden, CS_CUT_ROWS, CS_INIT_NORMAL, std, true});
    add_row(b, at + CS_ROW_UP_BIAS, s->bias_mlp, l, up, gated ? 2 : 1, cut_bias);
    add_row(b, at + CS_ROW_DOWN, true, l, down, 1, (row_form){s->ffn, CS_CUT_COLS, CS_INIT_NORMAL, out_std, true});
    add_row(b, at + CS_ROW_DOWN_BIAS, s->bias_mlp, l, down, 1, bias);
}

/* Gives the rows [first, end) of the table their places in the flat buffers: of one kind only, as one group. */
static void place_rows(builder *b, int64_t layer, int64_t first, int64_t end, bool replicated, bool copy)
{
    cs_param_table *t = b->t;
    int64_t lo = t->n_elements;
    for (int64_t i = first; i < end; i++) {
        cs_param *p = &t->row[i];
        if (p->n_parts == 0 || (p->cut == CS_CUT_NONE) != replicated)
            continue;
        p->n = p->rows * p->cols;
        p->offset = t->n_elements;
        p->in_group = t->n_groups;
        p->weight = (cs_weight){.dtype = t->prec.store, .rows = p->rows, .cols = p->cols, .ld = p->cols, .version = 1};
        t->n_elements += (p->n + CS_PARAM_ALIGN - 1) / CS_PARAM_ALIGN * CS_PARAM_ALIGN;
    }
    if (t->n_elements > lo)
        t->group[t->n_groups++] = (cs_param_group){layer, lo, t->n_elements, replicated, copy};
}

static void place_group(builder *b, int64_t layer, int64_t first, int64_t end, bool copy)
{
    place_rows(b, layer, first, end, false, copy);
    place_rows(b, layer, first, end, true, copy);
}

static void place_all(builder *b)
{
    const cs_place *p = &b->t->place;
    bool last = p->stage == p->n_stages - 1;
    if (p->stage == 0)
        place_group(b, -1, CS_ROW_EMBED, CS_ROW_FINAL_NORM, false);
    for (int64_t c = 0; c < p->n_chunks; c++)
        for (int64_t l = p->chunk[c].lo; l < p->chunk[c].hi; l++)
            place_group(b, l, CS_ROW_FIRST_LAYER + l * CS_ROW_PER_LAYER, CS_ROW_FIRST_LAYER + (l + 1) * CS_ROW_PER_LAYER, false);
    if (last)
        place_group(b, b->spec->n_layers, CS_ROW_FINAL_NORM, CS_ROW_FIRST_LAYER, false);
    if (last && p->stage != 0 && b->spec->tied_head)
        place_group(b, b->spec->n_layers, CS_ROW_EMBED, CS_ROW_EMBED + 1, true);
}

cs_status cs_param_table_init(cs_param_table *t, const cs_spec *spec, cs_precision prec, bool decay_norms, const cs_place *place, cs_arena *arena,
                              cs_error *err)
{
    int64_t n_rows = CS_ROW_FIRST_LAYER + spec->n_layers * CS_ROW_PER_LAYER;
    *t = (cs_param_table){.n_rows = n_rows, .prec = prec, .by_head = spec->family->qkv == CS_QKV_BY_HEAD};
    builder b = {t, spec, arena, decay_norms, false};
    const part_size embed[] = {{CS_PART_EMBED, spec->vocab_size}}, head[] = {{CS_PART_HEAD, spec->vocab_size}};
    const row_form vocabulary = {spec->hidden, CS_CUT_ROWS, CS_INIT_NORMAL, spec->init_std, true};
    int64_t n_chunks = place ? place->n_chunks : 1;
    cs_layers *chunk = cs_arena_calloc(arena, (size_t)n_chunks, sizeof *chunk);
    t->row = cs_arena_calloc(arena, (size_t)n_rows, sizeof *t->row);
    t->group = cs_arena_calloc(arena, (size_t)(2 * spec->n_layers + 5), sizeof *t->group);
    if (!t->row || !t->group || !chunk)
        return cs_fail_nomem(err, (size_t)n_rows * sizeof *t->row, "the parameter table");
    chunk[0] = (cs_layers){0, spec->n_layers};
    if (place)
        memcpy(chunk, place->chunk, (size_t)n_chunks * sizeof *chunk);
    t->place = place ? *place : (cs_place){.tp = 1, .n_stages = 1, .n_chunks = 1};
    t->place.chunk = chunk;
    add_row(&b, CS_ROW_EMBED, true, 0, embed, 1, vocabulary);
    add_norm(&b, CS_ROW_EMBED_NORM, 0, CS_PART_EMBED_NORM, spec->family->embed_norm);
    for (int64_t l = 0; l < spec->n_layers; l++)
        add_layer(&b, l);
    add_norm(&b, CS_ROW_FINAL_NORM, 0, CS_PART_FINAL_NORM, true);
    add_row(&b, CS_ROW_HEAD, !spec->tied_head, 0, head, 1, vocabulary);
    place_all(&b);
    return b.failed ? cs_fail_nomem(err, 256, "parameter names") : CS_OK;
}

cs_status cs_param_table_alloc(cs_param_table *t, bool training, bool sparse, cs_comm *dp, cs_error *err)
{
    size_t store;
    if (!cs_mul_checked((size_t)t->n_elements, cs_dtype_size(t->prec.store), &store) || store > INT64_MAX)
        return cs_fail_nomem(err, SIZE_MAX, "the weights");
    t->store_shared = training && dp && cs_comm_size(dp) > 1;
    if (t->store_shared)
        t->store = sparse ? cs_comm_alloc_sparse(dp, (int64_t)store) : cs_comm_alloc(dp, (int64_t)store);
    else
        t->store = cs_alloc_aligned(store);
    if (!t->store)
        return cs_fail_nomem(err, store, "the weights");
    if (!sparse)
        memset(t->store, 0, store);
    if (training && t->prec.store == t->prec.master)
        t->master = t->store;
    for (int64_t i = 0; i < t->n_rows; i++)
        if (t->row[i].n > 0)
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

bool cs_flat_clip(const cs_flat_range *range, int64_t n_ranges, int64_t lo, int64_t hi, cs_flat_range *out)
{
    for (int64_t i = 0; i < n_ranges; i++) {
        int64_t from = lo > range[i].lo ? lo : range[i].lo, to = hi < range[i].hi ? hi : range[i].hi;
        if (from < to) {
            *out = (cs_flat_range){from, to, range[i].at + from - range[i].lo};
            return true;
        }
    }
    return false;
}

bool cs_param_store_clip(const cs_param_table *t, int64_t lo, int64_t hi, cs_flat_range *out)
{
    const cs_flat_range all = {0, t->n_elements, 0};
    return cs_flat_clip(t->store_range ? t->store_range : &all, t->store_range ? t->n_store_ranges : 1, lo, hi, out);
}

static void fill_view(cs_param_table *t, const cs_param_view *v, uint64_t seed)
{
    const cs_param *p = v->param;
    uint64_t site = cs_rng_site(v->name);
    int64_t run_n = v->n / v->n_runs;
    cs_flat_range master = {0}, store = {0};
    cs_param_store_clip(t, v->offset, v->offset + v->n, &store);
    if (t->master && t->master != t->store)
        cs_flat_clip(t->master_range, t->n_master_ranges, v->offset, v->offset + v->n, &master);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < v->n; i++) {
        cs_param_run run = cs_param_view_run(v, i / run_n);
        int64_t from = run.at + i % run_n, at = run.offset + i % run_n;
        double value = p->init == CS_INIT_ONES ? 1.0 : p->init == CS_INIT_ZEROS ? 0.0 : p->init_std * cs_rng_normal(seed, site, (uint64_t)from);
        if (at >= master.lo && at < master.hi)
            put_value(t->master, t->prec.master, master.at + at - master.lo, value);
        if (at >= store.lo && at < store.hi)
            put_value(t->store, t->prec.store, at, value);
    }
}

void cs_param_table_fill(cs_param_table *t, uint64_t seed)
{
    for (int64_t i = 0; i < t->n_views; i++) {
        cs_param_view v = cs_param_view_at(t, i);
        if (v.n > 0)
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
    cs_param_view v = {.name = p->part[i].name, .ndim = p->ndim, .shape = {p->part[i].rows, p->ndim == 2 ? p->full_cols : 1}, .offset = p->offset,
                       .param = p, .part = &p->part[i], .table = t};
    if (p->n == 0)
        return v;
    for (int64_t j = 0; j < i; j++)
        v.offset += p->part[j].n * p->cols;
    v.n = p->part[i].n * p->cols;
    v.n_runs = v.n == 0 ? 0 : p->head_rows > 0 ? p->rows / p->head_rows : p->cols < p->full_cols ? p->rows : 1;
    return v;
}

/* Head i of this rank's part of a q|k|v tensor, counted in the order of the file: which head of the file it is, and which one here, where all query
 * heads come first, then the keys, then the values. By key head: a key head's queries, its key, its value. */
static void locate_head(const cs_param_view *v, int64_t i, int64_t *in_file, int64_t *here)
{
    const cs_param *p = v->param;
    const cs_place *place = &v->table->place;
    int64_t q = p->q_heads / place->tp, kv = p->kv_heads / place->tp, group = p->q_heads / p->kv_heads;
    if (v->table->by_head) {
        int64_t g = i / (group + 2), k = i % (group + 2);
        *in_file = place->tp_rank * kv * (group + 2) + i;
        *here = k < group ? g * group + k : q + (k - group) * kv + g;
        return;
    }
    *here = i;
    if (i < q)
        *in_file = place->tp_rank * q + i;
    else if (i < q + kv)
        *in_file = p->q_heads + place->tp_rank * kv + i - q;
    else
        *in_file = p->q_heads + p->kv_heads + place->tp_rank * kv + i - q - kv;
}

cs_param_run cs_param_view_run(const cs_param_view *v, int64_t i)
{
    const cs_param *p = v->param;
    int64_t n = v->n / v->n_runs, in_file, here;
    if (p->head_rows > 0) {
        locate_head(v, i, &in_file, &here);
        return (cs_param_run){in_file * n, v->offset + here * n, n};
    }
    if (p->cols < p->full_cols)
        return (cs_param_run){i * p->full_cols + p->col_lo, v->offset + i * n, n};
    return (cs_param_run){(p->cut == CS_CUT_ROWS ? v->part->lo : 0) * p->cols, v->offset, n};
}

bool cs_param_view_is_owner(const cs_param_view *v)
{
    const cs_place *p = &v->table->place;
    bool copy = v->param == &v->table->row[CS_ROW_EMBED] && p->stage != 0;
    return v->n > 0 && !copy && (v->param->cut != CS_CUT_NONE || p->tp_rank == 0);
}

void cs_param_touch(cs_param_table *t)
{
    for (int64_t i = 0; i < t->n_rows; i++)
        t->row[i].weight.version++;
}
