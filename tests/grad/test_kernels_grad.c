/* Backward kernels of the f64 reference by central differences, h = 1e-5: |analytic - numeric| <= 1e-7 + 1e-6 |numeric|.
 * The loss is sum(out * c) with fixed random c, so the gradient that enters backward is c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/kernels.h"

enum { MAX_IN = 4, MAX_SEQ = 4 };

/* One check: inputs x[i] of n_x[i] elements, an output of n_out, and the gradients dx[i] that backward writes. */
typedef struct check {
    int64_t T, H, N;
    int64_t heads, kv_heads, D;
    int64_t start[MAX_SEQ + 1], n_keys[MAX_SEQ];
    int n_seq, n_in;
    int64_t n_x[MAX_IN], n_out;
    double *x[MAX_IN], *dx[MAX_IN], *out, *c, *side; /* side: rstd, logsumexp */
    int32_t *ids;
    void (*forward)(struct check *t);
    void (*backward)(struct check *t);
} check;

static const cs_kernels *ref(void)
{
    return cs_kernels_ref(CS_F64);
}

static double *random_array(int64_t n, uint64_t site)
{
    double *x = cs_calloc((size_t)n + 1, sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] = 2 * cs_rng_uniform(3, site, (uint64_t)i) - 1;
    return x;
}

static double loss_of(check *t)
{
    double sum = 0;
    t->forward(t);
    for (int64_t i = 0; i < t->n_out; i++)
        sum += t->out[i] * t->c[i];
    return sum;
}

static void run_check(check *t, const char *name)
{
    const double h = 1e-5;
    t->out = random_array(t->n_out, 100);
    t->c = random_array(t->n_out, 101);
    t->side = random_array(t->n_out + t->T, 102);
    for (int i = 0; i < t->n_in; i++) {
        t->x[i] = random_array(t->n_x[i], (uint64_t)i);
        t->dx[i] = cs_calloc((size_t)t->n_x[i] + 1, sizeof(double));
    }
    t->forward(t);
    t->backward(t);
    for (int i = 0; i < t->n_in; i++) {
        for (int64_t j = 0; j < t->n_x[i]; j++) {
            double keep = t->x[i][j];
            t->x[i][j] = keep + h;
            double up = loss_of(t);
            t->x[i][j] = keep - h;
            double down = loss_of(t), numeric = (up - down) / (2 * h);
            t->x[i][j] = keep;
            if (!(fabs(t->dx[i][j] - numeric) <= 1e-7 + 1e-6 * fabs(numeric)))
                fail_msg("%s: gradient %d[%ld] is %.12g, central difference %.12g", name, i, (long)j, t->dx[i][j], numeric);
        }
    }
    for (int i = 0; i < t->n_in; i++) {
        cs_free(t->x[i]);
        cs_free(t->dx[i]);
    }
    cs_free(t->out);
    cs_free(t->c);
    cs_free(t->side);
}

/* --- RMSNorm: x [T,H], w [H] */
static void rmsnorm_forward(check *t)
{
    ref()->rmsnorm_fwd(t->T, t->H, t->x[0], t->x[1], 1e-5, t->out, t->side);
}

static void rmsnorm_backward(check *t)
{
    ref()->rmsnorm_bwd(t->T, t->H, t->c, t->x[0], t->x[1], t->side, t->dx[0], t->dx[1]);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    static const int64_t shape[][2] = {{1, 1}, {3, 17}, {17, 3}};
    for (int i = 0; i < 3; i++) {
        int64_t T = shape[i][0], H = shape[i][1];
        check t = {.T = T, .H = H, .n_in = 2, .n_x = {T * H, H}, .n_out = T * H, .forward = rmsnorm_forward, .backward = rmsnorm_backward};
        run_check(&t, "rmsnorm");
    }
}

/* --- LayerNorm: x [T,H], w [H], b [H] */
static void layernorm_forward(check *t)
{
    ref()->layernorm_fwd(t->T, t->H, t->x[0], t->x[1], t->x[2], 1e-5, t->out, t->side, t->side + t->T);
}

static void layernorm_backward(check *t)
{
    ref()->layernorm_bwd(t->T, t->H, t->c, t->x[0], t->x[1], t->side, t->side + t->T, t->dx[0], t->dx[1], t->dx[2]);
}

static void test_layernorm(void **state)
{
    (void)state;
    static const int64_t shape[][2] = {{1, 2}, {3, 17}, {17, 3}};
    for (int i = 0; i < 3; i++) {
        int64_t T = shape[i][0], H = shape[i][1];
        check t = {.T = T, .H = H, .n_in = 3, .n_x = {T * H, H, H}, .n_out = T * H, .forward = layernorm_forward, .backward = layernorm_backward};
        run_check(&t, "layernorm");
    }
}

/* --- RoPE: x [T, N heads of 2H]; the backward is the rotation by the opposite angle. */
static void rope_apply(const check *t, double *x, int sign)
{
    double c[8 * 16], s[8 * 16];
    for (int64_t p = 0; p < 8; p++) {
        for (int64_t i = 0; i < t->H; i++) {
            double angle = (double)p / pow(10000, (double)i / (double)t->H);
            c[p * t->H + i] = cos(angle);
            s[p * t->H + i] = sin(angle);
        }
    }
    ref()->rope(t->T, t->N, 2 * t->H, x, t->N * 2 * t->H, t->ids, c, s, sign);
}

static void rope_forward(check *t)
{
    memcpy(t->out, t->x[0], (size_t)t->n_out * sizeof(double));
    rope_apply(t, t->out, 1);
}

static void rope_backward(check *t)
{
    memcpy(t->dx[0], t->c, (size_t)t->n_out * sizeof(double));
    rope_apply(t, t->dx[0], -1);
}

static void test_rope(void **state)
{
    (void)state;
    int32_t pos[] = {0, 1, 7, 3, 3};
    check t = {.T = 5, .H = 3, .N = 2, .n_in = 1, .n_x = {60}, .n_out = 60, .ids = pos, .forward = rope_forward, .backward = rope_backward};
    run_check(&t, "rope");
}

/* --- SwiGLU: gu [T, 2H] */
static void swiglu_forward(check *t)
{
    ref()->swiglu_fwd(t->T, t->H, t->x[0], t->out);
}

static void swiglu_backward(check *t)
{
    ref()->swiglu_bwd(t->T, t->H, t->c, t->x[0], t->dx[0], t->side);
    assert_memory_equal(t->side, t->out, (size_t)t->n_out * sizeof(double)); /* the recomputed output */
}

static void test_swiglu(void **state)
{
    (void)state;
    check t = {.T = 3, .H = 17, .n_in = 1, .n_x = {102}, .n_out = 51, .forward = swiglu_forward, .backward = swiglu_backward};
    run_check(&t, "swiglu");
}

/* --- GELU: x [T, H] */
static void gelu_forward(check *t)
{
    ref()->gelu_fwd(t->T, t->H, t->x[0], t->out);
}

static void gelu_backward(check *t)
{
    ref()->gelu_bwd(t->T, t->H, t->c, t->x[0], t->dx[0], t->side);
    assert_memory_equal(t->side, t->out, (size_t)t->n_out * sizeof(double)); /* the recomputed output */
}

static void test_gelu(void **state)
{
    (void)state;
    check t = {.T = 3, .H = 17, .n_in = 1, .n_x = {51}, .n_out = 51, .forward = gelu_forward, .backward = gelu_backward};
    run_check(&t, "gelu");
}

/* --- embedding: w [N,H] is rows 2.. of a vocabulary; a repeated and an unused id, ids before and behind the rows */
static void embed_forward(check *t)
{
    ref()->embed_fwd(t->T, t->H, t->N, 2, t->ids, t->x[0], t->out);
}

static void embed_backward(check *t)
{
    ref()->embed_bwd(t->T, t->H, t->N, 2, t->ids, t->c, t->dx[0]);
}

static void test_embed(void **state)
{
    (void)state;
    int32_t ids[] = {6, 2, 6, 1, 3, 6, 8};
    check t = {.T = 7, .H = 3, .N = 6, .n_in = 1, .n_x = {18}, .n_out = 21, .ids = ids, .forward = embed_forward, .backward = embed_backward};
    run_check(&t, "embed");
}

/* --- cross-entropy: logits [T,H], weights 1, 0, 0.5, 1; the last label lies on another rank. The kernel has no gradient that comes in, so out is
 * divided by c: loss_of then is the plain sum of the row losses. */
static const float loss_weight[] = {1, 0, 0.5f, 1};
enum { LOSS_ROWS = 4 };

static void row_losses(const check *t, double *lse, double *out)
{
    double top[LOSS_ROWS], sum[LOSS_ROWS], picked[LOSS_ROWS];
    ref()->ce_stats(t->T, t->H, t->x[0], t->ids, loss_weight, top, sum, picked);
    for (int64_t i = 0; i < t->T; i++) {
        lse[i] = top[i] + log(sum[i]);
        out[i] = (double)loss_weight[i] * (lse[i] - picked[i]);
    }
}

static void loss_forward(check *t)
{
    double lse[LOSS_ROWS];
    row_losses(t, lse, t->out);
    for (int64_t i = 0; i < t->n_out; i++)
        t->out[i] /= t->c[i];
}

static void loss_backward(check *t)
{
    double lse[LOSS_ROWS], out[LOSS_ROWS];
    row_losses(t, lse, out);
    ref()->ce_grad(t->T, t->H, t->x[0], t->ids, loss_weight, 1, lse, t->dx[0], t->H);
}

static void test_cross_entropy(void **state)
{
    (void)state;
    int32_t label[] = {16, -100, 0, 17};
    check t = {.T = LOSS_ROWS, .H = 17, .n_in = 1, .n_x = {68}, .n_out = LOSS_ROWS, .ids = label, .forward = loss_forward, .backward = loss_backward};
    run_check(&t, "ce_stats, ce_grad");
}

/* --- attention: q [T, heads*D], k and v [T, kv_heads*D]; H is the window, N says whether ALiBi is on */
static const double slopes[] = {0.5, 0.25, 1, 0.125};

static cs_attn make_attn(check *t, const void **k, const void **v)
{
    int64_t row = t->kv_heads * t->D;
    for (int s = 0; s < t->n_seq; s++) {
        k[s] = t->x[1] + t->start[s] * row;
        v[s] = t->x[2] + t->start[s] * row;
    }
    return (cs_attn){.n_seq = t->n_seq, .alibi = t->N ? slopes : NULL, .window = t->H, .n_heads = t->heads, .n_kv_heads = t->kv_heads, .head_dim = t->D, .q_start = t->start,
                     .n_keys = t->n_keys, .q = t->x[0], .ldq = t->heads * t->D, .k = k, .v = v, .k_ld = row, .k_head = t->D,
                     .scale = 1 / sqrt((double)t->D), .out = t->out, .ld_out = t->heads * t->D, .lse = t->side};
}

static void attn_forward(check *t)
{
    const void *k[MAX_SEQ], *v[MAX_SEQ];
    cs_attn a = make_attn(t, k, v);
    ref()->attn_fwd(&a);
}

static void attn_backward(check *t)
{
    const void *k[MAX_SEQ], *v[MAX_SEQ];
    cs_attn a = make_attn(t, k, v);
    void *work = cs_malloc(ref()->attn_work_bytes(t->T, t->heads, t->kv_heads, t->D));
    cs_attn_grad g = {.fwd = &a, .dout = t->c, .ld_dout = t->heads * t->D, .dq = t->dx[0], .ld_dq = t->heads * t->D, .dk = t->dx[1],
                      .dv = t->dx[2], .ld_dkv = t->kv_heads * t->D, .work = work};
    ref()->attn_bwd(&g);
    cs_free(work);
}

static void check_attention(int64_t heads, int64_t kv_heads, int64_t D, int n_seq, const int64_t *len, bool alibi, int64_t window)
{
    check t = {.N = alibi, .H = window, .heads = heads, .kv_heads = kv_heads, .D = D, .n_seq = n_seq, .n_in = 3, .forward = attn_forward, .backward = attn_backward};
    for (int s = 0; s < n_seq; s++) {
        t.start[s + 1] = t.start[s] + len[s];
        t.n_keys[s] = len[s];
    }
    t.T = t.start[n_seq];
    t.n_x[0] = t.n_out = t.T * heads * D;
    t.n_x[1] = t.n_x[2] = t.T * kv_heads * D;
    run_check(&t, "attention");
}

static void test_attention(void **state)
{
    (void)state;
    check_attention(1, 1, 2, 1, (const int64_t[]){1}, false, 0);
    check_attention(2, 2, 4, 1, (const int64_t[]){17}, false, 0);
    check_attention(4, 2, 2, 3, (const int64_t[]){3, 1, 9}, false, 0);
    check_attention(3, 1, 6, 4, (const int64_t[]){2, 0, 5, 1}, false, 0);
    check_attention(3, 3, 4, 2, (const int64_t[]){9, 5}, true, 0);
    check_attention(4, 2, 2, 2, (const int64_t[]){9, 5}, false, 3);
    check_attention(4, 1, 2, 1, (const int64_t[]){7}, true, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_layernorm), cmocka_unit_test(test_gelu), cmocka_unit_test(test_rope),          cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_embed),   cmocka_unit_test(test_cross_entropy), cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
