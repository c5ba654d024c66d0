/* Shard arithmetic. */
#include "ckpt/megatron.h"

#include <stdio.h>
#include <string.h>

static const int order[] = {CS_ROW_NORM1, CS_ROW_NORM1_BIAS, CS_ROW_QKV, CS_ROW_QKV_BIAS, CS_ROW_OUT, CS_ROW_OUT_BIAS,
                            CS_ROW_UP, CS_ROW_UP_BIAS, CS_ROW_DOWN, CS_ROW_DOWN_BIAS, CS_ROW_NORM2, CS_ROW_NORM2_BIAS};

/* Role of a layer row: its cut, and the part that names it. */
static const struct {
    cs_mg_cut cut;
    cs_part part;
} layer_role[CS_ROW_PER_LAYER] = {[CS_ROW_NORM1] = {CS_MG_WHOLE, CS_PART_NORM1}, [CS_ROW_NORM1_BIAS] = {CS_MG_WHOLE, CS_PART_NORM1},
                                  [CS_ROW_QKV] = {CS_MG_QKV, CS_PART_QKV},       [CS_ROW_QKV_BIAS] = {CS_MG_QKV, CS_PART_QKV},
                                  [CS_ROW_OUT] = {CS_MG_COLS, CS_PART_O},        [CS_ROW_OUT_BIAS] = {CS_MG_WHOLE, CS_PART_O},
                                  [CS_ROW_NORM2] = {CS_MG_WHOLE, CS_PART_NORM2}, [CS_ROW_NORM2_BIAS] = {CS_MG_WHOLE, CS_PART_NORM2},
                                  [CS_ROW_UP] = {CS_MG_ROWS, CS_PART_UP},        [CS_ROW_UP_BIAS] = {CS_MG_ROWS, CS_PART_UP},
                                  [CS_ROW_DOWN] = {CS_MG_COLS, CS_PART_DOWN},    [CS_ROW_DOWN_BIAS] = {CS_MG_WHOLE, CS_PART_DOWN}};
static const struct {
    cs_mg_cut cut;
    cs_part part;
} top_role[CS_ROW_FIRST_LAYER] = {
    [CS_ROW_EMBED] = {CS_MG_ROWS, CS_PART_EMBED},
    [CS_ROW_EMBED_NORM] = {CS_MG_WHOLE, CS_PART_EMBED_NORM},
    [CS_ROW_EMBED_NORM_BIAS] = {CS_MG_WHOLE, CS_PART_EMBED_NORM},
    [CS_ROW_FINAL_NORM] = {CS_MG_WHOLE, CS_PART_FINAL_NORM},
    [CS_ROW_FINAL_NORM_BIAS] = {CS_MG_WHOLE, CS_PART_FINAL_NORM},
    [CS_ROW_HEAD] = {CS_MG_ROWS, CS_PART_HEAD}};

int cs_mg_tensors(const cs_param_table *table, int64_t layer, bool merged_mlp, cs_mg_tensor out[CS_MG_MAX_TENSORS])
{
    int n = 0, n_order = layer < 0 ? CS_ROW_FIRST_LAYER : CS_ROW_PER_LAYER;
    for (int k = 0; k < n_order; k++) {
        int role = layer < 0 ? k : order[k];
        int64_t row = layer < 0 ? k : CS_ROW_FIRST_LAYER + layer * CS_ROW_PER_LAYER + role;
        const cs_param *p = &table->row[row];
        cs_mg_cut cut = layer < 0 ? top_role[role].cut : layer_role[role].cut;
        if (p->n == 0)
            continue;
        if (p->n_parts > 1 && cut == CS_MG_ROWS && !merged_mlp)
            for (int part = 0; part < p->n_parts; part++)
                out[n++] = (cs_mg_tensor){row, part, cut};
        else
            out[n++] = (cs_mg_tensor){row, p->n_parts > 1 ? -1 : 0, cut};
    }
    return n;
}

bool cs_mg_is_first(const cs_mg_tensor *t)
{
    return t->row <= CS_ROW_EMBED_NORM_BIAS;
}

bool cs_mg_is_last(const cs_mg_tensor *t)
{
    return t->row > CS_ROW_EMBED_NORM_BIAS && t->row < CS_ROW_FIRST_LAYER;
}

void cs_mg_name(const cs_source *src, const cs_mg_tensor *t, int64_t layer, int64_t local, char *buf, size_t n)
{
    const cs_megatron_names *names = src->spec.family->megatron;
    const cs_param *p = &src->table.row[t->row];
    cs_part part = layer < 0 ? top_role[t->row].part : layer_role[(t->row - CS_ROW_FIRST_LAYER) % CS_ROW_PER_LAYER].part;
    if (part == CS_PART_UP && t->part == 0 && p->n_parts > 1)
        part = CS_PART_GATE;
    const char *pattern = part == CS_PART_UP && t->part < 0 ? names->merged_mlp : names->tensor[part], *mark = strchr(pattern, '%');
    const char *suffix = p->ndim == 1 && p->init == CS_INIT_ZEROS ? "bias" : "weight";
    int64_t number = !names->absolute ? local : layer >= 0 ? names->first_layer + layer : names->first_layer + src->spec.n_layers + 1;
    if (mark)
        snprintf(buf, n, "%.*s%lld%s.%s", (int)(mark - pattern), pattern, (long long)number, mark + 1, suffix);
    else
        snprintf(buf, n, "%s.%s", pattern, suffix);
}

int64_t cs_mg_padded_vocab(int64_t vocab, int64_t multiple, int64_t tp)
{
    int64_t step = multiple * tp;
    return (vocab + step - 1) / step * step;
}

static bool is_vocab(const cs_mg_tensor *t)
{
    return t->row == CS_ROW_EMBED || t->row == CS_ROW_HEAD;
}

static int64_t total_rows(const cs_source *src, const cs_mg_tensor *t, int64_t padded_vocab)
{
    const cs_param *p = &src->table.row[t->row];
    return is_vocab(t) ? padded_vocab : t->part < 0 ? p->rows : p->part[t->part].rows;
}

void cs_mg_shape(const cs_source *src, const cs_mg_tensor *t, int64_t tp, int64_t padded_vocab, int64_t shape[2], int *ndim)
{
    const cs_param *p = &src->table.row[t->row];
    bool rows = t->cut == CS_MG_ROWS || t->cut == CS_MG_QKV;
    *ndim = p->ndim;
    shape[0] = total_rows(src, t, padded_vocab) / (rows ? tp : 1);
    shape[1] = p->cols / (t->cut == CS_MG_COLS ? tp : 1);
}

cs_mg_origin cs_mg_origin_of(const cs_source *src, const cs_mg_tensor *t, int64_t tp, int64_t padded_vocab, int64_t rank, int64_t k)
{
    const cs_spec *s = &src->spec;
    const cs_param *p = &src->table.row[t->row];
    int64_t first = src->first_view[t->row] + (t->part > 0 ? t->part : 0);
    if (t->cut == CS_MG_WHOLE || t->cut == CS_MG_COLS)
        return (cs_mg_origin){first, k, p->rows - k};
    if (t->cut == CS_MG_QKV) {
        int64_t D = s->head_dim, m = s->n_heads / s->n_kv_heads, group = rank * (s->n_kv_heads / tp) + k / ((m + 2) * D), slot = k / D % (m + 2);
        cs_source_row at = slot < m ? cs_source_qkv_row(src, t->row, 0, group * m + slot, k % D)
                                    : cs_source_qkv_row(src, t->row, (int)(slot - m + 1), group, k % D);
        return (cs_mg_origin){at.view, at.row, D - k % D};
    }
    if (t->part < 0) { /* gate | up of this rank */
        int64_t part_rows = p->part[0].rows / tp, part = k / part_rows, r = k % part_rows;
        return (cs_mg_origin){first + part, rank * part_rows + r, part_rows - r};
    }
    int64_t rows = total_rows(src, t, padded_vocab), row = rank * (rows / tp) + k, left = rows / tp - k;
    if (is_vocab(t) && row >= s->vocab_size) { /* padding: the last rows again (all of them over and over in a tiny vocabulary) */
        int64_t back = (padded_vocab - row) % s->vocab_size;
        row = back == 0 ? 0 : s->vocab_size - back;
    }
    if (is_vocab(t) && left > s->vocab_size - row)
        left = s->vocab_size - row;
    return (cs_mg_origin){first, row, left};
}

cs_mg_place cs_mg_place_of(const cs_source *src, const cs_mg_tensor *t, int64_t tp, int64_t padded_vocab, int64_t i, int64_t r)
{
    const cs_spec *s = &src->spec;
    const cs_param *p = &src->table.row[t->row];
    if (t->cut == CS_MG_WHOLE || t->cut == CS_MG_COLS)
        return (cs_mg_place){0, r, p->rows - r};
    if (t->cut == CS_MG_QKV) {
        int64_t D = s->head_dim, m = s->n_heads / s->n_kv_heads, head = r / D, which = i - src->first_view[t->row], group, slot;
        if (s->family->qkv == CS_QKV_BLOCKS) {
            which = head < s->n_heads ? 0 : head < s->n_heads + s->n_kv_heads ? 1 : 2;
            head -= which == 0 ? 0 : s->n_heads + (which - 1) * s->n_kv_heads;
        }
        if (s->family->qkv == CS_QKV_BY_HEAD) {
            group = head / (m + 2);
            slot = head % (m + 2);
        } else {
            group = which == 0 ? head / m : head;
            slot = which == 0 ? head % m : m + which - 1;
        }
        int64_t per_rank = s->n_kv_heads / tp;
        return (cs_mg_place){group / per_rank, ((group % per_rank) * (m + 2) + slot) * D + r % D, D - r % D};
    }
    if (t->part < 0) {
        int64_t part_rows = p->part[0].rows / tp, part = i - src->first_view[t->row];
        return (cs_mg_place){r / part_rows, part * part_rows + r % part_rows, part_rows - r % part_rows};
    }
    int64_t per_rank = total_rows(src, t, padded_vocab) / tp;
    return (cs_mg_place){r / per_rank, r % per_rank, per_rank - r % per_rank};
}
