/* Costs. Letters as in walk.c: T rows of the micro-batch, R rows of the residual stream on a rank. */
#include "parallel/cost.h"

#include "ckpt/megatron.h"

#include <math.h>

typedef struct sizes {
    const cs_memory_request *q;
    const cs_machine *m;
    double T, R, H, heads, kv, ffn, up, vocab; /* of a rank; heads and kv in columns */
    double seen;                               /* keys that a row sees, on average */
    double store, acc;
    bool shards;                               /* sequence parallelism over several ranks */
    cs_sim_group tp;
    cs_machine collective;                     /* as tensor-parallel transfers see it */
} sizes;

static sizes sizes_of(const cs_memory_request *q, const cs_machine *m, int64_t samples)
{
    const cs_layout *l = &q->layout;
    const cs_spec *s = q->spec;
    double tp = (double)l->tp;
    sizes z = {.q = q, .m = m, .T = (double)samples * (double)l->seq_length, .H = (double)s->hidden};
    z.shards = l->sequence_parallel && l->tp > 1;
    z.R = z.shards ? z.T / tp : z.T;
    z.heads = (double)(s->n_heads * s->head_dim) / tp;
    z.kv = (double)(s->n_kv_heads * s->head_dim) / tp;
    z.ffn = (double)s->ffn / tp;
    z.up = (double)cs_spec_ffn_rows(s) / tp;
    z.vocab = (double)(cs_mg_padded_vocab(s->vocab_size, 1, l->tp) / l->tp);
    z.seen = (double)(l->seq_length + 1) / 2;
    z.seen = s->window > 0 ? fmin(z.seen, (double)s->window) : z.seen;
    z.store = (double)cs_dtype_size(q->table->prec.store);
    z.acc = (double)cs_dtype_size(q->table->prec.acc);
    z.tp = cs_machine_group(m, l->tp, 1);
    z.collective = *m;
    if (m->tensor_gbs > 0)
        z.collective.host_gbs = m->tensor_gbs;
    return z;
}

static double traffic(const sizes *z, double bytes)
{
    return bytes / (z->m->memory_gbs * 1e9);
}

/* Of what is computed row by row. */
static double by_rows(const sizes *z, double bytes)
{
    return bytes / ((z->m->rows_gbs > 0 ? z->m->rows_gbs : z->m->memory_gbs) * 1e9);
}

/* y = x W^T with n entries in W, or its input's gradient: arithmetic or the reading of W, whichever takes longer. */
static double product(const sizes *z, double n)
{
    return fmax(2 * z->T * n / (z->m->gflops * 1e9), traffic(z, n * z->store));
}

/* The weight's gradient is read and written. */
static double weight_gradient(const sizes *z, double n)
{
    return fmax(2 * z->T * n / (z->m->gflops * 1e9), traffic(z, 2 * n * z->acc));
}

/* Half of an all-reduce of T rows; with sequence parallelism a gather or a scatter. */
static double scatter(const sizes *z, double bytes)
{
    cs_sim_time t = cs_machine_scatter(&z->collective, z->tp, bytes);
    return t.cpu + t.beside;
}

static double layer_weights(const sizes *z)
{
    return z->H * (z->heads + 2 * z->kv) + z->heads * z->H + z->up * z->H + z->ffn * z->H;
}

/* Norms, residuals, rotation, activation: bytes that pass through memory. */
static double layer_forward(const sizes *z)
{
    double attention = 4 * z->T * z->seen * z->heads / (z->m->attention_gflops * 1e9);
    double moved = 10 * z->R * z->H + z->T * (2 * (z->heads + z->kv) + z->up + z->ffn);
    return product(z, layer_weights(z)) + attention + by_rows(z, moved * z->store);
}

static double layer_backward(const sizes *z)
{
    double attention = 10 * z->T * z->seen * z->heads / (z->m->attention_gflops * 1e9);
    double moved = 12 * z->R * z->H + z->T * (2 * (z->heads + z->kv) + 2 * z->up + 2 * z->ffn);
    return product(z, layer_weights(z)) + weight_gradient(z, layer_weights(z)) + attention + by_rows(z, moved * z->store);
}

/* What backward computes again. */
static void add_again(const sizes *z, unsigned drop, double rows, double tensor, cs_piece_cost *c)
{
    double gather = z->shards ? scatter(z, rows) : 0;
    if (drop == CS_DROP_LAYER) {
        c->backward += layer_forward(z);
        c->tensor_backward += tensor;
    }
    if (drop & CS_DROP_NORMS)
        c->backward += by_rows(z, 4 * z->R * z->H * z->store);
    if (drop & CS_DROP_QKV) {
        c->backward += product(z, z->H * (z->heads + 2 * z->kv)) + by_rows(z, 2 * z->T * (z->heads + z->kv) * z->store);
        c->tensor_backward += gather;
    }
    if (drop & CS_DROP_ATTENTION)
        c->backward += 4 * z->T * z->seen * z->heads / (z->m->attention_gflops * 1e9);
    if (drop & CS_DROP_UP) {
        c->backward += product(z, z->up * z->H);
        c->tensor_backward += gather;
    }
}

static void add_layers(const sizes *z, int64_t stage, int64_t chunk, cs_piece_cost *c)
{
    int64_t n = cs_layout_n_layers(&z->q->layout, stage, chunk);
    double rows = z->T * z->H * z->store, forward = layer_forward(z);
    double tensor = 4 * scatter(z, rows); /* two all-reduces */
    c->forward += (double)n * forward;
    c->tensor_forward += (double)n * tensor;
    c->backward += (double)n * layer_backward(z);
    /* Sequence parallelism gathers the two inputs once more for their weights' gradients. */
    c->tensor_backward += (double)n * (tensor + (z->shards ? 2 * scatter(z, rows) : 0));
    for (int64_t i = 0; i < n; i++)
        add_again(z, cs_layout_drop(&z->q->layout, stage, chunk, i), rows, tensor, c);
}

/* The head's backward is part of its forward: nn/loss.h. */
static void add_head(const sizes *z, cs_piece_cost *c)
{
    double n = z->vocab * z->H, rows = z->T * z->H * z->store;
    c->forward += 2 * product(z, n) + weight_gradient(z, n) + by_rows(z, 4 * z->T * z->vocab * z->acc + 4 * z->R * z->H * z->store);
    c->tensor_forward += 2 * scatter(z, rows) + 6 * scatter(z, z->T * 8);
}

static void add_embedding(const sizes *z, cs_piece_cost *c)
{
    double rows = z->T * z->H * z->store;
    c->forward += traffic(z, 2 * z->T * z->H * z->store);
    c->backward += traffic(z, z->T * z->H * (z->store + 2 * z->acc));
    c->tensor_forward += (z->shards ? 1 : 2) * scatter(z, rows);
    c->tensor_backward += z->shards ? scatter(z, rows) : 0;
}

/* Pages that come and go with what other ranks own. */
static double fresh(const sizes *z, double bytes)
{
    return z->m->fresh_gbs > 0 ? bytes / (z->m->fresh_gbs * 1e9) : 0;
}

static double pack_one(const sizes *z, double rows, double cols, int form)
{
    if (z->m->pack_gbs <= 0)
        return 0;
    const cs_gemm_bytes b = z->q->kernels->gemm_bytes((int64_t)z->T, (int64_t)rows, (int64_t)cols, z->q->threads);
    return (double)b.pack[form] / (z->m->pack_gbs * 1e9);
}

/* The packed copies of a layer's weights, of one form; of the head. */
static double pack_layer(const sizes *z, int form)
{
    return pack_one(z, z->heads + 2 * z->kv, z->H, form) + pack_one(z, z->H, z->heads, form) + pack_one(z, z->up, z->H, form) +
           pack_one(z, z->H, z->ffn, form);
}

static double pack_head(const sizes *z)
{
    return pack_one(z, z->vocab, z->H, 0) + pack_one(z, z->vocab, z->H, 1);
}

/* Of weights that were gathered for this pass (ZeRO 3). */
static void add_packing(const sizes *z, int64_t stage, int64_t chunk, bool head, cs_piece_cost *c)
{
    int64_t n = cs_layout_n_layers(&z->q->layout, stage, chunk);
    c->forward += (double)n * pack_layer(z, 0) + (head ? pack_head(z) : 0);
    c->backward += (double)n * pack_layer(z, 1);
    for (int64_t i = 0; i < n; i++) {
        unsigned drop = cs_layout_drop(&z->q->layout, stage, chunk, i);
        if (drop == CS_DROP_LAYER)
            c->backward += pack_layer(z, 0);
        if (drop & CS_DROP_QKV)
            c->backward += pack_one(z, z->heads + 2 * z->kv, z->H, 0);
        if (drop & CS_DROP_UP)
            c->backward += pack_one(z, z->up, z->H, 0);
    }
}

cs_piece_cost cs_cost_piece(const cs_memory_request *q, const cs_machine *m, int64_t stage, int64_t chunk, int64_t samples)
{
    const cs_layout *l = &q->layout;
    sizes z = sizes_of(q, m, samples);
    bool first = stage == 0 && chunk == 0, last = stage == l->pp - 1 && chunk == l->chunks - 1;
    cs_piece_cost c = {.message_bytes = z.R * z.H * z.store};
    add_layers(&z, stage, chunk, &c);
    if (first)
        add_embedding(&z, &c);
    if (last)
        add_head(&z, &c);
    if (l->zero >= 2 && l->dp > 1) {
        cs_sim_group dp = cs_machine_group(m, l->dp, l->tp);
        double n = (double)cs_cost_parameters(q, stage, chunk), other = (double)(l->dp - 1) / (double)l->dp;
        cs_sim_time grads = cs_machine_scatter(m, dp, n * z.acc), weights = cs_machine_scatter(m, dp, n * z.store);
        c.gather_backward = grads;
        c.backward += fresh(&z, n * z.acc * other);
        if (l->zero >= 3) {
            double again_n = n - (first ? z.vocab * z.H : 0) - (last && !q->spec->tied_head ? z.vocab * z.H : 0);
            cs_sim_time again = cs_machine_scatter(m, dp, again_n * z.store); /* embedding and head are done in the forward pass */
            c.gather_forward = weights;
            c.gather_backward = (cs_sim_time){grads.cpu + again.cpu, grads.beside + again.beside};
            c.forward += fresh(&z, n * z.store * other);
            c.backward += fresh(&z, again_n * z.store * other);
            add_packing(&z, stage, chunk, last, &c);
        }
    }
    return c;
}

int64_t cs_cost_parameters(const cs_memory_request *q, int64_t stage, int64_t chunk)
{
    const cs_layout *l = &q->layout;
    const cs_spec *s = q->spec;
    int64_t tp = l->tp, h = s->hidden, heads = s->n_heads * s->head_dim / tp, kv = s->n_kv_heads * s->head_dim / tp, up = cs_spec_ffn_rows(s) / tp;
    int64_t norm = s->family->norm == CS_NORM_LAYER ? 2 * h : h, vocab = cs_mg_padded_vocab(s->vocab_size, 1, tp) / tp * h;
    int64_t layer = h * (heads + 2 * kv) + heads * h + up * h + s->ffn / tp * h + 2 * norm + (s->bias_qkv ? heads + 2 * kv : 0) +
                    (s->bias_out ? h : 0) + (s->bias_mlp ? up + h : 0);
    int64_t n = layer * cs_layout_n_layers(l, stage, chunk);
    if (stage == 0 && chunk == 0)
        n += vocab + (s->family->embed_norm ? norm : 0);
    if (stage == l->pp - 1 && chunk == l->chunks - 1)
        n += norm + (!s->tied_head || l->pp > 1 ? vocab : 0);
    return n;
}

static double stage_parameters(const cs_memory_request *q, int64_t stage)
{
    int64_t n = 0;
    for (int64_t c = 0; c < q->layout.chunks; c++)
        n += cs_cost_parameters(q, stage, c);
    return (double)n;
}

cs_sim_time cs_cost_reduction(const cs_memory_request *q, const cs_machine *m, int64_t stage, int64_t chunk)
{
    const cs_layout *l = &q->layout;
    if (l->zero >= 2 || l->dp == 1)
        return (cs_sim_time){0, 0};
    double bytes = (double)cs_cost_parameters(q, stage, chunk) * (double)cs_dtype_size(q->table->prec.acc), times = l->zero == 0 ? 2 : 1;
    cs_sim_time t = cs_machine_scatter(m, cs_machine_group(m, l->dp, l->tp), bytes);
    return (cs_sim_time){times * t.cpu, times * t.beside};
}

double cs_cost_tied(const cs_memory_request *q, const cs_machine *m)
{
    const cs_layout *l = &q->layout;
    if (!q->spec->tied_head || l->pp == 1)
        return 0;
    double bytes = (double)(cs_mg_padded_vocab(q->spec->vocab_size, 1, l->tp) / l->tp * q->spec->hidden) * (double)cs_dtype_size(q->table->prec.acc);
    cs_sim_time t = cs_machine_message(m, cs_cost_neighbours(l, m, 0, l->pp - 1), bytes);
    return t.cpu + t.beside;
}

/* Once a step: every weight that changed is packed again for both forms of product, when it is used first. */
static double repacking(const cs_memory_request *q, const cs_machine *m, int64_t stage)
{
    const cs_layout *l = &q->layout;
    const sizes z = sizes_of(q, m, l->largest_mbs);
    if (l->zero >= 3 && l->dp > 1)
        return 0;
    return (double)cs_layout_stage_layers(l, stage) * (pack_layer(&z, 0) + pack_layer(&z, 1)) + (stage == l->pp - 1 ? pack_head(&z) : 0);
}

double cs_cost_optimizer(const cs_memory_request *q, const cs_machine *m, int64_t stage)
{
    const cs_layout *l = &q->layout;
    const cs_precision *p = &q->table->prec;
    double n = stage_parameters(q, stage), acc = (double)cs_dtype_size(p->acc), own = n / (l->zero >= 1 ? (double)l->dp : 1);
    double cleared = l->zero >= 2 ? own : n;
    /* Clear; norm; gradient, master and moments read, all but the gradient written, and the weight in its own type. */
    double passes = 4 + 2 * cs_update_moments(q->rule);
    double bytes = cleared * acc + own * (passes * acc + (p->store == p->master ? 0 : (double)cs_dtype_size(p->store)));
    return bytes / (m->memory_gbs * 1e9) + repacking(q, m, stage);
}

double cs_cost_spread(const cs_memory_request *q, const cs_machine *m, int64_t stage)
{
    const cs_layout *l = &q->layout;
    if (l->zero == 0 || l->zero == 3 || l->dp == 1)
        return 0;
    double bytes = stage_parameters(q, stage) * (double)cs_dtype_size(q->table->prec.store);
    cs_sim_time t = cs_machine_scatter(m, cs_machine_group(m, l->dp, l->tp), bytes);
    return t.cpu + t.beside;
}

bool cs_cost_neighbours(const cs_layout *l, const cs_machine *m, int64_t stage, int64_t other)
{
    int64_t ranks = l->tp * l->dp, low = (stage < other ? stage : other) * ranks, high = ((stage > other ? stage : other) + 1) * ranks - 1;
    return low / m->ranks_per_host == high / m->ranks_per_host;
}
