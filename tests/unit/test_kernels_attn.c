/* Attention of every kernel table: training shapes, grouped heads, ragged sequences, decode and chunked prefill over a cache. */
#include "kernel_op.h"

/* --- attention: flag 1 lays keys and values out head by head, as a cache does; flag 2 adds ALiBi; H is the window ------------------------------------------------------------- */
static int64_t total(const dims *d, const int64_t *n)
{
    int64_t sum = 0;
    for (int s = 0; s < d->n_seq; s++)
        sum += n[s];
    return sum;
}

typedef struct layout {
    int64_t start[MAX_SEQ + 1];
    const void *k[MAX_SEQ], *v[MAX_SEQ];
    double slope[16];
} layout;

static cs_attn make_attn(const cs_kernels *t, const dims *d, layout *l, void **p)
{
    int64_t row = d->kv_heads * d->D, at = 0;
    l->start[0] = 0;
    for (int s = 0; s < d->n_seq; s++) {
        l->start[s + 1] = l->start[s] + d->n_q[s];
        l->k[s] = (char *)p[1] + (size_t)at * cs_dtype_size(t->store);
        l->v[s] = (char *)p[2] + (size_t)at * cs_dtype_size(t->store);
        at += d->n_k[s] * row;
    }
    /* head by head needs one common head stride: every sequence gets room for the first, longest one */
    int64_t k_ld = d->flag & 1 ? d->D : row, k_head = d->flag & 1 ? d->n_k[0] * d->D : d->D;
    for (int s = 0; d->flag & 1 && s < d->n_seq; s++) {
        l->k[s] = (char *)p[1] + (size_t)(s * d->n_k[0] * row) * cs_dtype_size(t->store);
        l->v[s] = (char *)p[2] + (size_t)(s * d->n_k[0] * row) * cs_dtype_size(t->store);
    }
    for (int h = 0; h < d->heads; h++)
        l->slope[h] = pow(2, -(double)(h + 1) / 2);
    return (cs_attn){.n_seq = d->n_seq, .alibi = d->flag & 2 ? l->slope : NULL, .window = d->H, .n_heads = d->heads, .n_kv_heads = d->kv_heads, .head_dim = d->D, .q_start = l->start,
                     .n_keys = d->n_k, .q = p[0], .ldq = d->heads * d->D + 3, .k = l->k, .v = l->v, .k_ld = k_ld, .k_head = k_head,
                     .scale = 1.5 / sqrt((double)d->D), .out = p[3], .ld_out = d->heads * d->D + 1, .lse = p[4]};
}

static int attn_arrays(const dims *d, array *a)
{
    int64_t T = total(d, d->n_q), keys = d->flag & 1 ? d->n_seq * d->n_k[0] : total(d, d->n_k);
    a[0] = (array){.kind = STORE, .n = T * (d->heads * d->D + 3)};
    a[1] = (array){.kind = STORE, .n = keys * d->kv_heads * d->D};
    a[2] = (array){.kind = STORE, .n = keys * d->kv_heads * d->D};
    a[3] = (array){.kind = STORE, .n = T * (d->heads * d->D + 1), .out = true};
    a[4] = (array){.kind = ACC, .n = d->heads * T, .out = true};
    return 5;
}

static void attn_run(const cs_kernels *k, const dims *d, void **p)
{
    layout l;
    cs_attn a = make_attn(k, d, &l, p);
    k->attn_fwd(&a);
    a.lse = NULL;
    k->attn_fwd(&a);
}

/* out and lse are inputs here: any values do for the formulas, and both sides see the same rounding. */
static int attn_bwd_arrays(const dims *d, array *a)
{
    int64_t T = total(d, d->n_q);
    attn_arrays(d, a);
    a[3].out = a[4].out = false;
    a[4].kind = ACC_POS;
    a[5] = (array){.kind = STORE, .n = T * (d->heads * d->D + 2)};
    a[6] = (array){.kind = STORE, .n = T * d->heads * d->D, .out = true};
    a[7] = (array){.kind = STORE, .n = T * (2 * d->kv_heads * d->D + 1), .out = true};
    return 8;
}

static void attn_bwd_run(const cs_kernels *k, const dims *d, void **p)
{
    layout l;
    cs_attn a = make_attn(k, d, &l, p);
    int64_t T = total(d, d->n_q), kv = d->kv_heads * d->D;
    void *work = cs_malloc(k->attn_work_bytes(T, d->heads, d->kv_heads, d->D) + 1);
    cs_attn_grad g = {.fwd = &a, .dout = p[5], .ld_dout = d->heads * d->D + 2, .dq = p[6], .ld_dq = d->heads * d->D, .dk = p[7],
                      .dv = (char *)p[7] + (size_t)kv * cs_dtype_size(k->store), .ld_dkv = 2 * kv + 1, .work = work};
    k->attn_bwd(&g);
    cs_free(work);
}

static void test_attention(void **state)
{
    (void)state;
    static const op ops[] = {{"attn_fwd", attn_arrays, attn_run}, {"attn_bwd", attn_bwd_arrays, attn_bwd_run}};
    static const dims train[] = {
        {.heads = 1, .kv_heads = 1, .D = 2, .n_seq = 1, .n_q = {1}, .n_k = {1}},
        {.heads = 2, .kv_heads = 2, .D = 8, .n_seq = 2, .n_q = {3, 17}, .n_k = {3, 17}},
        {.heads = 6, .kv_heads = 2, .D = 10, .n_seq = 5, .n_q = {17, 1, 63, 0, 129}, .n_k = {17, 1, 63, 0, 129}},
        {.heads = 3, .kv_heads = 1, .D = 64, .n_seq = 2, .n_q = {200, 65}, .n_k = {200, 65}, .flag = 1},
        {.heads = 2, .kv_heads = 1, .D = 256, .n_seq = 1, .n_q = {97}, .n_k = {97}},
        {.heads = 4, .kv_heads = 4, .D = 50, .n_seq = 3, .n_q = {64, 48, 5}, .n_k = {64, 48, 5}},
        {.heads = 5, .kv_heads = 5, .D = 16, .n_seq = 3, .n_q = {200, 33, 6}, .n_k = {200, 33, 6}, .flag = 2},
        {.heads = 4, .kv_heads = 2, .D = 16, .n_seq = 3, .n_q = {300, 33, 6}, .n_k = {300, 33, 6}, .H = 1},
        {.heads = 4, .kv_heads = 2, .D = 16, .n_seq = 2, .n_q = {300, 33}, .n_k = {300, 33}, .H = 7, .flag = 1},
        {.heads = 3, .kv_heads = 1, .D = 34, .n_seq = 2, .n_q = {270, 150}, .n_k = {270, 150}, .H = 100},
        {.heads = 6, .kv_heads = 6, .D = 8, .n_seq = 2, .n_q = {170, 150}, .n_k = {170, 150}, .H = 64, .flag = 2},
    };
    static const dims infer[] = {
        {.heads = 4, .kv_heads = 2, .D = 16, .n_seq = 4, .n_q = {1, 1, 1, 1}, .n_k = {300, 130, 5, 1}, .flag = 1},
        {.heads = 9, .kv_heads = 1, .D = 50, .n_seq = 3, .n_q = {1, 4, 2}, .n_k = {63, 65, 129}},
        {.heads = 2, .kv_heads = 2, .D = 64, .n_seq = 3, .n_q = {70, 1, 20}, .n_k = {200, 77, 100}, .flag = 1},
        {.heads = 2, .kv_heads = 1, .D = 256, .n_seq = 2, .n_q = {5, 1}, .n_k = {131, 64}},
        {.heads = 6, .kv_heads = 2, .D = 16, .n_seq = 4, .n_q = {1, 3, 1, 1}, .n_k = {300, 130, 5, 1}, .flag = 3},
        {.heads = 4, .kv_heads = 2, .D = 16, .n_seq = 4, .n_q = {1, 2, 1, 40}, .n_k = {300, 130, 5, 90}, .H = 66, .flag = 1},
        {.heads = 4, .kv_heads = 4, .D = 16, .n_seq = 2, .n_q = {70, 1}, .n_k = {200, 90}, .H = 3, .flag = 2},
    };
    check_all(ops, 2, train, (int)(sizeof train / sizeof *train));
    check_all(ops, 1, infer, (int)(sizeof infer / sizeof *infer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
