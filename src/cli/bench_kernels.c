/* Each kernel of a table against the limit that binds it: arithmetic for products and attention, memory for the rest.
 * Shares above 100% of a memory limit mean that the arrays stayed in a cache. */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GEMV_BYTES = 160 << 20, N_ARRAY = 12, MAX_SEQ = 64 };

/* Everything that a case needs: scratch arrays of one size class each, all of the model's shape. */
typedef struct bed {
    cs_bench *b;
    const cs_kernels *k;
    int64_t T, H, F, V, D, heads, kv;
    void *mem[N_ARRAY];
    int n_mem;
    cs_weight w;
    int32_t *label;
    float *row_weight;
    double *loss;
    int64_t q_start[MAX_SEQ + 1], n_keys[MAX_SEQ];
    const void *keys[MAX_SEQ], *values[MAX_SEQ];
    cs_attn attn;
    cs_attn_grad grad;
} bed;

typedef struct kase {
    const char *name;
    void (*run)(bed *d);
    double (*work)(const bed *d); /* FLOPs or bytes of one run */
    enum { ARITHMETIC, READ, COPY } bound;
} kase;

static void *take(bed *d, cs_dtype t, int64_t n)
{
    void *p = cs_bench_array(t, n, (uint64_t)d->n_mem);
    if (d->n_mem < N_ARRAY)
        d->mem[d->n_mem++] = p;
    return p;
}

static int64_t store_size(const bed *d)
{
    return (int64_t)cs_dtype_size(d->k->store);
}

/* --- cases ------------------------------------------------------------------------------------------------------------------------ */

static void run_rmsnorm(bed *d)
{
    d->k->rmsnorm_fwd(d->T, d->H, d->mem[0], d->mem[2], 1e-5, d->mem[1], d->mem[3]);
}

static double work_rmsnorm(const bed *d)
{
    return 2.0 * (double)(d->T * d->H * store_size(d));
}

static void run_rmsnorm_bwd(bed *d)
{
    d->k->rmsnorm_bwd(d->T, d->H, d->mem[1], d->mem[0], d->mem[2], d->mem[3], d->mem[1], d->mem[4]);
}

static double work_rmsnorm_bwd(const bed *d)
{
    return 3.0 * (double)(d->T * d->H * store_size(d));
}

static void run_swiglu(bed *d)
{
    d->k->swiglu_fwd(d->T, d->F, d->mem[0], d->mem[1]);
}

static double work_swiglu(const bed *d)
{
    return 3.0 * (double)(d->T * d->F * store_size(d));
}

static void run_swiglu_bwd(bed *d)
{
    d->k->swiglu_bwd(d->T, d->F, d->mem[1], d->mem[0], d->mem[2], NULL);
}

static double work_swiglu_bwd(const bed *d)
{
    return 5.0 * (double)(d->T * d->F * store_size(d));
}

static void run_ce_stats(bed *d)
{
    d->k->ce_stats(d->T, d->V, d->mem[0], d->label, d->row_weight, d->loss, d->loss + d->T, d->loss + 2 * d->T);
}

static double work_ce_stats(const bed *d)
{
    return (double)(d->T * d->V) * 4;
}

static void run_ce_grad(bed *d)
{
    d->k->ce_grad(d->T, d->V, d->mem[0], d->label, d->row_weight, 1.0, d->loss, d->mem[1], d->V);
}

static double work_ce_grad(const bed *d)
{
    return (double)(d->T * d->V) * (double)(4 + store_size(d));
}

static void run_adamw(bed *d)
{
    cs_update h = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .step = 10, .grad_scale = 1};
    void *store = d->k->store == CS_F32 ? d->mem[0] : d->mem[4];
    d->k->adamw(d->T * d->V, d->mem[0], d->mem[1], d->mem[2], d->mem[3], &h, store);
}

static double work_adamw(const bed *d)
{
    return (double)(d->T * d->V) * (double)(28 + (d->k->store == CS_F32 ? 0 : 2));
}

static void run_attn(bed *d)
{
    d->k->attn_fwd(&d->attn);
}

/* Two products forward, five backward, half of each for the causal mask. */
static double work_attn(const bed *d)
{
    double sum = 0;
    for (int64_t s = 0; s < d->attn.n_seq; s++)
        sum += 2.0 * (double)d->n_keys[s] * (double)d->n_keys[s] * (double)(d->D * d->heads);
    return sum;
}

static void run_attn_bwd(bed *d)
{
    d->k->attn_bwd(&d->grad);
}

static double work_attn_bwd(const bed *d)
{
    return 2.5 * work_attn(d);
}

static void gemv(bed *d, int64_t rows)
{
    d->k->gemm_fwd(rows, d->mem[0], d->w.cols, &d->w, NULL, d->mem[1], d->w.rows, d->k->store, 0);
}

static void run_gemv1(bed *d)
{
    gemv(d, 1);
}

static void run_gemv4(bed *d)
{
    gemv(d, 4);
}

static void run_gemv8(bed *d)
{
    gemv(d, 8);
}

static double work_gemv(const bed *d)
{
    return (double)(d->w.rows * d->w.cols * store_size(d));
}

/* --- setting up ------------------------------------------------------------------------------------------------------------------- */

static bool setup_rows(bed *d)
{
    cs_dtype s = d->k->store;
    take(d, s, d->T * d->H), take(d, s, d->T * d->H), take(d, s, d->H), take(d, CS_F32, d->T), take(d, CS_F32, d->H);
    return true;
}

static bool setup_swiglu(bed *d)
{
    cs_dtype s = d->k->store;
    take(d, s, d->T * d->F * 2), take(d, s, d->T * d->F), take(d, s, d->T * d->F * 2);
    return true;
}

static bool setup_loss(bed *d)
{
    take(d, CS_F32, d->T * d->V), take(d, d->k->store, d->T * d->V);
    d->label = take(d, CS_F32, d->T);
    d->row_weight = take(d, CS_F32, d->T);
    d->loss = take(d, CS_F32, 6 * d->T); /* three f64 a row */
    for (int64_t i = 0; d->label && d->row_weight && i < d->T; i++) {
        d->label[i] = (int32_t)(i * 7919 % d->V);
        d->row_weight[i] = 1;
    }
    return true;
}

/* As many parameters as logits: above every cache. */
static bool setup_adamw(bed *d)
{
    for (int i = 0; i < 4; i++)
        take(d, CS_F32, d->T * d->V);
    take(d, d->k->store, d->T * d->V);
    for (int64_t i = 0; d->mem[2] && i < d->T * d->V; i++)
        ((float *)d->mem[2])[i] = 0.25f; /* second moments are not negative */
    return true;
}

static bool setup_gemv(bed *d)
{
    int64_t K = 4096, N = GEMV_BYTES / (K * store_size(d));
    take(d, d->k->store, 8 * K), take(d, d->k->store, 8 * N);
    d->w = (cs_weight){.data = take(d, d->k->store, N * K), .dtype = d->k->store, .rows = N, .cols = K, .ld = K, .version = 1};
    return true;
}

static bool setup_attn(bed *d)
{
    cs_dtype s = d->k->store;
    int64_t width = d->D * (d->heads + 2 * d->kv), seq = d->b->cfg->seq < d->T ? d->b->cfg->seq : d->T, n = d->T / seq;
    n = n < MAX_SEQ ? n : MAX_SEQ;
    int64_t rows = n * seq;
    char *qkv = take(d, s, rows * width), *dqkv;
    void *out = take(d, s, rows * d->heads * d->D), *dout = take(d, s, rows * d->heads * d->D), *lse = take(d, CS_F32, rows * d->heads);
    dqkv = take(d, s, rows * width);
    void *work = take(d, CS_F32, (int64_t)(d->k->attn_work_bytes(rows, d->heads, d->kv, d->D) / 4 + 1));
    if (!qkv || !dqkv)
        return false;
    char *k0 = qkv + d->heads * d->D * store_size(d), *v0 = k0 + d->kv * d->D * store_size(d);
    for (int64_t i = 0; i < n; i++) {
        d->q_start[i] = i * seq;
        d->n_keys[i] = seq;
        d->keys[i] = k0 + i * seq * width * store_size(d);
        d->values[i] = v0 + i * seq * width * store_size(d);
    }
    d->q_start[n] = rows;
    d->attn = (cs_attn){.n_seq = n, .n_heads = d->heads, .n_kv_heads = d->kv, .head_dim = d->D, .q_start = d->q_start, .n_keys = d->n_keys, .q = qkv,
                        .ldq = width, .k = d->keys, .v = d->values, .k_ld = width, .k_head = d->D, .scale = 1 / sqrt((double)d->D), .out = out,
                        .ld_out = d->heads * d->D, .lse = lse};
    char *dk = dqkv + d->heads * d->D * store_size(d);
    d->grad = (cs_attn_grad){&d->attn, dout, d->heads * d->D, dqkv, width, dk, dk + d->kv * d->D * store_size(d), width, work};
    return true;
}

typedef struct set {
    bool (*setup)(bed *d);
    kase cases[3];
} set;

static const set sets[] = {
    {setup_attn, {{"attention fwd, causal", run_attn, work_attn, ARITHMETIC}, {"attention bwd, causal", run_attn_bwd, work_attn_bwd, ARITHMETIC}}},
    {setup_rows, {{"rmsnorm fwd", run_rmsnorm, work_rmsnorm, COPY}, {"rmsnorm bwd", run_rmsnorm_bwd, work_rmsnorm_bwd, COPY}}},
    {setup_swiglu, {{"swiglu fwd", run_swiglu, work_swiglu, COPY}, {"swiglu bwd", run_swiglu_bwd, work_swiglu_bwd, COPY}}},
    {setup_loss, {{"cross-entropy statistics", run_ce_stats, work_ce_stats, COPY}, {"cross-entropy gradient", run_ce_grad, work_ce_grad, COPY}}},
    {setup_adamw, {{"adamw", run_adamw, work_adamw, COPY}}},
    {setup_gemv,
     {{"weights x 1 row", run_gemv1, work_gemv, READ},
      {"weights x 4 rows", run_gemv4, work_gemv, READ},
      {"weights x 8 rows", run_gemv8, work_gemv, READ}}},
};

static void measure(bed *d, const kase *c)
{
    double best = 1e30, work = c->work(d), read = 0;
    for (int64_t r = 0; r <= d->b->cfg->repeat; r++) {
        if (c->bound == READ) /* memory bandwidth drifts: its limit is taken here, in turns, over as many bytes */
            read = fmax(read, GEMV_BYTES / cs_probe_read(d->w.data, GEMV_BYTES, d->b->threads) * 1e-9);
        double start = cs_clock_now();
        c->run(d);
        double s = cs_clock_now() - start;
        best = r > 0 && s < best ? s : best;
    }
    const cs_bench_limits *l = &d->b->lim;
    double limit = c->bound == ARITHMETIC ? l->fma : c->bound == READ ? read : l->copy;
    const char *of = c->bound == ARITHMETIC ? "f32 fma peak" : c->bound == READ ? "read in turns" : "memory copy";
    cs_bench_row(d->b, "kernels", c->name, cs_dtype_name(d->k->store), work / best * 1e-9, c->bound == ARITHMETIC ? "GFLOP/s" : "GB/s", limit, of);
}

static cs_status run_set(cs_bench *b, const cs_kernels *k, const set *s)
{
    const cs_bench_config *c = b->cfg;
    bed d = {
        .b = b, .k = k, .T = c->tokens, .H = c->hidden, .F = c->ffn, .V = c->vocab, .D = c->hidden / c->heads, .heads = c->heads, .kv = c->kv_heads};
    bool ok = s->setup(&d);
    for (int i = 0; i < d.n_mem; i++)
        ok = ok && d.mem[i];
    for (int i = 0; ok && i < 3 && s->cases[i].run; i++)
        measure(&d, &s->cases[i]);
    if (d.w.data)
        k->weight_release(&d.w);
    for (int i = 0; i < d.n_mem; i++)
        cs_free(d.mem[i]);
    return ok ? CS_OK : cs_fail(b->err, CS_E_NOMEM, "out of memory for the arrays of bench; use fewer --tokens");
}

cs_status cs_bench_kernels_run(cs_bench *b)
{
    static const cs_dtype types[] = {CS_F32, CS_BF16};
    for (int i = 0; i < 2; i++) {
        cs_kernels_request req = {types[i], b->cfg->isa, b->cfg->gemm};
        const cs_kernels *k;
        const char *chosen;
        CS_TRY(cs_kernels_select(&req, &k, &chosen, b->err));
        if (b->text)
            printf("%s: table %s\n", cs_dtype_name(types[i]), k->name);
        for (size_t j = 0; j < sizeof sets / sizeof *sets; j++)
            CS_TRY(run_set(b, k, &sets[j]));
    }
    return CS_OK;
}
