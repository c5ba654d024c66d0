/* Every module pair against central differences in f64: h = 1e-5, |analytic - numeric| <= 1e-7 + 1e-6 |numeric|, on odd shapes. The scalar that is
 * differentiated is sum(out * r) with fixed random r, so that every output entry counts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "model/block.h"
#include "nn/embed.h"
#include "nn/loss.h"

static const double STEP = 1e-5;

typedef struct rig {
    cs_arena scratch, stash, perm;
    cs_batch batch;
    cs_mesh mesh;
    cs_ctx ctx;
} rig;

static const int64_t seq_start[] = {0, 1, 4, 21}; /* ragged: 1, 3 and 17 rows */
enum { ROWS = 21, N_SEQ = 3, VOCAB = 13 };
static int32_t tokens[ROWS], labels[ROWS], pos[ROWS];
static float weights[ROWS];

static void rig_init(rig *g)
{
    for (int i = 0; i < ROWS; i++) {
        int seq = i < 1 ? 0 : i < 4 ? 1 : 2;
        tokens[i] = (i * 5) % VOCAB;
        labels[i] = (i * 7 + 3) % VOCAB;
        pos[i] = (int32_t)(i - seq_start[seq]);
        weights[i] = i % 5 == 2 ? 0.0f : 1.0f;
    }
    memset(g, 0, sizeof *g);
    cs_arena_init(&g->scratch, "scratch");
    cs_arena_init(&g->stash, "stash");
    cs_arena_init(&g->perm, "perm");
    g->batch = (cs_batch){.rows = ROWS, .n_seq = N_SEQ, .seq_start = seq_start, .tokens = tokens, .labels = labels, .weights = weights, .pos = pos};
    assert_int_equal(cs_mesh_init(&g->mesh, cs_comm_self(), 1, 1, 1, NULL), CS_OK);
    g->ctx = (cs_ctx){.k = cs_kernels_ref(CS_F64), .prec = cs_precision_of(CS_F64), .mesh = &g->mesh, .batch = &g->batch, .scratch = &g->scratch,
                      .stash = &g->stash};
}

static void rig_release(rig *g)
{
    cs_mesh_release(&g->mesh);
    cs_arena_release(&g->scratch);
    cs_arena_release(&g->stash);
    cs_arena_release(&g->perm);
}

/* n doubles around `mean`, a pure function of the name. */
static double *randoms(rig *g, const char *name, int64_t n, double mean)
{
    double *x = cs_arena_must(&g->perm, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = mean + 0.5 * cs_rng_normal(42, cs_rng_site(name), (uint64_t)i);
    return x;
}

static double *zeros(rig *g, int64_t n)
{
    return cs_arena_calloc(&g->perm, (size_t)n, sizeof(double));
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

typedef double (*loss_fn)(void *arg);

/* Compares d loss / d x[i] for every i with grad[i]. The weight behind x (NULL = none) is told that it changed. */
static void check(const char *what, loss_fn loss, void *arg, double *x, const double *grad, int64_t n, cs_weight *weight)
{
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        double keep = x[i], value[2];
        for (int side = 0; side < 2; side++) {
            x[i] = keep + (side == 0 ? STEP : -STEP);
            if (weight)
                weight->version++;
            value[side] = loss(arg);
        }
        x[i] = keep;
        if (weight)
            weight->version++;
        double numeric = (value[0] - value[1]) / (2 * STEP);
        if (!(fabs(grad[i] - numeric) <= 1e-7 + 1e-6 * fabs(numeric)) && bad++ < 5)
            fprintf(stderr, "%s[%lld]: analytic %.12g, numeric %.12g\n", what, (long long)i, grad[i], numeric);
    }
    assert_int_equal(bad, 0);
}

static cs_tensor view(double *data, int64_t rows, int64_t cols)
{
    return cs_tensor_2d(data, CS_F64, rows, cols);
}

typedef struct norm_case {
    rig *g;
    cs_norm norm;
    double *x, *y, *r;
    int64_t H;
} norm_case;

static double norm_loss(void *arg)
{
    norm_case *c = arg;
    cs_norm_forward(&c->norm, &c->g->ctx, view(c->x, ROWS, c->H), view(c->y, ROWS, c->H), NULL);
    return dot(c->y, c->r, ROWS * c->H);
}

static void test_norm(void **state)
{
    (void)state;
    const int64_t widths[] = {1, 3, 17};
    for (int i = 0; i < 3; i++) {
        rig g;
        rig_init(&g);
        int64_t H = widths[i], n = ROWS * H;
        double *w = randoms(&g, "w", H, 1), *dw = zeros(&g, H), *dx = zeros(&g, n);
        norm_case c = {&g, {.w = w, .dw = dw, .eps = 1e-5}, randoms(&g, "x", n, 0), zeros(&g, n), randoms(&g, "r", n, 0), H};
        cs_norm_saved saved;
        cs_norm_forward(&c.norm, &g.ctx, view(c.x, ROWS, H), view(c.y, ROWS, H), &saved);
        cs_norm_backward(&c.norm, &g.ctx, view(c.r, ROWS, H), &saved, view(dx, ROWS, H));
        check("norm dx", norm_loss, &c, c.x, dx, n, NULL);
        check("norm dw", norm_loss, &c, w, dw, H, NULL);
        rig_release(&g);
    }
}

typedef struct linear_case {
    rig *g;
    cs_linear lin;
    double *x, *y, *r;
} linear_case;

static double linear_loss(void *arg)
{
    linear_case *c = arg;
    int64_t K = c->lin.w->cols, N = c->lin.w->rows;
    cs_linear_forward(&c->lin, &c->g->ctx, view(c->x, ROWS, K), view(c->y, ROWS, N));
    return dot(c->y, c->r, ROWS * N);
}

static void test_linear(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{1, 1}, {3, 17}, {17, 3}};
    for (int i = 0; i < 3; i++) {
        rig g;
        rig_init(&g);
        int64_t N = shapes[i][0], K = shapes[i][1];
        double *w = randoms(&g, "w", N * K, 0), *b = randoms(&g, "b", N, 0), *dw = zeros(&g, N * K), *db = zeros(&g, N), *dx = zeros(&g, ROWS * K);
        cs_weight weight = {.data = w, .dtype = CS_F64, .rows = N, .cols = K, .ld = K, .version = 1};
        linear_case c = {&g, {.w = &weight, .bias = b, .dw = dw, .dbias = db}, randoms(&g, "x", ROWS * K, 0), zeros(&g, ROWS * N), randoms(&g, "r", ROWS * N, 0)};
        cs_linear_backward_input(&c.lin, &g.ctx, view(c.r, ROWS, N), view(dx, ROWS, K));
        cs_linear_backward_weight(&c.lin, &g.ctx, view(c.r, ROWS, N), view(c.x, ROWS, K));
        check("linear dx", linear_loss, &c, c.x, dx, ROWS * K, NULL);
        check("linear dw", linear_loss, &c, w, dw, N * K, &weight);
        check("linear db", linear_loss, &c, b, db, N, NULL);
        cs_linear_backward_weight(&c.lin, &g.ctx, view(c.r, ROWS, N), view(c.x, ROWS, K)); /* parameter gradients add */
        for (int64_t j = 0; j < N * K; j++)
            dw[j] /= 2;
        check("linear dw twice", linear_loss, &c, w, dw, N * K, &weight);
        g.ctx.k->weight_release(&weight);
        rig_release(&g);
    }
}

typedef struct attention_case {
    rig *g;
    cs_attention att;
    cs_rope rope;
    double *qkv, *work, *out, *r;
    int64_t width, out_width;
} attention_case;

/* rope on q and k, then attention; on a copy, because rope works in place */
static double attention_loss(void *arg)
{
    attention_case *c = arg;
    memcpy(c->work, c->qkv, (size_t)(ROWS * c->width) * sizeof(double));
    cs_tensor qkv = view(c->work, ROWS, c->width);
    cs_rope_forward(&c->rope, &c->g->ctx, cs_tensor_cols(qkv, 0, (c->att.n_heads + c->att.n_kv_heads) * c->att.head_dim));
    cs_attention_forward(&c->att, &c->g->ctx, qkv, view(c->out, ROWS, c->out_width), NULL);
    return dot(c->out, c->r, ROWS * c->out_width);
}

static void test_rope_and_attention(void **state)
{
    (void)state;
    const int64_t shapes[][3] = {{1, 1, 2}, {3, 3, 6}, {4, 2, 4}, {6, 1, 8}}; /* heads, kv heads, head dim */
    for (int i = 0; i < 4; i++) {
        rig g;
        cs_error err;
        rig_init(&g);
        int64_t n = shapes[i][0], kv = shapes[i][1], D = shapes[i][2], width = (n + 2 * kv) * D;
        attention_case c = {.g = &g, .att = {.n_heads = n, .n_kv_heads = kv, .head_dim = D}, .width = width, .out_width = n * D};
        assert_int_equal(cs_rope_init(&c.rope, ROWS, D, 10000, &(cs_rope_scaling){0}, g.ctx.prec, &g.perm, &err), CS_OK);
        c.qkv = randoms(&g, "qkv", ROWS * width, 0);
        c.work = zeros(&g, ROWS * width);
        c.out = zeros(&g, ROWS * n * D);
        c.r = randoms(&g, "r", ROWS * n * D, 0);
        double *d = zeros(&g, ROWS * width), *rotated = zeros(&g, ROWS * width);
        memcpy(rotated, c.qkv, (size_t)(ROWS * width) * sizeof(double));
        cs_tensor qkv = view(rotated, ROWS, width), dqkv = view(d, ROWS, width);
        cs_attention_saved saved;
        cs_rope_forward(&c.rope, &g.ctx, cs_tensor_cols(qkv, 0, (n + kv) * D));
        cs_attention_forward(&c.att, &g.ctx, qkv, view(c.out, ROWS, n * D), &saved);
        cs_attention_backward(&c.att, &g.ctx, view(c.r, ROWS, n * D), &saved, dqkv);
        cs_rope_backward(&c.rope, &g.ctx, cs_tensor_cols(dqkv, 0, (n + kv) * D));
        check("attention dqkv", attention_loss, &c, c.qkv, d, ROWS * width, NULL);
        rig_release(&g);
    }
}

typedef struct mlp_case {
    rig *g;
    cs_mlp mlp;
    double *x, *y, *r;
    int64_t H;
} mlp_case;

static double mlp_loss(void *arg)
{
    mlp_case *c = arg;
    cs_mlp_forward(&c->mlp, &c->g->ctx, view(c->x, ROWS, c->H), view(c->y, ROWS, c->H), true, NULL);
    return dot(c->y, c->r, ROWS * c->H);
}

static void test_mlp(void **state)
{
    (void)state;
    rig g;
    rig_init(&g);
    enum { H = 5, F = 7 };
    double *w1 = randoms(&g, "gate_up", 2 * F * H, 0), *w2 = randoms(&g, "down", H * F, 0), *b1 = randoms(&g, "b1", 2 * F, 0);
    double *dw1 = zeros(&g, 2 * F * H), *dw2 = zeros(&g, H * F), *db1 = zeros(&g, 2 * F), *dx = zeros(&g, ROWS * H);
    cs_weight gu = {.data = w1, .dtype = CS_F64, .rows = 2 * F, .cols = H, .ld = H, .version = 1};
    cs_weight down = {.data = w2, .dtype = CS_F64, .rows = H, .cols = F, .ld = F, .version = 1};
    mlp_case c = {&g, {CS_ACT_SWIGLU, {.w = &gu, .bias = b1, .dw = dw1, .dbias = db1}, {.w = &down, .dw = dw2}, F}, randoms(&g, "x", ROWS * H, 0), zeros(&g, ROWS * H),
                  randoms(&g, "r", ROWS * H, 0), H};
    cs_mlp_saved saved;
    cs_mlp_forward(&c.mlp, &g.ctx, view(c.x, ROWS, H), view(c.y, ROWS, H), true, &saved);
    cs_mlp_backward(&c.mlp, &g.ctx, view(c.r, ROWS, H), &saved, view(dx, ROWS, H));
    check("mlp dx", mlp_loss, &c, c.x, dx, ROWS * H, NULL);
    check("mlp gate_up", mlp_loss, &c, w1, dw1, 2 * F * H, &gu);
    check("mlp gate_up bias", mlp_loss, &c, b1, db1, 2 * F, NULL);
    check("mlp down", mlp_loss, &c, w2, dw2, H * F, &down);
    g.ctx.k->weight_release(&gu);
    g.ctx.k->weight_release(&down);
    rig_release(&g);
}

typedef struct embed_case {
    rig *g;
    cs_embed embed;
    double *y, *r;
    int64_t H;
} embed_case;

static double embed_loss(void *arg)
{
    embed_case *c = arg;
    cs_embed_forward(&c->embed, &c->g->ctx, view(c->y, ROWS, c->H));
    return dot(c->y, c->r, ROWS * c->H);
}

static void test_embed(void **state)
{
    (void)state;
    rig g;
    rig_init(&g);
    enum { H = 3 };
    double *w = randoms(&g, "w", VOCAB * H, 0), *dw = zeros(&g, VOCAB * H);
    embed_case c = {&g, {w, dw, VOCAB, 0}, zeros(&g, ROWS * H), randoms(&g, "r", ROWS * H, 0), H};
    cs_embed_backward(&c.embed, &g.ctx, view(c.r, ROWS, H));
    check("embedding", embed_loss, &c, w, dw, VOCAB * H, NULL);
    rig_release(&g);
}

typedef struct loss_case {
    rig *g;
    cs_loss loss;
    double *x;
    int64_t H;
} loss_case;

static const double SCALE = 0.37;

static double head_loss(void *arg)
{
    loss_case *c = arg;
    return SCALE * cs_loss_forward(&c->loss, &c->g->ctx, view(c->x, ROWS, c->H), 0, NULL);
}

static void test_loss(void **state)
{
    (void)state;
    rig g;
    rig_init(&g);
    enum { H = 5 };
    double *w = randoms(&g, "w", VOCAB * H, 0), *dw = zeros(&g, VOCAB * H), *dx = zeros(&g, ROWS * H);
    cs_weight head = {.data = w, .dtype = CS_F64, .rows = VOCAB, .cols = H, .ld = H, .version = 1};
    loss_case c = {&g, {{.w = &head, .dw = dw}, 0, VOCAB}, randoms(&g, "x", ROWS * H, 0), H};
    cs_loss_saved saved;
    double with = cs_loss_forward(&c.loss, &g.ctx, view(c.x, ROWS, H), SCALE, &saved);
    assert_true(with == cs_loss_forward(&c.loss, &g.ctx, view(c.x, ROWS, H), 0, NULL));
    cs_loss_backward(&c.loss, &g.ctx, &saved, view(dx, ROWS, H));
    check("loss dx", head_loss, &c, c.x, dx, ROWS * H, NULL);
    check("loss head", head_loss, &c, w, dw, VOCAB * H, &head);
    g.ctx.k->weight_release(&head);
    rig_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm), cmocka_unit_test(test_linear), cmocka_unit_test(test_rope_and_attention),
        cmocka_unit_test(test_mlp),  cmocka_unit_test(test_embed),  cmocka_unit_test(test_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
