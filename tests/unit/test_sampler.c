/* Each filter against transformers' processors (tests/golden/sampler.json), against cases small enough to do by hand, and the draw against its
 * probabilities. */
#include "infer/sampler.h"

#include "base/mem.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static double real_or(const json_t *obj, const char *key, double otherwise)
{
    const json_t *v = json_object_get(obj, key);
    return v ? json_number_value(v) : otherwise;
}

static void check_row(const json_t *row)
{
    const json_t *set = json_object_get(row, "settings"), *logits = json_object_get(row, "logits"), *want = json_object_get(row, "scores"),
                 *history = json_object_get(row, "history");
    size_t vocab = json_array_size(logits), n = json_array_size(history);
    assert_int_equal(vocab, json_array_size(want));
    double *x = cs_calloc(vocab, sizeof *x);
    int32_t *ids = cs_calloc(n, sizeof *ids);
    for (size_t i = 0; i < vocab; i++)
        x[i] = json_number_value(json_array_get(logits, i));
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(history, i));
    cs_sampling how = {.do_sample = true, .temperature = real_or(set, "temperature", 1), .top_k = (int64_t)real_or(set, "top_k", 0),
                       .top_p = real_or(set, "top_p", 1), .min_p = real_or(set, "min_p", 0),
                       .repetition_penalty = real_or(set, "repetition_penalty", 1)};
    cs_error err = {0};
    cs_sampler s;
    assert_int_equal(cs_sampling_check(&how, &err), CS_OK);
    assert_int_equal(cs_sampler_init(&s, (int64_t)vocab, &err), CS_OK);
    const double *have = cs_sampler_scores(&s, &how, x, CS_F64, ids, n);
    for (size_t i = 0; i < vocab; i++) {
        const json_t *w = json_array_get(want, i);
        if (json_is_null(w))
            assert_true(have[i] == -INFINITY);
        else
            assert_true(fabs(have[i] - json_number_value(w)) <= 1e-12 * fabs(have[i]));
    }
    cs_sampler_release(&s);
    cs_free(x);
    cs_free(ids);
}

static void test_transformers(void **state)
{
    (void)state;
    json_error_t e;
    json_t *rows = json_load_file("tests/golden/sampler.json", 0, &e);
    assert_non_null(rows);
    assert_int_equal(json_array_size(rows), 11);
    for (size_t i = 0; i < json_array_size(rows); i++)
        check_row(json_array_get(rows, i));
    json_decref(rows);
}

/* Which of 4 tokens with probabilities 1/2, 1/4, 1/8, 1/8 are left, as a bit mask. */
static unsigned left(cs_sampling how)
{
    const float logits[4] = {logf(0.25f), logf(0.5f), logf(0.125f), logf(0.125f)};
    cs_error err = {0};
    cs_sampler s;
    assert_int_equal(cs_sampler_init(&s, 4, &err), CS_OK);
    how.do_sample = true;
    const double *score = cs_sampler_scores(&s, &how, logits, CS_F32, NULL, 0);
    unsigned mask = 0;
    for (int i = 0; i < 4; i++)
        mask |= score[i] > -INFINITY ? 1u << i : 0;
    cs_sampler_release(&s);
    return mask;
}

static void test_by_hand(void **state)
{
    (void)state;
    cs_sampling how = cs_sampling_default();
    assert_int_equal(left(how), 15);
    how.top_k = 1;
    assert_int_equal(left(how), 2);
    how.top_k = 3; /* the 3rd and 4th are equal: both stay */
    assert_int_equal(left(how), 15);
    how.top_k = 2;
    assert_int_equal(left(how), 3);
    how.top_k = 0;
    how.top_p = 0.45;
    assert_int_equal(left(how), 2);
    how.top_p = 0.55; /* the token that crosses p stays */
    assert_int_equal(left(how), 3);
    how.top_p = 0.8; /* of equals the lower id */
    assert_int_equal(left(how), 7);
    how.top_p = 1;
    how.min_p = 0.3;
    assert_int_equal(left(how), 3);
    how.min_p = 1;
    assert_int_equal(left(how), 2);
}

static void test_penalty_counts_once(void **state)
{
    (void)state;
    const float logits[4] = {2, -2, 3, 1};
    const int32_t history[] = {0, 1, 0, 0, 1};
    cs_sampling how = cs_sampling_default();
    how.repetition_penalty = 2;
    cs_error err = {0};
    cs_sampler s;
    assert_int_equal(cs_sampler_init(&s, 4, &err), CS_OK);
    for (int again = 0; again < 2; again++) {
        const double *score = cs_sampler_scores(&s, &how, logits, CS_F32, history, 5);
        assert_true(score[0] == 1 && score[1] == -4 && score[2] == 3 && score[3] == 1);
    }
    cs_sampler_release(&s);
}

static void test_greedy(void **state)
{
    (void)state;
    cs_sampling how = cs_sampling_default();
    cs_error err = {0};
    cs_sampler s;
    assert_int_equal(cs_sampler_init(&s, 4, &err), CS_OK);
    const float logits[4] = {1, 5, 5, 2}, none[4] = {NAN, -INFINITY, NAN, NAN}, some[4] = {NAN, 0, 1, NAN};
    assert_int_equal(cs_sampler_next(&s, &how, logits, CS_F32, NULL, 0, 0, 0), 1);
    how.repetition_penalty = 2;
    assert_int_equal(cs_sampler_next(&s, &how, logits, CS_F32, (int32_t[]){1}, 1, 0, 0), 2);
    assert_int_equal(cs_sampler_next(&s, &how, none, CS_F32, NULL, 0, 0, 0), -1);
    assert_int_equal(cs_sampler_next(&s, &how, some, CS_F32, NULL, 0, 0, 0), 2);
    cs_sampler_release(&s);
}

static void test_draw(void **state)
{
    (void)state;
    enum { N = 40000 };
    const double logits[5] = {0, 1, 2, 1, -1}; /* top-k 3 leaves 1, 2, 3 */
    cs_sampling how = cs_sampling_default();
    how.do_sample = true;
    how.top_k = 3;
    how.seed = 11;
    cs_error err = {0};
    cs_sampler s;
    assert_int_equal(cs_sampler_init(&s, 5, &err), CS_OK);
    int count[5] = {0}, differs_by_prompt = 0, differs_by_seed = 0;
    for (uint64_t i = 0; i < N; i++) {
        int32_t a = cs_sampler_next(&s, &how, logits, CS_F64, NULL, 0, 3, i), b = cs_sampler_next(&s, &how, logits, CS_F64, NULL, 0, 4, i);
        assert_int_equal(a, cs_sampler_next(&s, &how, logits, CS_F64, NULL, 0, 3, i));
        how.seed = 12;
        differs_by_seed += a != cs_sampler_next(&s, &how, logits, CS_F64, NULL, 0, 3, i);
        how.seed = 11;
        differs_by_prompt += a != b;
        count[a]++;
    }
    assert_true(count[0] == 0 && count[4] == 0);
    double p2 = exp(1.0) / (exp(1.0) + 2), sigma = sqrt(N * p2 * (1 - p2));
    assert_true(fabs(count[2] - N * p2) < 4 * sigma);
    assert_true(abs(count[1] - count[3]) < 4 * sqrt(N * (1 - p2)));
    assert_true(differs_by_prompt > N / 4 && differs_by_seed > N / 4);
    cs_sampler_release(&s);
}

/* A vocabulary larger than the first sorted chunk of top-p, against a full sort. */
static void test_top_p_wide(void **state)
{
    (void)state;
    enum { V = 5000 };
    static double logits[V];
    uint32_t r = 1;
    for (int i = 0; i < V; i++) {
        r = r * 1664525u + 1013904223u;
        logits[i] = (double)(r >> 20) / 1024.0;
    }
    cs_sampling how = cs_sampling_default();
    how.do_sample = true;
    how.top_k = 0;
    how.top_p = 0.7;
    cs_error err = {0};
    cs_sampler s;
    assert_int_equal(cs_sampler_init(&s, V, &err), CS_OK);
    const double *score = cs_sampler_scores(&s, &how, logits, CS_F64, NULL, 0);
    double total = 0, kept = 0, least = INFINITY, most_dropped = -INFINITY;
    for (int i = 0; i < V; i++) {
        total += exp(logits[i]);
        if (score[i] > -INFINITY) {
            kept += exp(logits[i]);
            least = fmin(least, logits[i]);
        } else {
            most_dropped = fmax(most_dropped, logits[i]);
        }
    }
    assert_true(most_dropped <= least);
    assert_true(kept >= 0.7 * total * (1 - 1e-12) && kept - exp(least) < 0.7 * total);
    cs_sampler_release(&s);
}

static void test_check(void **state)
{
    (void)state;
    cs_sampling how = {.do_sample = true, .temperature = 0, .top_k = -1, .top_p = 0, .min_p = NAN, .repetition_penalty = -1};
    cs_error err = {0};
    assert_int_equal(cs_sampling_check(&how, &err), CS_E_USAGE);
    int lines = 1;
    for (const char *p = err.msg; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 5);
    how = cs_sampling_default();
    how.temperature = 0;
    assert_int_equal(cs_sampling_check(&how, &err), CS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transformers), cmocka_unit_test(test_by_hand), cmocka_unit_test(test_penalty_counts_once),
        cmocka_unit_test(test_greedy), cmocka_unit_test(test_draw), cmocka_unit_test(test_top_p_wide), cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
