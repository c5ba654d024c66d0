/* Limits of the machine: arithmetic peaks, memory bandwidth, sum over two ranks. */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/mem.h"
#include "comm/comm.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { STREAM_BYTES = 256 << 20, N_SIZES = CS_BENCH_RANK_SIZES };
static const int64_t size_mib[N_SIZES] = {1, 16, 64, 256};

static double best_flops(const cs_bench *b, cs_dtype t, int threads)
{
    double best = 0, work = 0;
    for (int64_t r = 0; r <= b->cfg->repeat; r++) {
        double s = cs_probe_flops(t, threads, &work);
        best = s > 0 ? fmax(best, work / s * 1e-9) : best;
    }
    return best;
}

static double best_stream(const cs_bench *b, void *dst, const void *src, int threads)
{
    double best = 0, moved = dst ? 2.0 * STREAM_BYTES : STREAM_BYTES;
    for (int64_t r = 0; r <= b->cfg->repeat; r++) {
        double s = dst ? cs_probe_copy(dst, src, STREAM_BYTES, threads) : cs_probe_read(src, STREAM_BYTES, threads);
        best = fmax(best, moved / s * 1e-9);
    }
    return best;
}

/* What the two ranks find out, in memory that outlives them. */
typedef struct rank_result {
    double copy[N_SIZES], allreduce[N_SIZES]; /* best seconds */
    int64_t repeat;
    int n_sizes;
} rank_result;

/* Both in turns, each from barrier to barrier, so that the slower rank counts. */
static void measure_size(cs_comm *world, size_t bytes, float *buf, const void *own, void *to, rank_result *out, int k)
{
    double copy = 1e30, sum = 1e30;
    for (int64_t r = 0; r <= out->repeat; r++) {
        cs_comm_barrier(world);
        double start = cs_clock_now();
        memcpy(to, own, bytes);
        cs_comm_barrier(world);
        double middle = cs_clock_now();
        cs_comm_allreduce_sum(world, buf, (int64_t)bytes / 4, CS_F32);
        cs_comm_barrier(world);
        copy = fmin(copy, middle - start);
        sum = fmin(sum, cs_clock_now() - middle);
    }
    if (cs_comm_rank(world) == 0) {
        out->copy[k] = copy;
        out->allreduce[k] = sum;
    }
}

static int measure_ranks(cs_comm *world, void *arg)
{
    rank_result *out = arg;
    size_t most = (size_t)size_mib[out->n_sizes - 1] << 20;
    float *buf = cs_comm_alloc(world, (int64_t)most), *own = cs_alloc_aligned(most), *to = cs_alloc_aligned(most);
    omp_set_num_threads(1);
    if (!buf || !own || !to)
        return CS_E_NOMEM;
    memset(own, 1, most);
    memset(to, 0, most);
    memset(buf, 0, most); /* sums stay 0 however often they are taken; the pages are there */
    for (int k = 0; k < out->n_sizes; k++)
        measure_size(world, (size_t)size_mib[k] << 20, buf, own, to, out, k);
    cs_free(own);
    cs_free(to);
    return CS_OK;
}

cs_status cs_bench_ranks(int64_t repeat, int n_sizes, cs_bench_rank_rates *out, cs_error *err)
{
    CS_ASSERT(n_sizes >= 1 && n_sizes <= N_SIZES);
    *out = (cs_bench_rank_rates){0};
    if (cs_launch_under_mpi())
        return CS_OK;
    rank_result *shared = cs_launch_share(sizeof *shared);
    if (!shared)
        return cs_fail_nomem(err, sizeof *shared, "the result of two ranks");
    shared->repeat = repeat;
    shared->n_sizes = n_sizes;
    int code = cs_launch(2, measure_ranks, shared);
    for (int k = 0; code == CS_OK && k < n_sizes; k++) {
        out->mib[k] = size_mib[k];
        out->copy[k] = (double)(size_mib[k] << 20) / shared->copy[k] * 1e-9;
        out->allreduce[k] = (double)(size_mib[k] << 20) / shared->allreduce[k] * 1e-9;
    }
    cs_launch_unshare(shared, sizeof *shared);
    return code == CS_OK ? CS_OK : cs_fail(err, (cs_status)code, "the two ranks of the all-reduce measurement ended with code %d", code);
}

static void show_ranks(cs_bench *b)
{
    const cs_bench_rank_rates *r = &b->lim.ranks;
    for (int k = 0; k < N_SIZES && r->mib[k] > 0; k++) {
        char copy[48], sum[48];
        snprintf(copy, sizeof copy, "copy by 2 ranks, %d MiB each", (int)r->mib[k]);
        snprintf(sum, sizeof sum, "all-reduce, 2 ranks, %d MiB", (int)r->mib[k]);
        cs_bench_row(b, "limits", copy, "", r->copy[k], "GB/s", 0, NULL);
        cs_bench_row(b, "limits", sum, "f32", r->allreduce[k], "GB/s", r->copy[k], "that copy");
    }
}

cs_status cs_bench_limits_run(cs_bench *b)
{
    cs_bench_limits *l = &b->lim;
    CS_TRY(cs_bench_ranks(b->cfg->repeat, N_SIZES, &l->ranks, b->err));
    void *src = cs_bench_array(CS_F32, STREAM_BYTES / 4, 1), *dst = cs_bench_array(CS_F32, STREAM_BYTES / 4, 2);
    if (!src || !dst) {
        cs_free(src);
        cs_free(dst);
        return cs_fail_nomem(b->err, 2 * (size_t)STREAM_BYTES, "the memory streams");
    }
    l->fma1 = best_flops(b, CS_F32, 1);
    l->fma = best_flops(b, CS_F32, b->threads);
    l->dot1 = best_flops(b, CS_BF16, 1);
    l->dot = best_flops(b, CS_BF16, b->threads);
    l->read1 = best_stream(b, NULL, src, 1);
    l->read = best_stream(b, NULL, src, b->threads);
    l->copy1 = best_stream(b, dst, src, 1);
    l->copy = best_stream(b, dst, src, b->threads);
    cs_free(src);
    cs_free(dst);
    cs_bench_row(b, "limits", "fma, 1 thread", "f32", l->fma1, "GFLOP/s", 0, NULL);
    cs_bench_row(b, "limits", "fma, all threads", "f32", l->fma, "GFLOP/s", 0, NULL);
    if (l->dot > 0) {
        cs_bench_row(b, "limits", "dot, 1 thread", "bf16", l->dot1, "GFLOP/s", 0, NULL);
        cs_bench_row(b, "limits", "dot, all threads", "bf16", l->dot, "GFLOP/s", 0, NULL);
    }
    cs_bench_row(b, "limits", "memory read, 1 thread", "", l->read1, "GB/s", 0, NULL);
    cs_bench_row(b, "limits", "memory read, all threads", "", l->read, "GB/s", 0, NULL);
    cs_bench_row(b, "limits", "memory copy, 1 thread", "", l->copy1, "GB/s", 0, NULL);
    cs_bench_row(b, "limits", "memory copy, all threads", "", l->copy, "GB/s", 0, NULL);
    show_ranks(b);
    return CS_OK;
}
