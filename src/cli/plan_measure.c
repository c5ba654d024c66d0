/* This machine as `plan` sees it: everything is measured by as many ranks at once as a host has, for they share caches, memory and the clock. */
#include "cli/bench.h"
#include "cli/plan.h"

#include "base/clock.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 512, WIDTH = 2048, UPDATE_BYTES = 128 << 20, FRESH_BYTES = 32 << 20, MESSAGE_BYTES = 8 << 20, ROUNDS = 3, HEADS = 8, POSITIONS = 1024 };
enum { N_SHAPES = 4, MOST_ROUNDS = 16 };
/* Between hosts nothing can be measured here: 10 Gbit/s. */
static const double net_gbs = 1.25, net_latency_s = 30e-6;

/* What one rank finds while all ranks of the host do the same. */
typedef struct rates {
    double gflops, attention, memory, rows, tensor, pack, fresh;
} rates;

/* In memory that the ranks and their parent share. */
typedef struct probe {
    const cs_memory_request *q;
    const cs_kernels_request *ask;
    char gemm[16];
    rates rank[];
} probe;

static void *zeroed(size_t n, size_t size)
{
    size_t bytes;
    void *p = cs_mul_checked(n, size, &bytes) ? cs_alloc_aligned(bytes) : NULL;
    return p ? memset(p, 0, bytes) : NULL;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A layer's weights as a rank has them, but at most WIDTH x WIDTH. */
static void find_shapes(const cs_memory_request *q, int64_t rows[N_SHAPES], int64_t cols[N_SHAPES])
{
    const cs_spec *s = q->spec;
    int64_t tp = q->layout.tp, H = s->hidden, heads = s->n_heads * s->head_dim / tp;
    int64_t n[N_SHAPES] = {heads + 2 * s->n_kv_heads * s->head_dim / tp, H, cs_spec_ffn_rows(s) / tp, H}, k[N_SHAPES] = {H, heads, H, s->ffn / tp};
    for (int i = 0; i < N_SHAPES; i++) {
        rows[i] = least(WIDTH, n[i]);
        cols[i] = least(WIDTH, k[i]);
    }
}

enum { PACKING, FORWARD, PACKING_INPUT, INPUT, WEIGHT, N_PRODUCTS };

/* The products with one weight, those that pack it once more without. */
static void run_products(const cs_kernels *k, int64_t T, cs_weight *w, void *x, void *y, void *dw, double t[N_PRODUCTS])
{
    int64_t N = w->rows, K = w->cols;
    double at[N_PRODUCTS + 1] = {cs_clock_now()};
    w->version++;
    for (int i = PACKING; i <= FORWARD; i++, at[i] = cs_clock_now())
        k->gemm_fwd(T, x, K, w, NULL, y, N, k->store, 0);
    for (int i = PACKING_INPUT; i <= INPUT; i++, at[i] = cs_clock_now())
        k->gemm_dgrad(T, y, N, w, x, K, 0);
    k->gemm_wgrad(T, N, K, y, N, x, K, dw);
    at[N_PRODUCTS] = cs_clock_now();
    for (int i = 0; i < N_PRODUCTS; i++)
        t[i] = fmin(t[i], at[i + 1] - at[i]);
}

/* GFLOP/s of the three products with a layer's weights; GB/s of packed copies. */
static cs_status measure_products(const cs_memory_request *q, const cs_kernels *k, cs_comm *world, rates *out, cs_error *err)
{
    int64_t rows[N_SHAPES], cols[N_SHAPES], T = least(ROWS, q->layout.largest_mbs * q->layout.seq_length), wide = 0, work = 0, packed = 0;
    find_shapes(q, rows, cols);
    for (int i = 0; i < N_SHAPES; i++)
        wide = rows[i] > wide ? rows[i] : cols[i] > wide ? cols[i] : wide;
    size_t store = cs_dtype_size(k->store), acc = cs_dtype_size(k->acc);
    char *x = zeroed((size_t)(T * wide), store), *y = zeroed((size_t)(T * wide), store), *data = zeroed((size_t)(wide * wide), store);
    char *dw = zeroed((size_t)(wide * wide), acc);
    cs_status status = x && y && data && dw ? CS_OK : cs_fail_nomem(err, (size_t)(wide * wide) * acc, "the measurement of matrix products");
    status = cs_agree(world, status, err);
    double seconds = 0, packing = 0;
    for (int i = 0; status == CS_OK && i < N_SHAPES; i++) {
        cs_weight w = {.data = data, .dtype = k->store, .rows = rows[i], .cols = cols[i], .ld = cols[i], .version = 1};
        double t[N_PRODUCTS] = {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY};
        double rounds = fmin(MOST_ROUNDS, 2e10 / (10 * (double)(T * rows[i]) * (double)cols[i])); /* small ones take little time */
        for (int r = 0; r < ROUNDS || r < rounds; r++) {
            cs_comm_barrier(world);
            run_products(k, T, &w, x, y, dw, t);
        }
        k->weight_release(&w);
        const cs_gemm_bytes b = k->gemm_bytes(T, rows[i], cols[i], q->threads);
        seconds += t[FORWARD] + t[INPUT] + t[WEIGHT];
        packing += t[PACKING] - t[FORWARD] + t[PACKING_INPUT] - t[INPUT];
        packed += (int64_t)(b.pack[0] + b.pack[1]);
        work += rows[i] * cols[i];
    }
    out->gflops = 6e-9 * (double)T * (double)work / seconds;
    out->pack = packing > 0 ? (double)packed * 1e-9 / packing : 0;
    cs_free(dw);
    cs_free(data);
    cs_free(y);
    cs_free(x);
    return status;
}

typedef struct attention {
    int64_t T, heads, kv, D, seq[2], keys;
    char *qkv, *out, *dout, *dqkv, *lse, *work;
} attention;

static double run_attention(const cs_kernels *k, const attention *a)
{
    int64_t ld = (a->heads + 2 * a->kv) * a->D;
    size_t store = cs_dtype_size(k->store);
    const void *keys = a->qkv + (size_t)(a->heads * a->D) * store, *values = a->qkv + (size_t)((a->heads + a->kv) * a->D) * store;
    const cs_attn f = {.n_seq = 1, .n_heads = a->heads, .n_kv_heads = a->kv, .head_dim = a->D, .q_start = a->seq,
                       .n_keys = &a->keys, .q = a->qkv, .ldq = ld,
                       .k = &keys, .v = &values, .k_ld = ld, .k_head = a->D, .scale = 1 / sqrt((double)a->D), .out = a->out,
                       .ld_out = a->heads * a->D, .lse = a->lse};
    const cs_attn_grad g = {.fwd = &f, .dout = a->dout, .ld_dout = a->heads * a->D, .dq = a->dqkv, .ld_dq = ld,
                            .dk = a->dqkv + (size_t)(a->heads * a->D) * store, .dv = a->dqkv + (size_t)((a->heads + a->kv) * a->D) * store,
                            .ld_dkv = ld, .work = a->work};
    double start = cs_clock_now();
    k->attn_fwd(&f);
    k->attn_bwd(&g);
    return cs_clock_now() - start;
}

/* Forward and backward, one sequence, heads in the model's proportion. */
static cs_status measure_attention(const cs_memory_request *q, const cs_kernels *k, cs_comm *world, rates *out, cs_error *err)
{
    const cs_spec *s = q->spec;
    int64_t kv = s->n_kv_heads / q->layout.tp, heads = s->n_heads / q->layout.tp, each = heads / kv;
    kv = least(kv, each < HEADS ? HEADS / each : 1);
    attention a = {.T = least(POSITIONS, q->layout.seq_length), .kv = kv, .heads = kv * each, .D = s->head_dim};
    a.seq[1] = a.keys = a.T;
    size_t store = cs_dtype_size(k->store), wide = (size_t)(a.T * (a.heads + 2 * kv) * a.D), n = (size_t)(a.T * a.heads * a.D);
    double best = INFINITY;
    a.qkv = zeroed(wide, store);
    a.dqkv = zeroed(wide, store);
    a.out = zeroed(n, store);
    a.dout = zeroed(n, store);
    a.lse = zeroed((size_t)(a.T * a.heads), cs_dtype_size(k->acc));
    a.work = zeroed(k->attn_work_bytes(a.T, a.heads, kv, a.D) + 1, 1);
    bool ok = a.qkv && a.dqkv && a.out && a.dout && a.lse && a.work;
    cs_status status = cs_agree(world, ok ? CS_OK : cs_fail_nomem(err, wide * store, "the measurement of attention"), err);
    for (int r = 0; status == CS_OK && r <= ROUNDS; r++) {
        cs_comm_barrier(world);
        double t = run_attention(k, &a);
        best = r > 0 ? fmin(best, t) : best;
    }
    out->attention = 14e-9 * (double)n * (double)(a.T + 1) / 2 / best;
    char *all[] = {a.qkv, a.dqkv, a.out, a.dout, a.lse, a.work};
    for (int i = 0; i < 6; i++)
        cs_free(all[i]);
    return status;
}

/* Memory as the optimizer moves it: in place, more than the caches hold. */
static cs_status measure_memory(const cs_kernels *k, cs_comm *world, rates *out, cs_error *err)
{
    size_t acc = cs_dtype_size(k->acc), store = cs_dtype_size(k->store), n = UPDATE_BYTES / 4 / acc / (size_t)cs_comm_size(world);
    bool separate = k->store != k->acc;
    void *p = zeroed(n, acc), *m = zeroed(n, acc), *v = zeroed(n, acc), *g = zeroed(n, acc), *to = separate ? zeroed(n, store) : p;
    double best = INFINITY;
    cs_status status = cs_agree(world, p && m && v && g && to ? CS_OK : cs_fail_nomem(err, UPDATE_BYTES, "the measurement of memory"), err);
    for (int r = 0; status == CS_OK && r <= ROUNDS; r++) {
        const cs_update h = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .step = 1, .grad_scale = 1};
        cs_comm_barrier(world);
        double start = cs_clock_now();
        k->adamw((int64_t)n, p, m, v, g, &h, to);
        best = r > 0 ? fmin(best, cs_clock_now() - start) : best;
    }
    out->memory = 1e-9 * (double)n * (double)(7 * acc + (separate ? store : 0)) / best;
    if (separate)
        cs_free(to);
    cs_free(g);
    cs_free(v);
    cs_free(m);
    cs_free(p);
    return status;
}

typedef struct row_work {
    int64_t T, H, F, up;
    char *x, *y, *w, *dw, *rstd, *u, *h;
} row_work;

/* A norm, a residual sum and the activation, forward and backward; returns the bytes as parallel/cost.c counts them. */
static double run_rows(const cs_kernels *k, const cs_spec *s, const row_work *a)
{
    bool gelu = s->family->act == CS_ACT_GELU;
    k->rmsnorm_fwd(a->T, a->H, a->x, a->w, 1e-5, a->y, a->rstd);
    k->add(a->T * a->H, a->y, a->x);
    (gelu ? k->gelu_fwd : k->swiglu_fwd)(a->T, a->F, a->u, a->h);
    (gelu ? k->gelu_bwd : k->swiglu_bwd)(a->T, a->F, a->h, a->u, a->u, a->h);
    k->rmsnorm_bwd(a->T, a->H, a->y, a->x, a->w, a->rstd, a->y, a->dw);
    return (double)a->T * (double)(8 * a->H + 3 * (a->up + a->F)) * (double)cs_dtype_size(k->store);
}

static cs_status measure_rows(const cs_memory_request *q, const cs_kernels *k, cs_comm *world, rates *out, cs_error *err)
{
    const cs_spec *s = q->spec;
    size_t store = cs_dtype_size(k->store), acc = cs_dtype_size(k->acc);
    row_work a = {.T = least(ROWS, q->layout.largest_mbs * q->layout.seq_length), .H = s->hidden, .F = s->ffn / q->layout.tp,
                  .up = cs_spec_ffn_rows(s) / q->layout.tp};
    a.x = zeroed((size_t)(a.T * a.H), store);
    a.y = zeroed((size_t)(a.T * a.H), store);
    a.w = zeroed((size_t)a.H, store);
    a.dw = zeroed((size_t)a.H, acc);
    a.rstd = zeroed((size_t)a.T, acc);
    a.u = zeroed((size_t)(a.T * a.up), store);
    a.h = zeroed((size_t)(a.T * a.F), store);
    bool ok = a.x && a.y && a.w && a.dw && a.rstd && a.u && a.h;
    cs_status status = cs_agree(world, ok ? CS_OK : cs_fail_nomem(err, (size_t)(a.T * a.up) * store, "the measurement of norms"), err);
    double best = INFINITY, bytes = 0;
    for (int r = 0; status == CS_OK && r < MOST_ROUNDS; r++) {
        cs_comm_barrier(world);
        double start = cs_clock_now();
        bytes = run_rows(k, s, &a);
        best = fmin(best, cs_clock_now() - start);
    }
    out->rows = 1e-9 * bytes / best;
    char *all[] = {a.x, a.y, a.w, a.dw, a.rstd, a.u, a.h};
    for (int i = 0; i < 7; i++)
        cs_free(all[i]);
    return status;
}

/* Pages of the parts that ZeRO 2 and 3 hold for a while. */
static cs_status measure_fresh(cs_comm *world, rates *out, cs_error *err)
{
    size_t bytes = FRESH_BYTES / (size_t)cs_comm_size(world);
    void *p = cs_comm_alloc_sparse(world, (int64_t)bytes);
    double best = INFINITY;
    if (!p)
        return cs_fail_nomem(err, bytes, "the measurement of fresh memory");
    for (int r = 0; r < ROUNDS; r++) {
        cs_comm_barrier(world);
        double start = cs_clock_now();
        for (size_t at = 0; at < bytes; at += 4096)
            ((char *)p)[at] = 1;
        cs_mem_clear(p, bytes);
        best = fmin(best, cs_clock_now() - start);
    }
    out->fresh = 1e-9 * (double)bytes / best;
    cs_comm_free(world, p);
    return CS_OK;
}

/* Half of an all-reduce of activations, as tensor-parallel ranks see it. */
static cs_status measure_tensor(const cs_memory_request *q, const cs_kernels *k, cs_comm *world, rates *out, cs_error *err)
{
    size_t store = cs_dtype_size(k->store);
    int64_t ranks = cs_comm_size(world), n = least(MESSAGE_BYTES / (int64_t)store, least(ROWS, q->layout.seq_length) * q->spec->hidden);
    void *p = zeroed((size_t)n, store);
    double best = INFINITY;
    CS_TRY(cs_agree(world, p ? CS_OK : cs_fail_nomem(err, (size_t)n * store, "the measurement of sums"), err));
    for (int r = 0; ranks > 1 && r < 4 * ROUNDS; r++) {
        cs_comm_barrier(world);
        double start = cs_clock_now();
        cs_comm_allreduce_sum(world, p, n, k->store);
        best = fmin(best, cs_clock_now() - start);
    }
    out->tensor = 2e-9 * (double)(ranks - 1) / (double)ranks * (double)n * (double)store / best; /* 0 for a rank alone */
    cs_free(p);
    return CS_OK;
}

static cs_status measure_all(probe *p, cs_comm *world, cs_error *err)
{
    const cs_kernels *k;
    cs_kernels_request ask = *p->ask;
    const char *gemm = "";
    rates *mine = &p->rank[cs_comm_rank(world)];
    cs_status status = CS_OK;
    if (cs_comm_rank(world) == 0) { /* rank 0 chooses, as in training */
        status = cs_kernels_select(&ask, &k, &gemm, err);
        snprintf(p->gemm, sizeof p->gemm, "%s", gemm);
    }
    CS_TRY(cs_agree(world, status, err));
    ask.gemm = p->gemm;
    CS_TRY(cs_agree(world, cs_kernels_select(&ask, &k, NULL, err), err));
    CS_TRY(measure_products(p->q, k, world, mine, err));
    CS_TRY(measure_attention(p->q, k, world, mine, err));
    CS_TRY(measure_memory(k, world, mine, err));
    CS_TRY(measure_rows(p->q, k, world, mine, err));
    CS_TRY(measure_fresh(world, mine, err));
    return measure_tensor(p->q, k, world, mine, err);
}

static int measure_rank(cs_comm *world, void *arg)
{
    probe *p = arg;
    cs_error err = {0};
    omp_set_num_threads(p->q->threads);
    cs_status status = measure_all(p, world, &err);
    if (status != CS_OK && cs_comm_rank(world) == 0)
        cs_error_print(&err);
    return status;
}

cs_status cs_plan_measure(const cs_memory_request *q, const cs_kernels_request *ask, int64_t ranks_per_host, cs_machine *out, char gemm[16],
                          cs_error *err)
{
    cs_bench_rank_rates two;
    int before = omp_get_max_threads();
    bool mpi = cs_launch_under_mpi(); /* then no ranks are forked */
    int64_t n = mpi ? 1 : ranks_per_host;
    size_t bytes = sizeof(probe) + (size_t)n * sizeof(rates);
    *out = (cs_machine){.ranks_per_host = ranks_per_host, .net_gbs = net_gbs, .net_latency_s = net_latency_s, .net_overlap = 1,
                        .host_latency_s = 1e-6};
    snprintf(out->name, sizeof out->name, "this machine (%s), %d threads a rank", cs_kernels_cpu_isa(), q->threads);
    CS_TRY(cs_bench_ranks(2, 3, &two, err));
    probe *p = cs_launch_share(bytes);
    if (!p)
        return cs_fail_nomem(err, bytes, "the result of the ranks");
    p->q = q;
    p->ask = ask;
    int code = mpi ? measure_rank(cs_comm_self(), p) : cs_launch(n, measure_rank, p);
    omp_set_num_threads(before);
    for (int64_t r = 0; r < n; r++) {
        const rates *one = &p->rank[r];
        out->gflops += one->gflops / (double)n;
        out->attention_gflops += one->attention / (double)n;
        out->memory_gbs += one->memory / (double)n;
        out->rows_gbs += one->rows / (double)n;
        out->tensor_gbs += one->tensor / (double)n;
        out->pack_gbs += one->pack / (double)n;
        out->fresh_gbs += one->fresh / (double)n;
    }
    memcpy(gemm, p->gemm, 16);
    cs_launch_unshare(p, bytes);
    out->host_gbs = mpi ? out->memory_gbs / 3 : two.allreduce[2]; /* a sum moves each byte three times */
    return code == CS_OK ? CS_OK : cs_fail(err, (cs_status)code, "the ranks of the machine's measurement ended with code %d", code);
}
