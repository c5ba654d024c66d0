/* Every slot of every kernel table that this CPU can run, except attention (test_kernels_attn.c), and the choice of a table. */
#include "kernel_op.h"

/* --- matrix products: x [T,H], w [N,H]; flag 1: beta, flag 2: bias, flag 4: y in the accumulate type, flag 8: padded rows ---------- */
static int64_t pad_of(const dims *d)
{
    return d->flag & 8 ? 5 : 0;
}

static int gemm_fwd_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * (d->H + pad_of(d))};
    a[1] = (array){.kind = STORE, .n = d->N * d->H};
    a[2] = (array){.kind = STORE, .n = d->N};
    a[3] = (array){.kind = d->flag & 4 ? ACC : STORE, .n = d->T * (d->N + pad_of(d)), .out = true};
    return 4;
}

static void gemm_fwd_run(const cs_kernels *k, const dims *d, void **p)
{
    cs_weight w = {.data = p[1], .dtype = k->store, .rows = d->N, .cols = d->H, .ld = d->H, .version = 1};
    k->gemm_fwd(d->T, p[0], d->H + pad_of(d), &w, d->flag & 2 ? p[2] : NULL, p[3], d->N + pad_of(d), d->flag & 4 ? k->acc : k->store, d->flag & 1);
    k->weight_release(&w);
}

static int gemm_dgrad_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * (d->N + pad_of(d))};
    a[1] = (array){.kind = STORE, .n = d->N * d->H};
    a[2] = (array){.kind = STORE, .n = d->T * (d->H + pad_of(d)), .out = true};
    return 3;
}

static void gemm_dgrad_run(const cs_kernels *k, const dims *d, void **p)
{
    cs_weight w = {.data = p[1], .dtype = k->store, .rows = d->N, .cols = d->H, .ld = d->H, .version = 1};
    k->gemm_dgrad(d->T, p[0], d->N + pad_of(d), &w, p[2], d->H + pad_of(d), d->flag & 1);
    k->weight_release(&w);
}

static int gemm_wgrad_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * (d->N + pad_of(d))};
    a[1] = (array){.kind = STORE, .n = d->T * (d->H + pad_of(d))};
    a[2] = (array){.kind = ACC, .n = d->N * d->H, .out = true};
    a[3] = (array){.kind = ACC, .n = d->N, .out = true};
    return 4;
}

static void gemm_wgrad_run(const cs_kernels *k, const dims *d, void **p)
{
    k->gemm_wgrad(d->T, d->N, d->H, p[0], d->N + pad_of(d), p[1], d->H + pad_of(d), p[2]);
    k->bias_grad(d->T, d->N, p[0], d->N + pad_of(d), p[3]);
}

static void test_products(void **state)
{
    (void)state;
    static const op ops[] = {{"gemm_fwd", gemm_fwd_arrays, gemm_fwd_run},
                             {"gemm_dgrad", gemm_dgrad_arrays, gemm_dgrad_run},
                             {"gemm_wgrad, bias_grad", gemm_wgrad_arrays, gemm_wgrad_run}};
    static const dims d[] = {{.T = 1, .H = 1, .N = 1},
                             {.T = 3, .H = 17, .N = 1, .flag = 1 | 8},
                             {.T = 1, .H = 129, .N = 63, .flag = 2},
                             {.T = 17, .H = 63, .N = 129, .flag = 1 | 2 | 4},
                             {.T = 63, .H = 3, .N = 17, .flag = 4 | 8},
                             {.T = 129, .H = 129, .N = 129, .flag = 1 | 2 | 8},
                             {.T = 5, .H = 600, .N = 260},
                             {.T = 260, .H = 64, .N = 300, .flag = 4}};
    check_all(ops, 3, d, (int)(sizeof d / sizeof *d));
}

/* A second call after the values changed must not use what was packed for the first. */
static void test_weight_version(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    enum { T = 5, K = 40, N = 24 };
    for (int t = 0; t < n; t++) {
        const cs_kernels *k = tables[t];
        double x[T * K], w[N * K], y[T * N], y2[T * N];
        for (int i = 0; i < T * K; i++)
            put(x, k->store, i, 1);
        cs_weight weight = {.data = w, .dtype = k->store, .rows = N, .cols = K, .ld = K, .version = 1};
        for (int i = 0; i < N * K; i++)
            put(w, k->store, i, 1);
        k->gemm_fwd(T, x, K, &weight, NULL, y, N, k->store, 0);
        for (int i = 0; i < N * K; i++)
            put(w, k->store, i, 2);
        weight.version++;
        k->gemm_fwd(T, x, K, &weight, NULL, y2, N, k->store, 0);
        k->weight_release(&weight);
        for (int i = 0; i < T * N; i++) {
            assert_true(get(y, k->store, i) == K);
            assert_true(get(y2, k->store, i) == 2 * K);
        }
    }
}

/* --- rows ------------------------------------------------------------------------------------------------------------------------------ */
static int rmsnorm_fwd_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * d->H};
    a[1] = (array){.kind = STORE, .n = d->H};
    a[2] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[3] = (array){.kind = ACC, .n = d->T, .out = true};
    return 4;
}

static void rmsnorm_fwd_run(const cs_kernels *k, const dims *d, void **p)
{
    k->rmsnorm_fwd(d->T, d->H, p[0], p[1], 1e-5, p[2], p[3]);
}

static int rmsnorm_bwd_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[1] = (array){.kind = STORE, .n = d->T * d->H};
    a[2] = (array){.kind = STORE, .n = d->H};
    a[3] = (array){.kind = ACC_POS, .n = d->T};
    a[4] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[5] = (array){.kind = ACC, .n = d->H, .out = true};
    return 6;
}

/* flag: dx on top of dy. */
static void rmsnorm_bwd_run(const cs_kernels *k, const dims *d, void **p)
{
    k->rmsnorm_bwd(d->T, d->H, p[0], p[1], p[2], p[3], d->flag ? p[0] : p[4], p[5]);
}

static int layernorm_fwd_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * d->H};
    a[1] = (array){.kind = STORE, .n = d->H};
    a[2] = (array){.kind = STORE, .n = d->H};
    a[3] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[4] = (array){.kind = ACC, .n = d->T, .out = true};
    a[5] = (array){.kind = ACC, .n = d->T, .out = true};
    return 6;
}

static void layernorm_fwd_run(const cs_kernels *k, const dims *d, void **p)
{
    k->layernorm_fwd(d->T, d->H, p[0], p[1], p[2], 1e-5, p[3], p[4], p[5]);
}

static int layernorm_bwd_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[1] = (array){.kind = STORE, .n = d->T * d->H};
    a[2] = (array){.kind = STORE, .n = d->H};
    a[3] = (array){.kind = ACC, .n = d->T};
    a[4] = (array){.kind = ACC_POS, .n = d->T};
    a[5] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[6] = (array){.kind = ACC, .n = d->H, .out = true};
    a[7] = (array){.kind = ACC, .n = d->H, .out = true};
    return 8;
}

/* flag: dx on top of dy. */
static void layernorm_bwd_run(const cs_kernels *k, const dims *d, void **p)
{
    k->layernorm_bwd(d->T, d->H, p[0], p[1], p[2], p[3], p[4], d->flag ? p[0] : p[5], p[6], p[7]);
}

/* N heads of dimension 2*H in rows with 3 more elements. */
static int rope_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * (d->N * 2 * d->H + 3), .out = true};
    a[1] = (array){.kind = ID, .n = d->T, .range = 9};
    a[2] = (array){.kind = ACC, .n = 9 * d->H};
    a[3] = (array){.kind = ACC, .n = 9 * d->H};
    return 4;
}

static void rope_run(const cs_kernels *k, const dims *d, void **p)
{
    k->rope(d->T, d->N, 2 * d->H, p[0], d->N * 2 * d->H + 3, p[1], p[2], p[3], d->flag ? 1 : -1);
}

static int swiglu_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T * d->H * 2, .out = true};
    a[1] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[2] = (array){.kind = STORE, .n = d->T * d->H};
    a[3] = (array){.kind = STORE, .n = d->T * d->H * 2, .out = true};
    a[4] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    return 5;
}

/* flag: gradient in place and no recomputed output. */
static void swiglu_run(const cs_kernels *k, const dims *d, void **p)
{
    k->swiglu_fwd(d->T, d->H, p[0], p[1]);
    k->swiglu_bwd(d->T, d->H, p[2], p[0], d->flag ? p[0] : p[3], d->flag ? NULL : p[4]);
    if (!d->flag)
        assert_memory_equal(p[1], p[4], (size_t)(d->T * d->H) * cs_dtype_size(k->store));
}

static int gelu_arrays(const dims *d, array *a)
{
    for (int i = 0; i < 5; i++)
        a[i] = (array){.kind = STORE, .n = d->T * d->H, .out = i != 2};
    return 5;
}

/* flag: gradient in place and no recomputed output. */
static void gelu_run(const cs_kernels *k, const dims *d, void **p)
{
    k->gelu_fwd(d->T, d->H, p[0], p[1]);
    k->gelu_bwd(d->T, d->H, p[2], p[0], d->flag ? p[0] : p[3], d->flag ? NULL : p[4]);
    if (!d->flag)
        assert_memory_equal(p[1], p[4], (size_t)(d->T * d->H) * cs_dtype_size(k->store));
}

/* flag: only rows [1, N-1) of the vocabulary lie here; ids before and behind them are skipped. */
static int embed_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = ID, .n = d->T, .range = d->N};
    a[1] = (array){.kind = STORE, .n = d->N * d->H};
    a[2] = (array){.kind = STORE, .n = d->T * d->H, .out = true};
    a[3] = (array){.kind = STORE, .n = d->T * d->H};
    a[4] = (array){.kind = ACC, .n = d->N * d->H, .out = true};
    return 5;
}

static void embed_run(const cs_kernels *k, const dims *d, void **p)
{
    int64_t first = d->flag ? 1 : 0, rows = d->N - 2 * first;
    size_t skip = (size_t)(first * d->H);
    k->embed_fwd(d->T, d->H, rows, first, p[0], (char *)p[1] + skip * cs_dtype_size(k->store), p[2]);
    k->embed_bwd(d->T, d->H, rows, first, p[0], p[3], (char *)p[4] + skip * cs_dtype_size(k->acc));
}

/* flag: some labels lie on another rank, and so does a part of the sum. */
static int loss_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = LOGIT, .n = d->T * d->H};
    a[1] = (array){.kind = ID, .n = d->T, .range = d->flag ? 2 * d->H : d->H};
    a[2] = (array){.kind = WEIGHT, .n = d->T};
    for (int i = 3; i < 6; i++)
        a[i] = (array){.kind = F64, .n = d->T, .out = true};
    a[6] = (array){.kind = F64, .n = d->T};
    a[7] = (array){.kind = STORE, .n = d->T * (d->H + 2), .out = true};
    return 8;
}

/* Rows of weight 0 carry a label that must not be looked at. */
static void loss_run(const cs_kernels *k, const dims *d, void **p)
{
    double *top = p[3], *sum = p[4], *lse = p[6];
    for (int64_t t = 0; t < d->T; t++)
        if (((float *)p[2])[t] == 0)
            ((int32_t *)p[1])[t] = -100;
    k->ce_stats(d->T, d->H, p[0], p[1], p[2], top, sum, p[5]);
    for (int64_t t = 0; t < d->T; t++)
        lse[t] = top[t] + log(sum[t]) + d->flag;
    k->ce_grad(d->T, d->H, p[0], p[1], p[2], 0.25, lse, p[7], d->H + 2);
}

static void test_rows(void **state)
{
    (void)state;
    static const op ops[] = {{"rmsnorm_fwd", rmsnorm_fwd_arrays, rmsnorm_fwd_run}, {"rmsnorm_bwd", rmsnorm_bwd_arrays, rmsnorm_bwd_run},
                             {"rope", rope_arrays, rope_run},                      {"swiglu", swiglu_arrays, swiglu_run},
                             {"embed", embed_arrays, embed_run},                   {"ce_stats, ce_grad", loss_arrays, loss_run},
                             {"layernorm_fwd", layernorm_fwd_arrays, layernorm_fwd_run},
                             {"layernorm_bwd", layernorm_bwd_arrays, layernorm_bwd_run},
                             {"gelu", gelu_arrays, gelu_run}};
    static const dims d[] = {{.T = 1, .H = 1, .N = 1},
                             {.T = 3, .H = 17, .N = 2, .flag = 1},
                             {.T = 17, .H = 3, .N = 5},
                             {.T = 63, .H = 129, .N = 3, .flag = 1},
                             {.T = 129, .H = 63, .N = 4},
                             {.T = 40, .H = 2100, .N = 7},
                             {.T = 2, .H = 768, .N = 30, .flag = 1}};
    check_all(ops, (int)(sizeof ops / sizeof *ops), d, (int)(sizeof d / sizeof *d));
}

/* --- flat vectors of T elements -------------------------------------------------------------------------------------------------------- */
static int flat_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = STORE, .n = d->T, .out = true};
    a[1] = (array){.kind = STORE, .n = d->T};
    a[2] = (array){.kind = ACC, .n = d->T, .out = true};
    a[3] = (array){.kind = ACC, .n = d->T};
    a[4] = (array){.kind = F64, .n = 1, .out = true};
    a[5] = (array){.kind = ACC, .n = d->T, .out = true};
    a[6] = (array){.kind = STORE, .n = d->T, .out = true};
    return 7;
}

static void flat_run(const cs_kernels *k, const dims *d, void **p)
{
    k->add(d->T, p[0], p[1]);
    k->acc_scale(d->T, p[2], 0.75);
    k->acc_add(d->T, p[2], p[3]);
    ((double *)p[4])[0] = k->acc_sumsq(d->T, p[3]);
    k->to_acc(d->T, p[1], p[5]);
    k->from_acc(d->T, p[3], p[6]);
}

static int adamw_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = ACC, .n = d->T, .out = true};
    a[1] = (array){.kind = ACC_POS, .n = d->T, .out = true}; /* no cancellation with a gradient in [-1,1] */
    a[2] = (array){.kind = ACC_POS, .n = d->T, .out = true};
    a[3] = (array){.kind = ACC, .n = d->T};
    a[4] = (array){.kind = STORE, .n = d->T, .out = true};
    return 5;
}

static void adamw_run(const cs_kernels *k, const dims *d, void **p)
{
    cs_update h = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .step = 1 + d->flag, .grad_scale = 0.5};
    k->adamw(d->T, p[0], p[1], p[2], p[3], &h, p[4]);
}

/* Weight, momentum and gradient of one sign: no cancellation but in the update itself, which is small. flag > 9: without momentum. */
static int sgd_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = ACC_POS, .n = d->T, .out = true};
    a[1] = (array){.kind = ACC_POS, .n = d->T, .out = true};
    a[2] = (array){.kind = ACC_POS, .n = d->T};
    a[3] = (array){.kind = STORE, .n = d->T, .out = true};
    return 4;
}

static void sgd_run(const cs_kernels *k, const dims *d, void **p)
{
    cs_update h = {.lr = 1e-2, .momentum = 0.9, .weight_decay = 0.1, .grad_scale = 0.5};
    k->sgd(d->T, p[0], d->flag > 9 ? NULL : p[1], p[2], &h, p[3]);
}

static void test_flat(void **state)
{
    (void)state;
    static const op ops[] = {{"flat", flat_arrays, flat_run}, {"adamw", adamw_arrays, adamw_run}, {"sgd", sgd_arrays, sgd_run}};
    static const dims d[] = {{.T = 1}, {.T = 3, .flag = 1}, {.T = 17, .flag = 9}, {.T = 4096}, {.T = 20001, .flag = 99}};
    check_all(ops, 3, d, (int)(sizeof d / sizeof *d));
}

static void test_finite(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    static double x[20001];
    static const double bad[] = {INFINITY, -INFINITY, NAN};
    for (int t = 0; t < n; t++) {
        for (int64_t i = 0; i < 20001; i++)
            put(x, tables[t]->acc, i, tables[t]->acc == CS_F64 ? 1e300 : 3e38);
        assert_true(tables[t]->acc_finite(20001, x));
        for (int64_t at = 0; at < 20001; at += 4000) {
            put(x, tables[t]->acc, at, bad[at % 3]);
            assert_false(tables[t]->acc_finite(20001, x));
            put(x, tables[t]->acc, at, 0);
        }
        assert_true(tables[t]->acc_finite(0, x));
    }
}

/* f32 -> bf16 has one right answer: ties to even, overflow to infinity, NaN stays NaN. */
static void test_rounding(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    static const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001,
                                    0xffc00000, 0x00000001, 0x80008000, 0x00018000, 0,          0x80000000, 0x477fe000, 0xc2f70000,
                                    0x7fffffff, 0x3f80ffff, 0x3eaaaaab};
    enum { N = sizeof bits / sizeof *bits };
    for (int t = 0; t < n; t++) {
        float x[N];
        uint16_t y[N];
        bool half = tables[t]->store == CS_F16;
        memcpy(x, bits, sizeof x);
        if (!half && tables[t]->store != CS_BF16)
            continue;
        tables[t]->from_acc(N, x, y);
        for (int i = 0; i < N; i++) {
            if (half && isnan(x[i])) /* any quiet NaN */
                assert_true((y[i] & 0x7e00) == 0x7e00 && (y[i] & 0x7c00) == 0x7c00);
            else
                assert_int_equal(y[i], half ? cs_f16_from_f32(x[i]) : cs_bf16_from_f32(x[i]));
        }
    }
}

/* dlogits on top of logits gives the bits of dlogits elsewhere. */
static void test_loss_in_place(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    enum { T = 3, V = 1037 };
    for (int t = 0; t < n; t++) {
        const cs_kernels *k = tables[t];
        static double logits[T * V], apart[T * V];
        static const int32_t label[T] = {0, V - 1, 500};
        static const float weight[T] = {1, 0, 0.5f};
        double top[T], sum[T], picked[T], lse[T];
        int64_t wide = V * (int64_t)(cs_dtype_size(k->acc) / cs_dtype_size(k->store));
        for (int64_t i = 0; i < T * V; i++)
            put(logits, k->acc, i, 8 * cs_rng_uniform(1, 2, (uint64_t)i));
        k->ce_stats(T, V, logits, label, weight, top, sum, picked);
        for (int64_t i = 0; i < T; i++)
            lse[i] = top[i] + log(sum[i]);
        k->ce_grad(T, V, logits, label, weight, 1, lse, apart, wide);
        k->ce_grad(T, V, logits, label, weight, 1, lse, logits, wide);
        for (int64_t i = 0; i < T; i++)
            assert_memory_equal((char *)logits + (size_t)(i * wide) * cs_dtype_size(k->store),
                                (char *)apart + (size_t)(i * wide) * cs_dtype_size(k->store), (size_t)V * cs_dtype_size(k->store));
    }
}

/* --- choice ------------------------------------------------------------------------------------------------------------------------------- */
static void test_select(void **state)
{
    (void)state;
    cs_error err = {0};
    const cs_kernels *k = NULL;
    const char *gemm = NULL;
    for (cs_dtype t = CS_F64; t <= CS_F16; t++) {
        cs_kernels_request own = {t, "auto", "own"}, ref = {t, "ref", "auto"}, isa = {t, "sse9", "auto"}, product = {t, "auto", "mkl"};
        assert_int_equal(cs_kernels_select(&own, &k, &gemm, &err), CS_OK);
        assert_int_equal(k->store, t);
        assert_string_equal(gemm, "own");
        assert_int_equal(cs_kernels_select(&ref, &k, NULL, &err), CS_OK);
        assert_ptr_equal(k, cs_kernels_ref(t));
        assert_int_equal(cs_kernels_select(&isa, &k, NULL, &err), CS_E_USAGE);
        assert_int_equal(cs_kernels_select(&product, &k, NULL, &err), CS_E_USAGE);
    }
    cs_kernels_request number = {CS_I32, "auto", "auto"};
    assert_int_equal(cs_kernels_select(&number, &k, NULL, &err), CS_E_USAGE);
}

/* The f64 table with wider vectors forms the same sums: bit for bit. */
static void test_f64_same_bits(void **state)
{
    (void)state;
    enum { T = 37, K = 301, N = 45 };
    static double x[T * K], w[N * K], a[T * N], b[T * N];
    cs_error err;
    const cs_kernels *k;
    cs_kernels_request req = {CS_F64, "auto", "auto"};
    assert_int_equal(cs_kernels_select(&req, &k, NULL, &err), CS_OK);
    for (int i = 0; i < T * K; i++)
        x[i] = cs_rng_normal(1, 1, (uint64_t)i);
    for (int i = 0; i < N * K; i++)
        w[i] = cs_rng_normal(1, 2, (uint64_t)i);
    cs_weight weight = {.data = w, .dtype = CS_F64, .rows = N, .cols = K, .ld = K, .version = 1};
    k->gemm_fwd(T, x, K, &weight, NULL, a, N, CS_F64, 0);
    cs_kernels_ref(CS_F64)->gemm_fwd(T, x, K, &weight, NULL, b, N, CS_F64, 0);
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),      cmocka_unit_test(test_weight_version), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_flat),          cmocka_unit_test(test_finite),         cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_loss_in_place), cmocka_unit_test(test_select),         cmocka_unit_test(test_f64_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
