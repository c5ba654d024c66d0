/* This machine as `plan` sees it. */
#include "cli/bench.h"
#include "cli/plan.h"

#include "base/clock.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 512, WIDTH = 4096, STREAM_BYTES = 64 << 20, ROUNDS = 3, HEADS = 8, POSITIONS = 1024 };
/* Between hosts nothing can be measured here: 10 Gbit/s. */
static const double net_gbs = 1.25, net_latency_s = 30e-6;

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

/* GFLOP/s of the three products with the feed-forward's first weight, as large as a rank has it but at most WIDTH x WIDTH. */
static cs_status measure_products(const cs_memory_request *q, double *gflops, cs_error *err)
{
    const cs_kernels *k = q->kernels;
    int64_t T = least(ROWS, q->layout.largest_mbs * q->layout.seq_length), K = least(WIDTH, q->spec->hidden);
    int64_t N = least(WIDTH, cs_spec_ffn_rows(q->spec) / q->layout.tp), large = (K > N ? K : N) * (T > N ? T : N);
    size_t store = cs_dtype_size(k->store), acc = cs_dtype_size(k->acc);
    char *x = zeroed((size_t)large, store), *y = zeroed((size_t)large, store), *data = zeroed((size_t)(N * K), store);
    char *dw = zeroed((size_t)(N * K), acc);
    double best[3] = {INFINITY, INFINITY, INFINITY};
    cs_weight w = {.data = data, .dtype = k->store, .rows = N, .cols = K, .ld = K, .version = 1};
    bool ok = x && y && data && dw;
    for (int r = 0; ok && r <= ROUNDS; r++) {
        double t[4] = {cs_clock_now()};
        k->gemm_fwd(T, x, K, &w, NULL, y, N, k->store, 0);
        t[1] = cs_clock_now();
        k->gemm_dgrad(T, y, N, &w, x, K, 0);
        t[2] = cs_clock_now();
        k->gemm_wgrad(T, N, K, y, N, x, K, dw);
        t[3] = cs_clock_now();
        for (int i = 0; i < 3; i++)
            best[i] = r > 0 ? fmin(best[i], t[i + 1] - t[i]) : best[i];
    }
    if (ok) {
        *gflops = 6e-9 * (double)T * (double)N * (double)K / (best[0] + best[1] + best[2]);
        k->weight_release(&w);
    }
    cs_free(dw);
    cs_free(data);
    cs_free(y);
    cs_free(x);
    return ok ? CS_OK : cs_fail_nomem(err, (size_t)large * store, "the measurement of matrix products");
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
static cs_status measure_attention(const cs_memory_request *q, double *gflops, cs_error *err)
{
    const cs_spec *s = q->spec;
    const cs_kernels *k = q->kernels;
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
    for (int r = 0; ok && r <= ROUNDS; r++) {
        double t = run_attention(k, &a);
        best = r > 0 ? fmin(best, t) : best;
    }
    *gflops = 14e-9 * (double)n * (double)(a.T + 1) / 2 / best;
    char *all[] = {a.qkv, a.dqkv, a.out, a.dout, a.lse, a.work};
    for (int i = 0; i < 6; i++)
        cs_free(all[i]);
    return ok ? CS_OK : cs_fail_nomem(err, wide * store, "the measurement of attention");
}

static cs_status measure_memory(int threads, double *gbs, cs_error *err)
{
    void *from = cs_alloc_aligned(STREAM_BYTES), *to = cs_alloc_aligned(STREAM_BYTES);
    double best = INFINITY, second = INFINITY; /* the second best counts: single figures came out several times too fast */
    bool ok = from && to;
    if (ok)
        memset(from, 1, STREAM_BYTES); /* pages that were never written are all one page */
    for (int r = 0; ok && r <= ROUNDS; r++) {
        double t = cs_probe_copy(to, from, STREAM_BYTES, threads);
        if (r > 0) {
            second = fmin(second, fmax(best, t));
            best = fmin(best, t);
        }
    }
    cs_free(from);
    cs_free(to);
    *gbs = 2e-9 * STREAM_BYTES / second;
    return ok ? CS_OK : cs_fail_nomem(err, 2 * (size_t)STREAM_BYTES, "the measurement of memory");
}

cs_status cs_plan_measure(const cs_memory_request *q, int64_t ranks_per_host, cs_machine *out, cs_error *err)
{
    cs_bench_rank_rates ranks;
    int before = omp_get_max_threads();
    *out = (cs_machine){.ranks_per_host = ranks_per_host, .net_gbs = net_gbs, .net_latency_s = net_latency_s, .net_overlap = 1,
                        .host_latency_s = 1e-6};
    snprintf(out->name, sizeof out->name, "this machine (%s), %d threads a rank", cs_kernels_cpu_isa(), q->threads);
    CS_TRY(cs_bench_ranks(2, 3, &ranks, err));
    out->host_gbs = ranks.allreduce[2];
    omp_set_num_threads(q->threads);
    cs_status status = measure_products(q, &out->gflops, err);
    if (status == CS_OK)
        status = measure_attention(q, &out->attention_gflops, err);
    if (status == CS_OK)
        status = measure_memory((int)(q->threads * ranks_per_host), &out->memory_gbs, err);
    omp_set_num_threads(before);
    out->memory_gbs /= (double)ranks_per_host;
    if (out->host_gbs == 0) /* under a launcher no ranks are forked: a sum moves each byte three times */
        out->host_gbs = out->memory_gbs / 3;
    return status;
}
