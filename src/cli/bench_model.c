/* Whole models end to end on random weights and tokens: a training step (forward, loss, backward, clipping, AdamW), prefill and decode.
 * Training counts 6 N + 12 L h s operations a token (N: parameters in matrix products), decode the bytes of weights it has to stream. */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "infer/kvcache.h"
#include "parallel/dp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cs_spec make_spec(const cs_bench_config *c, int64_t n_pos)
{
    return (cs_spec){.family = cs_families[0], .vocab_size = c->vocab, .hidden = c->hidden, .ffn = c->ffn, .n_layers = c->layers, .n_heads = c->heads,
                     .n_kv_heads = c->kv_heads, .head_dim = c->hidden / c->heads, .max_pos = n_pos, .norm_eps = 1e-5, .rope_theta = 10000,
                     .init_std = 0.02, .bos = -1, .eos = -1, .pad = -1};
}

static cs_status make_model(cs_bench *b, cs_dtype t, bool training, int64_t n_pos, cs_model **out)
{
    cs_spec spec = make_spec(b->cfg, n_pos);
    const cs_model_options opt = {.kernels = {t, b->cfg->isa, b->cfg->gemm}, .training = training, .n_pos = n_pos};
    return cs_model_create(&spec, &opt, out, b->err);
}

/* Random tokens in sequences of cfg->seq, every position trained. */
typedef struct rows {
    cs_batch batch;
    cs_arena arena;
} rows;

static cs_status rows_init(rows *r, const cs_bench_config *c, int64_t n, int64_t seq, cs_error *err)
{
    int64_t n_seq = (n + seq - 1) / seq;
    cs_arena_init(&r->arena, "bench rows");
    int64_t *start = cs_arena_calloc(&r->arena, (size_t)n_seq + 1, sizeof *start);
    int32_t *tokens = cs_arena_calloc(&r->arena, (size_t)n + 1, sizeof *tokens), *pos = cs_arena_calloc(&r->arena, (size_t)n, sizeof *pos);
    float *weights = cs_arena_calloc(&r->arena, (size_t)n, sizeof *weights);
    if (!start || !tokens || !pos || !weights)
        return cs_fail_nomem(err, (size_t)n * 16, "the batch");
    for (int64_t i = 0; i <= n; i++)
        tokens[i] = (int32_t)(cs_rng_uniform(1, 7, (uint64_t)i) * (double)c->vocab);
    for (int64_t i = 0; i < n; i++) {
        pos[i] = (int32_t)(i % seq);
        weights[i] = 1;
    }
    for (int64_t s = 0; s <= n_seq; s++)
        start[s] = s * seq < n ? s * seq : n;
    r->batch = (cs_batch){.rows = n, .n_seq = n_seq, .seq_start = start, .tokens = tokens, .labels = tokens + 1, .weights = weights, .pos = pos,
                          .trained = (double)n};
    return CS_OK;
}

static double one_step(cs_model *m, cs_dp *dp, const cs_batch *batch, int64_t step)
{
    bool finite;
    double start = cs_clock_now();
    cs_dp_zero_grads(dp);
    cs_model_loss_backward(m, batch, 1.0 / batch->trained);
    cs_dp_reduce_grads(dp);
    double norm = cs_dp_grad_norm(dp, &finite);
    const cs_update h = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .step = step,
                        .grad_scale = fmin(1, 1 / (norm + 1e-6))};
    cs_dp_step(dp, &h);
    return cs_clock_now() - start;
}

static cs_status train_one(cs_bench *b, cs_dtype t, const rows *r)
{
    const cs_bench_config *c = b->cfg;
    const char *of;
    cs_model *m;
    cs_dp dp;
    double best = INFINITY;
    CS_TRY(make_model(b, t, true, c->seq, &m));
    cs_status status = cs_dp_init(&dp, &m->table, m->k, m->mesh, (cs_dp_policy){0}, b->err);
    if (status != CS_OK) {
        cs_model_destroy(m);
        return status;
    }
    cs_model_bind_grad(m, m->table.grad);
    cs_param_table_fill(&m->table, 1);
    cs_dp_adopt_weights(&dp);
    one_step(m, &dp, &r->batch, 1);
    for (int64_t i = 0; i < c->repeat; i++)
        best = fmin(best, one_step(m, &dp, &r->batch, i + 2));
    double tokens = (double)r->batch.rows, peak = cs_bench_peak(b, t, &of);
    double flops = 6.0 * (double)cs_spec_n_matmul_params(&m->spec) + 12.0 * (double)(c->layers * c->hidden * c->seq);
    cs_bench_row(b, "train", m->k->name, cs_dtype_name(t), tokens / best, "tokens/s", 0, NULL);
    cs_bench_row(b, "train", m->k->name, cs_dtype_name(t), tokens * flops / best * 1e-9, "GFLOP/s", peak, of);
    cs_dp_release(&dp);
    cs_model_destroy(m);
    return CS_OK;
}

cs_status cs_bench_train_run(cs_bench *b)
{
    const cs_dtype types[] = {CS_F32, CS_BF16};
    rows r;
    cs_status status = rows_init(&r, b->cfg, b->cfg->tokens, b->cfg->seq, b->err);
    for (int i = 0; i < 2 && status == CS_OK; i++)
        status = train_one(b, types[i], &r);
    cs_arena_release(&r.arena);
    return status;
}

/* Logits of the last row only, as a generator needs them. */
static cs_status forward(cs_bench *b, cs_model *m, cs_kvcache *cache, const cs_batch *batch, void *logits, double *seconds)
{
    const int64_t slot = 0, last = batch->rows - 1;
    CS_TRY(cs_kvcache_reserve(cache, slot, batch->rows, b->err));
    double start = cs_clock_now();
    cs_kv kv = cs_kvcache_view(cache, &slot, 1);
    cs_model_logits(m, batch, &kv, &last, 1, logits);
    cs_kvcache_advance(cache, slot, batch->rows);
    *seconds = cs_clock_now() - start;
    return CS_OK;
}

static cs_status decode_with(cs_bench *b, cs_dtype t, cs_model *m, cs_kvcache *cache, const rows *r, void *logits)
{
    const cs_bench_config *c = b->cfg;
    double prefill = INFINITY, token = INFINITY, seconds;
    for (int64_t i = 0; i <= c->repeat; i++) {
        double sum = 0;
        cs_kvcache_clear(cache, 0);
        CS_TRY(forward(b, m, cache, &r->batch, logits, &seconds));
        prefill = fmin(prefill, seconds);
        for (int64_t k = 0; k < c->new_tokens; k++) {
            const int64_t start[] = {0, 1};
            const int32_t pos = (int32_t)(r->batch.rows + k);
            const cs_batch one = {.rows = 1, .n_seq = 1, .seq_start = start, .tokens = r->batch.tokens + k % r->batch.rows, .pos = &pos};
            CS_TRY(forward(b, m, cache, &one, logits, &seconds));
            sum += seconds;
        }
        token = fmin(token, sum / (double)c->new_tokens);
    }
    double bytes = (double)cs_spec_n_matmul_params(&m->spec) * (double)cs_dtype_size(t);
    cs_bench_row(b, "decode", "prefill", cs_dtype_name(t), (double)r->batch.rows / prefill, "tokens/s", 0, NULL);
    cs_bench_row(b, "decode", "one token at a time", cs_dtype_name(t), 1 / token, "tokens/s", 0, NULL);
    cs_bench_row(b, "decode", "weights streamed", cs_dtype_name(t), bytes / token * 1e-9, "GB/s", b->lim.read, "memory read");
    return CS_OK;
}

static cs_status decode_one(cs_bench *b, cs_dtype t, const rows *r)
{
    int64_t n_pos = r->batch.rows + b->cfg->new_tokens;
    cs_model *m;
    cs_kvcache cache;
    CS_TRY(make_model(b, t, false, n_pos, &m));
    cs_param_table_fill(&m->table, 1);
    cs_status status = cs_kvcache_init(&cache, m, 1, n_pos, b->err);
    if (status == CS_OK) {
        void *logits = cs_alloc_aligned((size_t)b->cfg->vocab * cs_dtype_size(m->prec.acc));
        status = logits ? decode_with(b, t, m, &cache, r, logits) : cs_fail_nomem(b->err, (size_t)b->cfg->vocab * 4, "logits");
        cs_free(logits);
        cs_kvcache_release(&cache);
    }
    cs_model_destroy(m);
    return status;
}

cs_status cs_bench_decode_run(cs_bench *b)
{
    const cs_dtype types[] = {CS_F32, CS_BF16};
    rows r;
    cs_status status = rows_init(&r, b->cfg, b->cfg->seq, b->cfg->seq, b->err);
    for (int i = 0; i < 2 && status == CS_OK; i++)
        status = decode_one(b, types[i], &r);
    cs_arena_release(&r.arena);
    return status;
}
