/* Parameters, optimizer state and packed weights of a rank; activations come from walk.c. */
#include "parallel/memory.h"

#include "parallel/dp.h"
#include "parallel/presence.h"
#include "parallel/walk.h"

static const struct {
    const char *name, *key;
} kinds[CS_MEMORY_COUNT] = {
    [CS_MEMORY_WEIGHTS] = {"weights", "weights_bytes"},
    [CS_MEMORY_GRADS] = {"gradients", "gradients_bytes"},
    [CS_MEMORY_MASTER] = {"master weights", "master_bytes"},
    [CS_MEMORY_MOMENTS] = {"moments", "moments_bytes"},
    [CS_MEMORY_PACKED] = {"packed weights", "packed_bytes"},
    [CS_MEMORY_STASH] = {"activations kept", "activations_bytes"},
    [CS_MEMORY_LOGITS] = {"logits", "logits_bytes"},
    [CS_MEMORY_SCRATCH] = {"activations, temporary", "temporary_bytes"},
    [CS_MEMORY_MESSAGES] = {"messages", "messages_bytes"},
    [CS_MEMORY_CACHE] = {"key-value cache", "cache_bytes"},
    [CS_MEMORY_WORK] = {"matrix products' work", "work_bytes"},
    [CS_MEMORY_TABLES] = {"tables and batches", "tables_bytes"},
    [CS_MEMORY_LOADING] = {"more while loading", "loading_bytes"},
};

const char *cs_memory_name(cs_memory_kind kind)
{
    return kinds[kind].name;
}

const char *cs_memory_key(cs_memory_kind kind)
{
    return kinds[kind].key;
}

/* Sums over the parameters of a rank. */
typedef struct sums {
    int64_t parameters, elements; /* elements: with the alignment of the flat buffers */
    int64_t packed, work;
    int64_t sealed, sealed_packed, largest_pack; /* bytes that are given back once they are packed (cs_model_seal), of their packs, of one */
} sums;

typedef struct shard {
    const cs_memory_request *q;
    int64_t rows; /* of the batch */
    int forms;    /* 1: only y = x W^T runs, 2: its backward too */
    cs_presence_unit *unit; /* [n_layers + 3] of the model without stages */
    int64_t at;             /* the one being summed */
    sums s;
} shard;

static void add_products(shard *sh, int64_t rows, int64_t cols)
{
    cs_gemm_bytes b = sh->q->kernels->gemm_bytes(sh->rows, rows, cols, sh->q->threads);
    for (int form = 0; form < sh->forms; form++) {
        int64_t bytes = b.pack[form] < INT64_MAX ? (int64_t)b.pack[form] : INT64_MAX;
        sh->unit[sh->at].pack[form] = cs_walk_add(sh->unit[sh->at].pack[form], bytes);
        sh->s.packed = cs_walk_add(sh->s.packed, bytes);
    }
    int64_t work = (int64_t)b.work[sh->forms - 1];
    sh->s.work = work > sh->s.work ? work : sh->s.work;
}

static void add_row(shard *sh, const cs_param_table *t, int64_t row)
{
    const cs_param *p = &t->row[row];
    int64_t aligned = (p->n + CS_PARAM_ALIGN - 1) / CS_PARAM_ALIGN * CS_PARAM_ALIGN;
    bool last = t->place.stage == t->place.n_stages - 1;
    sh->s.parameters += p->n;
    sh->s.elements += aligned;
    if (p->n > 0 && p->ndim == 2 && (row != CS_ROW_EMBED || (sh->q->spec->tied_head && last)))
        add_products(sh, p->rows, p->cols);
    if (sh->q->layout.inference && sh->q->kernels->weight_pack && cs_param_for_products_only(sh->q->spec, t, p)) {
        enum { PAGE = 4096 }; /* whole ones go, so that one in all stays at the ends of a matrix */
        int64_t bytes = cs_walk_mul(p->n, (int64_t)cs_dtype_size(t->prec.store));
        int64_t pack = (int64_t)sh->q->kernels->gemm_bytes(sh->rows, p->rows, p->cols, sh->q->threads).pack[0];
        sh->s.sealed = cs_walk_add(sh->s.sealed, bytes > PAGE ? bytes - PAGE : 0);
        sh->s.sealed_packed = cs_walk_add(sh->s.sealed_packed, pack);
        sh->s.largest_pack = pack > sh->s.largest_pack ? pack : sh->s.largest_pack;
    }
}

static void add_rows(shard *sh, const cs_param_table *t, int64_t first, int64_t end)
{
    for (int64_t r = first; r < end; r++)
        add_row(sh, t, r);
}

/* The parts that ZeRO 3 gathers: embedding and its norm, every layer, final norm and head with a tied head's copy of the embedding. */
static void add_table(shard *sh, const cs_param_table *t)
{
    bool first = t->place.stage == 0;
    if (first)
        add_rows(sh, t, CS_ROW_EMBED, CS_ROW_FINAL_NORM);
    sh->at = CS_PRESENCE_FIRST_LAYER;
    for (int64_t at = CS_ROW_FIRST_LAYER; at < t->n_rows; at += CS_ROW_PER_LAYER, sh->at++)
        add_rows(sh, t, at, at + CS_ROW_PER_LAYER);
    add_rows(sh, t, first ? CS_ROW_FINAL_NORM : CS_ROW_EMBED, CS_ROW_FIRST_LAYER);
}

/* The norm's partial sums; the batches' arrays. */
static int64_t batch_bytes(const cs_memory_request *q, const cs_param_table *t)
{
    const cs_layout *l = &q->layout;
    if (l->inference)
        return q->rows * 8;
    int64_t bytes = cs_dp_n_units(t) * 8;
    int64_t batch = cs_walk_add(cs_walk_mul(cs_walk_mul(l->micro_batch, l->seq_length), 16), cs_walk_mul(l->micro_batch, 8));
    return cs_walk_add(bytes, cs_walk_mul(cs_walk_mul(batch, l->n_micro), q->evaluates ? 3 : 1));
}

static int64_t message_bytes(const cs_memory_request *q, int64_t stage)
{
    const cs_layout *l = &q->layout;
    int64_t rows = cs_walk_mul(l->largest_mbs, l->seq_length), around = l->chunks > 1;
    if (l->inference || l->pp == 1)
        return 0;
    rows = l->sequence_parallel ? rows / l->tp : rows;
    int64_t bytes = cs_walk_mul(cs_walk_mul(rows, q->spec->hidden), (int64_t)cs_dtype_size(q->table->prec.store));
    return cs_walk_mul(bytes, (stage < l->pp - 1 || around) + (stage > 0 || around));
}

static void add_parameters(const cs_memory_request *q, const shard *sh, const cs_param_table *t, cs_memory *out)
{
    const sums *s = &sh->s;
    const cs_layout *l = &q->layout;
    const cs_precision *p = &q->table->prec;
    int64_t store = (int64_t)cs_dtype_size(p->store), acc = (int64_t)cs_dtype_size(p->acc);
    int64_t *b = out->bytes, all = s->elements;
    int64_t zero = l->inference || l->dp == 1 ? 0 : l->zero, each_master = p->store == p->master ? 0 : (int64_t)cs_dtype_size(p->master);
    int64_t each_moments = cs_update_moments(q->rule) * acc;
    cs_presence most = zero > 0 ? cs_presence_most(t, l, each_moments + each_master, sh->unit) : (cs_presence){0};
    out->parameters = s->parameters;
    b[CS_MEMORY_WEIGHTS] = cs_walk_mul(zero >= 3 ? most.own + most.weights : all, store);
    b[CS_MEMORY_PACKED] = zero >= 3 ? most.packed : s->packed;
    b[CS_MEMORY_WORK] = s->work;
    if (l->inference) {
        b[CS_MEMORY_WEIGHTS] -= s->sealed;
        return;
    }
    b[CS_MEMORY_GRADS] = cs_walk_mul(zero >= 2 ? most.own + most.grads : all, acc);
    int64_t state = zero >= 1 ? most.own : all, moments = cs_walk_mul(state, each_moments), masters = cs_walk_mul(state, each_master);
    if (q->offloads) {
        out->offloaded = cs_walk_add(moments, masters);
        return;
    }
    b[CS_MEMORY_MOMENTS] = moments;
    b[CS_MEMORY_MASTER] = masters;
}

/* The weights were whole once, with the packs of those already sealed and one more; all of that is there before the first token. */
static void add_loading(const cs_memory_request *q, const sums *s, cs_memory *out)
{
    int64_t store = (int64_t)cs_dtype_size(q->table->prec.store), all = cs_walk_mul(s->elements, store), sum = 0;
    int64_t loading = cs_walk_add(cs_walk_add(all, s->sealed_packed - s->sealed), s->largest_pack);
    for (int i = 0; i < CS_MEMORY_COUNT; i++)
        sum = cs_walk_add(sum, out->bytes[i]);
    loading = cs_walk_add(loading, out->bytes[CS_MEMORY_TABLES]);
    out->bytes[CS_MEMORY_LOADING] = loading > sum ? loading - sum : 0;
}

static void add_cache(const cs_memory_request *q, int64_t stage, cs_memory *out)
{
    const cs_spec *s = q->spec;
    const cs_layout *l = &q->layout;
    bool last = stage == l->pp - 1;
    int64_t position = 2 * cs_layout_stage_layers(l, stage) * (s->n_kv_heads / l->tp) * s->head_dim * (int64_t)cs_dtype_size(q->table->prec.store);
    int64_t filled = cs_walk_mul(l->micro_batch, l->seq_length), grown = q->cache_growth ? cs_walk_mul(l->micro_batch + 1, q->cache_growth) : 0;
    int64_t room = cs_walk_add(cs_walk_mul(q->cache_positions, l->micro_batch), q->cache_growth);
    filled = grown > filled ? grown : filled;
    out->bytes[CS_MEMORY_CACHE] = cs_walk_mul(position, filled);
    out->reserved = cs_walk_mul(position, room > filled ? room - filled : 0);
    if (last) { /* of every sequence, in the accumulate type; what the sampler needs for one: scores, ranking, marks */
        int64_t vocab = (s->vocab_size + l->tp - 1) / l->tp;
        out->bytes[CS_MEMORY_LOGITS] = cs_walk_add(cs_walk_mul(cs_walk_mul(l->micro_batch, vocab), (int64_t)cs_dtype_size(q->table->prec.acc)),
                                                   s->vocab_size * (8 + 16 + 1));
    }
}

/* Everything but what is counted in `out` already. False when a size does not fit. */
static bool add_all(const cs_memory_request *q, const cs_param_table *t, cs_presence_unit *unit, cs_memory *out)
{
    const cs_layout *l = &q->layout;
    int64_t stage = t->place.stage, tables, unused;
    cs_activations act;
    shard sh = {.q = q, .rows = l->inference ? q->rows : cs_walk_mul(l->largest_mbs, l->seq_length), .forms = l->inference ? 1 : 2,
                .unit = unit};
    if (sh.rows >= (int64_t)1 << 40 || !cs_walk_stage(q, stage, &act) || !cs_walk_tables(q, stage, &tables, &unused))
        return false;
    add_table(&sh, t);
    add_parameters(q, &sh, t, out);
    out->bytes[CS_MEMORY_STASH] = act.stash;
    out->bytes[CS_MEMORY_LOGITS] = act.logits;
    out->bytes[CS_MEMORY_SCRATCH] = act.scratch - act.logits;
    out->bytes[CS_MEMORY_MESSAGES] = message_bytes(q, stage);
    if (l->inference)
        add_cache(q, stage, out);
    out->bytes[CS_MEMORY_TABLES] = cs_walk_add(tables, batch_bytes(q, t));
    if (l->inference)
        add_loading(q, &sh.s, out);
    for (int i = 0; i < CS_MEMORY_COUNT; i++)
        out->total = cs_walk_add(out->total, out->bytes[i]);
    out->reserved = cs_walk_add(out->reserved, cs_walk_add(out->total, act.slack + unused));
    return out->reserved < INT64_MAX;
}

cs_status cs_memory_of_stage(const cs_memory_request *q, int64_t stage, cs_memory *out, cs_error *err)
{
    const cs_layout *l = &q->layout;
    cs_param_table t;
    cs_arena arena;
    CS_ASSERT(l->inference || q->schedule);
    *out = (cs_memory){.first_layer = cs_layout_first_layer(l, stage, 0), .n_layers = cs_layout_stage_layers(l, stage),
                       .in_flight = l->inference ? 1 : q->schedule->stage[stage].n_slots};
    cs_arena_init(&arena, "the table of a stage");
    cs_layers *chunk = cs_arena_calloc(&arena, (size_t)l->chunks, sizeof *chunk);
    cs_presence_unit *unit = cs_arena_calloc(&arena, (size_t)q->spec->n_layers + CS_PRESENCE_FIRST_LAYER + 1, sizeof *unit);
    cs_status status = chunk && unit ? CS_OK : cs_fail_nomem(err, (size_t)l->chunks * sizeof *chunk, "a layout");
    if (status == CS_OK) { /* the last rank has most of a vocabulary that does not divide */
        const cs_place place = cs_layout_place(l, stage, l->tp - 1, chunk);
        status = cs_param_table_init(&t, q->spec, q->table->prec, false, &place, &arena, err);
    }
    if (status == CS_OK && !add_all(q, &t, unit, out))
        status = cs_fail(err, CS_E_USAGE, "the memory of a rank does not fit in 63 bits; use smaller sizes");
    cs_arena_release(&arena);
    return status;
}

double cs_flops_per_token(const cs_memory_request *q, double *executed)
{
    const cs_spec *s = q->spec;
    const cs_layout *l = &q->layout;
    const cs_param_table *t = q->table;
    double layers = 0, head = (double)s->hidden * (double)s->vocab_size, width = (double)(s->n_heads * s->head_dim), seq = (double)l->seq_length;
    for (int64_t i = CS_ROW_FIRST_LAYER; i < t->n_rows; i++)
        layers += t->row[i].ndim == 2 ? (double)t->row[i].n : 0;
    double attention = 4 * (double)s->n_layers * width * seq, model = 6 * (layers + head) + 3 * attention;
    const cs_param *row = t->row + CS_ROW_FIRST_LAYER;
    const struct {
        unsigned drop;
        double flops;
    } parts[] = {{CS_DROP_LAYER, (2 * layers + attention) / (double)s->n_layers}, {CS_DROP_QKV, 2 * (double)row[CS_ROW_QKV].n},
                 {CS_DROP_ATTENTION, attention / (double)s->n_layers}, {CS_DROP_UP, 2 * (double)row[CS_ROW_UP].n}};
    *executed = model;
    for (int64_t i = 0; i < l->pp * l->chunks; i++)
        for (int64_t k = 0; k < cs_layout_n_layers(l, i % l->pp, i / l->pp); k++)
            for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
                *executed += cs_layout_drop(l, i % l->pp, i / l->pp, k) & parts[p].drop ? parts[p].flops : 0;
    return model;
}
