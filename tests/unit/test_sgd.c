/* Gradient descent against torch.optim.SGD (tests/golden/sgd.json): every table of kernels, with and without momentum and weight decay. */
#include "optim/optimizer.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N = 11, MAX_TABLES = 32 };

static double real_at(const json_t *array, size_t i)
{
    return json_number_value(json_array_get(array, i));
}

static void put_all(void *to, cs_dtype type, const json_t *from)
{
    for (size_t i = 0; i < N; i++)
        if (type == CS_F64)
            ((double *)to)[i] = real_at(from, i);
        else
            ((float *)to)[i] = (float)real_at(from, i);
}

static void same(const void *have, cs_dtype type, const json_t *want)
{
    for (size_t i = 0; i < N; i++) {
        double x = type == CS_F64 ? ((const double *)have)[i] : ((const float *)have)[i], y = real_at(want, i);
        if (!(fabs(x - y) <= (type == CS_F64 ? 1e-15 : 3e-7) * fmax(1, fabs(y))))
            fail_msg("element %zu: %.17g, torch has %.17g", i, x, y);
    }
}

static void check_row(const json_t *row, const cs_kernels *k)
{
    double p[N], m[N] = {0}, g[N];
    uint16_t half[N];
    const json_t *set = json_object_get(row, "settings"), *steps = json_object_get(row, "steps");
    const cs_optimizer_options o = {.kind = 2, .momentum = json_number_value(json_object_get(set, "momentum")),
                                    .weight_decay = json_number_value(json_object_get(set, "weight_decay"))};
    bool keeps = cs_update_moments(cs_optimizer_rule(&o)) == 1;
    put_all(p, k->acc, json_object_get(row, "start"));
    for (size_t s = 0; s < json_array_size(steps); s++) {
        const json_t *step = json_array_get(steps, s);
        const cs_update h = cs_optimizer_step_args(&o, real_at(json_object_get(row, "lr"), s), (int64_t)s + 1, real_at(json_object_get(row, "scale"), s));
        put_all(g, k->acc, json_array_get(json_object_get(row, "grad"), s));
        k->sgd(N, p, keeps ? m : NULL, g, &h, k->store == k->acc ? (void *)p : half);
        same(p, k->acc, json_object_get(step, "p"));
        assert_int_equal(keeps, json_is_array(json_object_get(step, "momentum_buffer")));
        if (keeps)
            same(m, k->acc, json_object_get(step, "momentum_buffer"));
        for (size_t i = 0; k->store != k->acc && i < N; i++) {
            uint16_t rounded;
            k->from_acc(1, (float *)(void *)p + i, &rounded);
            assert_int_equal(half[i], rounded);
        }
    }
}

static void test_torch(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLES];
    int n = cs_kernels_all(tables, MAX_TABLES);
    json_error_t e;
    json_t *rows = json_load_file("tests/golden/sgd.json", 0, &e);
    assert_non_null(rows);
    assert_int_equal(json_array_size(rows), 4);
    for (size_t i = 0; i < 4; i++)
        for (int t = 0; t < n; t++)
            check_row(json_array_get(rows, i), tables[t]);
    json_decref(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_torch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
