/* A whole two-layer model in f64: every parameter against central differences; plain, and grouped-query with biases and a tied head. And what a
 * model promises besides: logits of chosen rows, gradients that add over micro-batches, no allocation after the first step. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

static const int64_t seq_start[] = {0, 5, 12};
static const int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}, labels[] = {1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9};
static const int32_t pos[] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6};
static const float weights[] = {1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1};
static const cs_batch batch = {.rows = 12, .n_seq = 2, .seq_start = seq_start, .tokens = tokens, .labels = labels, .weights = weights, .pos = pos,
                               .trained = 9};
static const double SCALE = 1.0 / 9, STEP = 1e-5;

static cs_spec make_spec(int64_t heads, int64_t kv, bool bias, bool tied)
{
    return (cs_spec){.family = cs_families[0], .vocab_size = 11, .hidden = 6 * heads, .ffn = 9, .n_layers = 2, .n_heads = heads, .n_kv_heads = kv,
                     .head_dim = 6, .max_pos = 16, .norm_eps = 1e-5, .rope_theta = 10000, .init_std = 0.3, .bias_qkv = bias, .bias_out = bias,
                     .bias_mlp = bias, .tied_head = tied, .bos = -1, .eos = -1, .pad = -1};
}

static cs_model *make_model(const cs_spec *spec, cs_dtype store, double **grad)
{
    cs_error err = {0};
    cs_model *m;
    const cs_model_options opt = {.kernels = {store, "auto", "own"}, .training = true, .n_pos = 16};
    assert_int_equal(cs_model_create(spec, &opt, &m, &err), CS_OK);
    cs_param_table_fill(&m->table, 7);
    *grad = cs_calloc((size_t)m->table.n_elements, sizeof(double));
    cs_model_bind_grad(m, *grad);
    return m;
}

static double loss_with(cs_model *m, double *where, double value)
{
    double keep = *where;
    *where = value;
    cs_param_touch(&m->table);
    double loss = SCALE * cs_model_loss(m, &batch);
    *where = keep;
    return loss;
}

static void check_every_parameter(const cs_spec *spec)
{
    double *grad;
    cs_model *m = make_model(spec, CS_F64, &grad);
    double *w = m->table.store;
    int bad = 0;
    int64_t checked = 0;
    for (int64_t v = 0; v < cs_param_n_views(&m->table); v++) { /* biases and norms away from their start values */
        cs_param_view p = cs_param_view_at(&m->table, v);
        for (int64_t i = p.offset; p.ndim == 1 && i < p.offset + p.n; i++)
            w[i] += 0.1 * (double)(i % 7 - 3);
    }
    cs_param_touch(&m->table);
    cs_model_loss_backward(m, &batch, SCALE);
    for (int64_t v = 0; v < cs_param_n_views(&m->table); v++) {
        cs_param_view p = cs_param_view_at(&m->table, v);
        for (int64_t i = p.offset; i < p.offset + p.n; i++, checked++) {
            double numeric = (loss_with(m, &w[i], w[i] + STEP) - loss_with(m, &w[i], w[i] - STEP)) / (2 * STEP);
            if (!(fabs(grad[i] - numeric) <= 1e-7 + 1e-6 * fabs(numeric)) && bad++ < 5)
                fprintf(stderr, "%s[%lld]: analytic %.12g, numeric %.12g\n", p.name, (long long)(i - p.offset), grad[i], numeric);
        }
    }
    assert_int_equal(bad, 0);
    assert_int_equal(checked, cs_spec_n_params(spec));
    cs_model_destroy(m);
    cs_free(grad);
}

static void test_plain(void **state)
{
    (void)state;
    cs_spec spec = make_spec(1, 1, false, false);
    check_every_parameter(&spec);
}

static void test_grouped_biased_tied(void **state)
{
    (void)state;
    cs_spec spec = make_spec(2, 1, true, true);
    check_every_parameter(&spec);
}

/* Every family as it is by default, and the options that change the arithmetic. */
static void test_families(void **state)
{
    (void)state;
    for (const cs_family *const *f = cs_families; *f; f++) {
        for (int option = 0; option < 3; option++) {
            cs_spec spec = (*f)->defaults;
            spec.family = *f;
            spec.vocab_size = 11;
            spec.n_heads = 3;
            spec.n_kv_heads = (*f)->qkv == CS_QKV_SEPARATE && option == 1 ? 1 : 3;
            spec.head_dim = 4;
            spec.hidden = 12;
            spec.ffn = 9;
            spec.n_layers = 2;
            spec.max_pos = 16;
            spec.init_std = 0.3;
            spec.bos = spec.eos = spec.pad = -1;
            spec.pos = option == 2 ? CS_POS_ALIBI : spec.pos;
            spec.window = option == 1 ? 3 : 0;
            spec.window_from = 1;
            spec.norm_head = option == 2;
            if (option == 1)
                spec.rope_scaling = (cs_rope_scaling){CS_ROPE_LLAMA3, 8, 1, 4, 8};
            check_every_parameter(&spec);
        }
    }
}

static void test_logits_of_rows(void **state)
{
    (void)state;
    double *grad, all[12 * 11], some[2 * 11];
    const int64_t rows[] = {4, 11};
    cs_spec spec = make_spec(3, 1, false, false);
    cs_model *m = make_model(&spec, CS_F64, &grad);
    cs_model_logits(m, &batch, NULL, NULL, 0, all);
    cs_model_logits(m, &batch, NULL, rows, 2, some);
    for (int r = 0; r < 2; r++)
        for (int j = 0; j < 11; j++)
            assert_true(fabs(all[rows[r] * 11 + j] - some[r * 11 + j]) < 1e-13);
    cs_model_destroy(m);
    cs_free(grad);
}

/* Two micro-batches of one sequence each give the gradient of both together. */
static void test_micro_batches_add(void **state)
{
    (void)state;
    double *grad;
    cs_spec spec = make_spec(2, 2, false, false);
    cs_model *m = make_model(&spec, CS_F64, &grad);
    const int64_t first[] = {0, 5}, second[] = {0, 7};
    const cs_batch parts[] = {
        {.rows = 5, .n_seq = 1, .seq_start = first, .tokens = tokens, .labels = labels, .weights = weights, .pos = pos},
        {.rows = 7, .n_seq = 1, .seq_start = second, .tokens = tokens + 5, .labels = labels + 5, .weights = weights + 5, .pos = pos + 5},
    };
    size_t bytes = (size_t)m->table.n_elements * sizeof(double);
    double *whole = cs_calloc(1, bytes), loss = cs_model_loss_backward(m, &batch, SCALE), sum = 0;
    memcpy(whole, grad, bytes);
    memset(grad, 0, bytes);
    for (int i = 0; i < 2; i++)
        sum += cs_model_loss_backward(m, &parts[i], SCALE);
    assert_true(fabs(loss - sum) < 1e-12 * fabs(loss));
    for (int64_t i = 0; i < m->table.n_elements; i++)
        assert_true(fabs(whole[i] - grad[i]) <= 1e-13 + 1e-11 * fabs(whole[i]));
    cs_free(whole);
    cs_model_destroy(m);
    cs_free(grad);
}

static void test_no_allocation_after_first_step(void **state)
{
    (void)state;
    const cs_dtype types[] = {CS_F64, CS_F32, CS_BF16};
    for (int i = 0; i < 3; i++) {
        double *grad;
        cs_spec spec = make_spec(4, 2, false, false);
        cs_model *m = make_model(&spec, types[i], &grad);
        cs_model_loss_backward(m, &batch, SCALE);
        cs_model_loss(m, &batch);
        cs_param_touch(&m->table);
        int64_t before = cs_mem_calls();
        cs_model_loss_backward(m, &batch, SCALE);
        cs_model_loss(m, &batch);
        assert_int_equal(cs_mem_calls(), before);
        cs_model_destroy(m);
        cs_free(grad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_grouped_biased_tied),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_logits_of_rows),
        cmocka_unit_test(test_micro_batches_add),
        cmocka_unit_test(test_no_allocation_after_first_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
