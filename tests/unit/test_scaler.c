/* The loss scale over sequences of good steps and overflows: Megatron's DynamicGradScaler, followed by hand. */
#include "optim/scaler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const cs_scaler_options options = {.initial = 65536, .min = 4096, .window = 3, .hysteresis = 2};

/* '.' a good step, 'x' an overflow; checks the scale after each. */
static void follow(cs_scaler *s, const cs_scaler_options *o, const char *steps, const double *scale)
{
    for (size_t i = 0; steps[i]; i++) {
        cs_scaler_update(s, o, steps[i] == 'x');
        if (s->scale != scale[i])
            fail_msg("step %zu of %s: scale %g, expected %g", i, steps, s->scale, scale[i]);
    }
}

static void test_growth(void **state)
{
    (void)state;
    cs_scaler s = cs_scaler_start(&options, true);
    follow(&s, &options, "......", (const double[]){65536, 65536, 131072, 131072, 131072, 262144});
    /* an overflow starts the window again; the hysteresis bears the first */
    follow(&s, &options, "..x...", (const double[]){262144, 262144, 262144, 262144, 262144, 524288});
}

static void test_hysteresis(void **state)
{
    (void)state;
    cs_scaler s = cs_scaler_start(&options, true);
    /* the second overflow halves, and from then on each one does until the scale grows */
    follow(&s, &options, "xxx.x", (const double[]){65536, 32768, 16384, 16384, 8192});
    follow(&s, &options, "...xx", (const double[]){8192, 8192, 16384, 16384, 8192});
}

static void test_floor(void **state)
{
    (void)state;
    cs_scaler s = cs_scaler_start(&options, true);
    follow(&s, &options, "xxxxx", (const double[]){65536, 32768, 16384, 8192, 4096});
    assert_false(cs_scaler_update(&s, &options, true));
    assert_true(s.scale == 4096);
    assert_true(cs_scaler_update(&s, &options, false));
}

static void test_constant_and_off(void **state)
{
    (void)state;
    cs_scaler_options o = options;
    o.constant = 128;
    cs_scaler s = cs_scaler_start(&o, true);
    for (int i = 0; i < 10; i++)
        assert_true(cs_scaler_update(&s, &o, false) && s.scale == 128);
    assert_false(cs_scaler_update(&s, &o, true));
    assert_true(s.scale == 128);
    assert_true(cs_scaler_start(&options, false).scale == 1);
}

static void test_rules(void **state)
{
    (void)state;
    cs_error err = {0};
    cs_scaler_options o = options;
    assert_int_equal(cs_scaler_check(&o, &err), CS_OK);
    o.initial = 1;
    assert_int_equal(cs_scaler_check(&o, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "--initial-loss-scale"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_growth), cmocka_unit_test(test_hysteresis), cmocka_unit_test(test_floor),
                                       cmocka_unit_test(test_constant_and_off), cmocka_unit_test(test_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
