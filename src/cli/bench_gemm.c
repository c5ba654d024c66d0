/* Matrix products of a model's layers: every way of doing them that this build and CPU have, taking turns on the same arrays. */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { MAX_WAY = 3, N_FORM = 3 };
static const char *const form_name[N_FORM] = {"fwd", "dgrad", "wgrad"};
static const char *const way_name[MAX_WAY] = {"own", "own-f32", "onednn"};

typedef struct ways {
    const cs_kernels *k[MAX_WAY];
    const char *name[MAX_WAY];
    int n;
    const char *chosen; /* by the measurement at start */
} ways;

typedef struct arrays {
    void *x, *w, *y, *dw;
} arrays;

static cs_status find_ways(cs_bench *b, cs_dtype t, ways *out)
{
    cs_kernels_request req = {t, b->cfg->isa, "auto"};
    const cs_kernels *k;
    out->n = 0;
    CS_TRY(cs_kernels_select(&req, &k, &out->chosen, b->err));
    for (int i = 0; i < MAX_WAY; i++) {
        cs_error not_here;
        req.gemm = way_name[i];
        if (cs_kernels_select(&req, &out->k[out->n], NULL, &not_here) == CS_OK)
            out->name[out->n++] = way_name[i];
    }
    return CS_OK;
}

static double run_form(const cs_kernels *k, int form, const arrays *a, cs_weight *w, int64_t T, cs_dtype y_type)
{
    int64_t N = w->rows, K = w->cols;
    double start = cs_clock_now();
    if (form == 0)
        k->gemm_fwd(T, a->x, K, w, NULL, a->y, N, y_type, 0);
    else if (form == 1)
        k->gemm_dgrad(T, a->y, N, w, a->x, K, 0);
    else
        k->gemm_wgrad(T, N, K, a->y, N, a->x, K, a->dw);
    return cs_clock_now() - start;
}

/* W is packed in the warm-up: packing is paid once per optimizer step and is not in the figure. */
static void compare(cs_bench *b, cs_dtype t, const ways *v, const char *layer, int64_t N, int64_t K, const arrays *a)
{
    int64_t T = b->cfg->tokens;
    double best[MAX_WAY][N_FORM], flops = 2.0 * (double)T * (double)N * (double)K;
    cs_weight w[MAX_WAY];
    const char *of;
    double peak = cs_bench_peak(b, t, &of);
    for (int i = 0; i < v->n; i++) {
        w[i] = (cs_weight){.data = a->w, .dtype = t, .rows = N, .cols = K, .ld = K, .version = 1};
        for (int f = 0; f < N_FORM; f++)
            best[i][f] = 1e30;
    }
    for (int f = 0; f < N_FORM; f++)
        for (int64_t r = 0; r <= b->cfg->repeat; r++)
            for (int i = 0; i < v->n; i++) {
                double s = run_form(v->k[i], f, a, &w[i], T, t);
                best[i][f] = r > 0 && s < best[i][f] ? s : best[i][f];
            }
    for (int f = 0; f < N_FORM; f++)
        for (int i = 0; i < v->n; i++) {
            char name[80];
            snprintf(name, sizeof name, "%s %s %s%s", layer, form_name[f], v->name[i], strcmp(v->name[i], v->chosen) == 0 ? " *" : "");
            cs_bench_row(b, "gemm", name, cs_dtype_name(t), flops / best[i][f] * 1e-9, "GFLOP/s", peak, of);
        }
    for (int i = 0; i < v->n; i++)
        v->k[i]->weight_release(&w[i]);
}

static cs_status bench_layer(cs_bench *b, cs_dtype t, const ways *v, const char *layer, int64_t N, int64_t K)
{
    int64_t T = b->cfg->tokens;
    arrays a = {cs_bench_array(t, T * K, 1), cs_bench_array(t, N * K, 2), cs_bench_array(t, T * N, 3), cs_bench_array(CS_F32, N * K, 4)};
    cs_status s = CS_OK;
    if (a.x && a.w && a.y && a.dw)
        compare(b, t, v, layer, N, K, &a);
    else
        s = cs_fail_nomem(b->err, (size_t)(T * (N + K) + 2 * N * K) * 4, "the matrices of bench");
    cs_free(a.x);
    cs_free(a.w);
    cs_free(a.y);
    cs_free(a.dw);
    return s;
}

cs_status cs_bench_gemm_run(cs_bench *b)
{
    static const cs_dtype types[] = {CS_F32, CS_BF16};
    const cs_bench_config *c = b->cfg;
    int64_t qkv = c->hidden / c->heads * (c->heads + 2 * c->kv_heads);
    for (int i = 0; i < 2; i++) {
        ways v;
        CS_TRY(find_ways(b, types[i], &v));
        CS_TRY(bench_layer(b, types[i], &v, "qkv", qkv, c->hidden));
        CS_TRY(bench_layer(b, types[i], &v, "out", c->hidden, c->hidden));
        CS_TRY(bench_layer(b, types[i], &v, "gate|up", 2 * c->ffn, c->hidden));
        CS_TRY(bench_layer(b, types[i], &v, "down", c->hidden, c->ffn));
        CS_TRY(bench_layer(b, types[i], &v, "head", c->vocab, c->hidden));
    }
    if (b->text)
        printf("* = chosen by the measurement at start\n");
    return CS_OK;
}
