/* Learning rate schedules, the batch ramp, their flags; clipping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "optim/lr.h"
#include "optim/optimizer.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static void near(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-15 * fabs(want) + 1e-300);
}

static void test_shapes(void **state)
{
    (void)state;
    cs_lr_schedule s = {CS_LR_LINEAR, 1e-3, 1e-4, 200, 1000};
    assert_true(cs_lr_at(&s, 0) == 0); /* the first update of a warm-up does nothing */
    near(cs_lr_at(&s, 50), 1e-3 * 50 / 200);
    near(cs_lr_at(&s, 200), 1e-3);
    near(cs_lr_at(&s, 400), 1e-4 + 9e-4 * (1 - 200.0 / 800));
    near(cs_lr_at(&s, 1000), 1e-4);
    near(cs_lr_at(&s, 1001), 1e-4);
    s.style = CS_LR_COSINE;
    near(cs_lr_at(&s, 199), 1e-3 * 199 / 200);
    near(cs_lr_at(&s, 400), 1e-4 + 9e-4 * 0.5 * (1 + cos(pi * 0.25)));
    near(cs_lr_at(&s, 600), 1e-4 + 9e-4 * 0.5 * (1 + cos(pi * 0.5)));
    near(cs_lr_at(&s, 5000), 1e-4);
    s.style = CS_LR_CONSTANT;
    near(cs_lr_at(&s, 100), 5e-4);
    near(cs_lr_at(&s, 100000), 1e-3); /* never the minimum */
    s.style = CS_LR_INVERSE_SQRT;
    near(cs_lr_at(&s, 800), 1e-3 * sqrt(200) / sqrt(800));
    s.warmup = 0;
    s.style = CS_LR_LINEAR;
    near(cs_lr_at(&s, 0), 1e-3); /* no division by the missing warm-up */
    near(cs_lr_at(&s, 500), 1e-4 + 9e-4 * 0.5);
}

static void test_ramp(void **state)
{
    (void)state;
    /* 16 to 64 by 16 over 3000 samples: an increment each 1000 samples */
    static const int64_t at[][2] = {{0, 16}, {999, 16}, {1000, 32}, {1999, 32}, {2000, 48}, {2999, 48}, {3000, 64}, {3001, 64}, {1000000, 64}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        assert_int_equal(cs_ramp_batch_size(16, 16, 3000, 64, at[i][0]), at[i][1]);
    assert_int_equal(cs_ramp_batch_size(64, 16, 3000, 64, 0), 64);
    assert_int_equal(cs_ramp_batch_size(16, 16, 0, 64, 0), 64);
    /* increments of 1000/3 samples: the border lies between 333 and 334 */
    assert_int_equal(cs_ramp_batch_size(2, 2, 1000, 8, 333), 2);
    assert_int_equal(cs_ramp_batch_size(2, 2, 1000, 8, 334), 4);
}

/* Parses `argv` into o. */
static void parse(cs_lr_options *o, cs_arena *arena, int argc, char **argv)
{
    const cs_option_group group = {"Learning rate", cs_lr_option_rows, cs_lr_n_option_rows, o};
    cs_options options;
    cs_error err = {0};
    if (cs_options_parse(&options, &group, 1, argc, argv, arena, NULL, &err) != CS_OK)
        fail_msg("%s", err.msg);
}

#define PARSE(o, ...) parse(o, &arena, (int)(sizeof(char *[]){__VA_ARGS__} / sizeof(char *)), (char *[]){__VA_ARGS__})

static void test_flags(void **state)
{
    (void)state;
    cs_arena arena;
    cs_arena_init(&arena, "test");
    cs_lr_options o;
    cs_lr_schedule s;
    cs_ramp ramp;
    cs_error err = {0};
    const cs_lr_run by_iters = {.train_iters = 100, .global_batch_size = 8, .batch_multiple = 4};
    const cs_lr_run by_samples = {.train_samples = 6400, .global_batch_size = 64, .batch_multiple = 8};
    PARSE(&o, "--lr", "1e-3", "--min-lr=1e-4", "--lr-decay-style", "cosine", "--lr-warmup-iters", "10");
    assert_int_equal(cs_lr_init(&o, &by_iters, &s, &ramp, &err), CS_OK);
    assert_true(s.style == CS_LR_COSINE && s.lr == 1e-3 && s.min_lr == 1e-4 && s.warmup == 80 && s.decay == 800);
    assert_int_equal(cs_ramp_at(&ramp, 0), 8);
    PARSE(&o, "--lr_decay_iters", "50", "--lr-warmup-fraction", "0.01");
    assert_int_equal(cs_lr_init(&o, &by_iters, &s, &ramp, &err), CS_OK);
    assert_true(s.style == CS_LR_LINEAR && s.decay == 400 && s.warmup == 4);
    PARSE(&o, "--lr-decay-samples", "5_000", "--lr-warmup-samples", "100", "--rampup-batch-size", "16", "16", "3000");
    assert_int_equal(cs_lr_init(&o, &by_samples, &s, &ramp, &err), CS_OK);
    assert_true(s.decay == 5000 && s.warmup == 100);
    assert_int_equal(cs_ramp_at(&ramp, 0), 16);
    assert_int_equal(cs_ramp_at(&ramp, 1000), 32);
    assert_int_equal(cs_ramp_at(&ramp, 4000), 64);
    cs_arena_release(&arena);
}

static void test_illegal(void **state)
{
    (void)state;
    cs_arena arena;
    cs_arena_init(&arena, "test");
    cs_lr_options o;
    cs_lr_schedule s;
    cs_ramp ramp;
    const cs_lr_run by_iters = {.train_iters = 100, .global_batch_size = 8, .batch_multiple = 4};
    const cs_lr_run by_samples = {.train_samples = 6400, .global_batch_size = 64, .batch_multiple = 8};
    /* everything wrong at once: every mistake has its line */
    PARSE(&o, "--lr", "1e-4", "--min-lr", "1e-3", "--lr-decay-samples", "10", "--lr-warmup-samples", "10", "--lr-warmup-fraction", "1",
          "--override-lr-scheduler", "--use-checkpoint-lr-scheduler", "--rampup-batch-size", "3", "2", "100");
    cs_error err = {0};
    assert_int_equal(cs_lr_init(&o, &by_iters, &s, &ramp, &err), CS_E_USAGE);
    static const char *const lines[] = {"--lr-decay-samples does not go with --train-iters", "--lr-warmup-samples does not go",
                                        "--lr-warmup-fraction and --lr-warmup-samples", "--rampup-batch-size counts samples",
                                        "START plus a multiple", "multiples of micro batch x ranks = 4", "--min-lr 0.001 exceeds --lr 0.0001",
                                        "warm-up of 800 samples must be shorter", "--use-checkpoint-lr-scheduler exclude"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(err.msg, lines[i]))
            fail_msg("no line '%s' in\n%s", lines[i], err.msg);
    PARSE(&o, "--lr-decay-iters", "10", "--lr-warmup-iters", "5");
    err = (cs_error){0};
    assert_int_equal(cs_lr_init(&o, &by_samples, &s, &ramp, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "--lr-decay-iters does not go with --train-samples"));
    assert_non_null(strstr(err.msg, "--lr-warmup-iters"));
    PARSE(&o, "--rampup-batch-size", "16", "16");
    err = (cs_error){0};
    assert_int_equal(cs_lr_init(&o, &by_samples, &s, &ramp, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "three counts"));
    cs_arena_release(&arena);
}

static void test_resume(void **state)
{
    (void)state;
    const cs_lr_schedule saved = {CS_LR_COSINE, 1e-3, 1e-4, 200, 1000}, other = {CS_LR_LINEAR, 2e-3, 1e-4, 200, 1500};
    cs_lr_schedule s = saved;
    cs_lr_options o = {0};
    cs_error err = {0};
    assert_int_equal(cs_lr_resume(&o, &saved, &s, &err), CS_OK);
    s = other;
    assert_int_equal(cs_lr_resume(&o, &saved, &s, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "style is cosine"));
    assert_non_null(strstr(err.msg, "learning rate is 0.001"));
    assert_non_null(strstr(err.msg, "decay in samples is 1000"));
    assert_null(strstr(err.msg, "warm-up"));
    o.override_scheduler = true;
    assert_int_equal(cs_lr_resume(&o, &saved, &s, &err), CS_OK);
    assert_true(s.lr == 2e-3);
    o = (cs_lr_options){.use_checkpoint_scheduler = true};
    assert_int_equal(cs_lr_resume(&o, &saved, &s, &err), CS_OK);
    assert_true(s.lr == 1e-3 && s.style == CS_LR_COSINE && s.decay == 1000);
}

static void test_clip(void **state)
{
    (void)state;
    assert_true(cs_clip_scale(0, 1e9) == 1);
    assert_true(cs_clip_scale(1, 0.5) == 1);
    assert_true(cs_clip_scale(1, 4) == 1 / (4 + 1e-6));
    cs_optimizer_options o = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .clip_grad = 1};
    cs_error err = {0};
    assert_int_equal(cs_optimizer_check(&o, &err), CS_OK);
    cs_update h = cs_optimizer_step_args(&o, 1e-3, 7, 0.5);
    assert_true(h.lr == 1e-3 && h.beta2 == 0.95 && h.step == 7 && h.grad_scale == 0.5 && h.weight_decay == 0);
    o = (cs_optimizer_options){.kind = 2, .momentum = 1, .beta1 = 1, .beta2 = -1, .eps = 0, .weight_decay = (double)NAN, .clip_grad = -1};
    assert_int_equal(cs_optimizer_check(&o, &err), CS_E_USAGE);
    static const char *const lines[] = {"sgd-momentum", "beta1", "beta2", "eps", "weight-decay", "clip-grad"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(err.msg, lines[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),  cmocka_unit_test(test_ramp),   cmocka_unit_test(test_flags),
        cmocka_unit_test(test_illegal), cmocka_unit_test(test_resume), cmocka_unit_test(test_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
