/* Choice between the matrix products of the CPU back end. */
#include "kern/cpu/cpu.h"
#include "kern/cpu/gemm.h"

#include "base/clock.h"
#include "base/mem.h"

#include <omp.h>
#include <string.h>

/* The row for (store, isa, gemm), NULL when this build or CPU has none. "own-f32" exists only where "own" is the bf16 dot product. */
static const cs_gemm_ops *find_ops(cs_dtype store, cs_isa isa, const char *gemm)
{
#if defined(__x86_64__)
    bool f32 = store == CS_F32;
    if (store == CS_F16)
        return strcmp(gemm, "own") != 0 || isa < CS_ISA_AVX2 ? NULL : isa == CS_ISA_AVX2 ? &cs_gemm_f16_avx2 : &cs_gemm_f16_avx512;
    if (strcmp(gemm, "own") == 0 && isa == CS_ISA_AVX2)
        return f32 ? &cs_gemm_f32_avx2 : &cs_gemm_bf16_avx2;
    if (strcmp(gemm, "own") == 0 && isa == CS_ISA_AVX512)
        return f32 ? &cs_gemm_f32_avx512 : &cs_gemm_bf16_avx512;
    if (strcmp(gemm, "own") == 0 && isa == CS_ISA_AVX512BF16)
        return f32 ? &cs_gemm_f32_avx512 : &cs_gemm_bf16_dot;
    if (strcmp(gemm, "own-f32") == 0 && isa == CS_ISA_AVX512BF16 && !f32)
        return &cs_gemm_bf16_avx512;
#endif
#ifdef CS_HAVE_DNNL
    if (strcmp(gemm, "onednn") == 0 && store != CS_F16)
        return cs_gemm_dnnl(store, isa);
#endif
    (void)store, (void)isa;
    return NULL;
}

bool cs_cpu_gemm_install(cs_kernels *table, cs_isa isa, const char *gemm)
{
    const cs_gemm_ops *ops = find_ops(table->store, isa, gemm);
    if (!ops)
        return false;
    table->gemm_fwd = ops->fwd;
    table->gemm_dgrad = ops->dgrad;
    table->gemm_wgrad = ops->wgrad;
    table->weight_pack = ops->pack;
    table->weight_release = ops->release;
    table->gemm_bytes = ops->bytes;
    return true;
}

/* --- which is fastest here -------------------------------------------------------------------------------------------------------- */

enum { SHAPE_T = 140, SHAPE_N = 768, SHAPE_K = 512, ROUNDS = 8 };
#define BUDGET 0.03 /* seconds; after it, and at least four rounds, no further round starts */
/* Another product than the first (our own) must be this much faster: two runs on one machine have to choose alike, or the one that was
 * killed and resumed could not repeat the other bit by bit. Real differences, such as slow bf16 dot products, are a factor of two. */
#define CLEARLY_FASTER 0.7

typedef struct trial {
    void *x, *y, *w, *dw;
} trial;

/* Ones and minus ones: exact in every type, no denormals. */
static void fill(void *p, int64_t n, cs_dtype t)
{
    for (int64_t i = 0; i < n; i++) {
        float v = (i * 7 & 8) ? -1.0f : 1.0f;
        if (t == CS_F32)
            ((float *)p)[i] = v;
        else
            ((cs_bf16 *)p)[i] = cs_bf16_from_f32(v);
    }
}

/* Processor seconds of one forward, dgrad and wgrad; packing of W is paid outside (once per optimizer step). */
static double run_once(const cs_kernels *k, const trial *s, cs_weight *w)
{
    double start = cs_clock_thread();
    k->gemm_fwd(SHAPE_T, s->x, SHAPE_K, w, NULL, s->y, SHAPE_N, k->store, 0);
    k->gemm_dgrad(SHAPE_T, s->y, SHAPE_N, w, s->x, SHAPE_K, 0);
    k->gemm_wgrad(SHAPE_T, SHAPE_N, SHAPE_K, s->y, SHAPE_N, s->x, SHAPE_K, s->dw);
    return cs_clock_thread() - start;
}

int cs_cpu_gemm_measure(const cs_kernels *const *tables, int n)
{
    enum { MAX = 4 };
    double best[MAX];
    cs_weight w[MAX];
    int64_t xs = SHAPE_T * SHAPE_K, ys = SHAPE_T * SHAPE_N, ws = SHAPE_N * SHAPE_K;
    trial s = {0};
    size_t bytes = (size_t)(xs + ys + 2 * ws) * 4;
    if (n < 2)
        return 0;
    CS_ASSERT(n <= MAX);
    float *all = cs_mem_must(cs_alloc_aligned(bytes), bytes, "measuring matrix products");
    s.x = all, s.y = all + xs, s.w = all + xs + ys, s.dw = all + xs + ys + ws;
    memset(s.dw, 0, (size_t)ws * 4);
    for (int i = 0; i < n; i++) {
        w[i] = (cs_weight){.data = s.w, .dtype = tables[0]->store, .rows = SHAPE_N, .cols = SHAPE_K, .ld = SHAPE_K, .version = 1};
        best[i] = 1e30;
    }
    fill(s.w, ws, tables[0]->store);
    double start = cs_clock_now();
    int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* the time of one thread alone is not disturbed by others that want the core */
    for (int round = 0; round < ROUNDS && (round < 4 || cs_clock_now() - start < BUDGET); round++) /* the first only warms up */
        for (int i = 0; i < n; i++) {
            fill(s.x, xs, tables[0]->store);
            double t = run_once(tables[i], &s, &w[i]);
            best[i] = round > 0 && t < best[i] ? t : best[i];
        }
    omp_set_num_threads(threads);
    int choice = 0;
    for (int i = 0; i < n; i++) {
        tables[i]->weight_release(&w[i]);
        choice = best[i] < CLEARLY_FASTER * best[choice] ? i : choice;
    }
    cs_free(all);
    return choice;
}
