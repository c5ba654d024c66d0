/* rope_freqs of GGUF files: the rule of Llama 3's scaling is found again from the numbers, as this program and as llama.cpp's converter make them. */
#include "ckpt/gguf_rope.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct rule {
    int64_t head_dim;
    double theta, factor, high;
    int64_t original;
} rule;

static const rule rules[] = {
    {128, 500000, 8, 4, 8192},  {64, 500000, 32, 4, 8192},  {128, 500000, 32, 4, 8192}, {128, 10000, 4, 4, 2048}, {8, 1000, 4, 4, 16},
    {128, 500000, 8, 8, 16384}, {64, 1000000, 16, 2, 4096}, {256, 500000, 8, 3.5, 131072},
};

static cs_spec spec_of(const rule *r)
{
    cs_spec s = {.head_dim = r->head_dim, .rope_theta = r->theta};
    s.rope_scaling = (cs_rope_scaling){CS_ROPE_LLAMA3, r->factor, 1, r->high, r->original};
    return s;
}

/* In f32, as the converter computes. */
static void converter_factors(const rule *r, float *out)
{
    for (int64_t i = 0; i < r->head_dim / 2; i++) {
        float freq = 1.0f / powf((float)r->theta, (float)(2 * i) / (float)r->head_dim);
        double wave = 2 * acos(-1.0) / (double)freq, length = (double)r->original;
        double smooth = (length / wave - 1) / (r->high - 1);
        out[i] = (float)(wave < length / r->high ? 1 : wave > length ? r->factor : 1 / ((1 - smooth) / r->factor + smooth));
    }
}

static void check(const rule *r, const float *factors)
{
    cs_spec s = {.head_dim = r->head_dim, .rope_theta = r->theta};
    assert_true(cs_gguf_rope_solve(&s, factors));
    assert_int_equal(s.rope_scaling.rule, CS_ROPE_LLAMA3);
    assert_true(s.rope_scaling.factor == r->factor && s.rope_scaling.low_freq_factor == 1);
    if (s.rope_scaling.original_max_pos != r->original || s.rope_scaling.high_freq_factor != r->high)
        fail_msg("dim %d: found %lld and %g, not %lld and %g", (int)r->head_dim, (long long)s.rope_scaling.original_max_pos,
                 s.rope_scaling.high_freq_factor, (long long)r->original, r->high);
}

static void found_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        float factors[128];
        cs_spec s = spec_of(&rules[i]);
        cs_gguf_rope_factors(&s, factors);
        check(&rules[i], factors);
        converter_factors(&rules[i], factors);
        check(&rules[i], factors);
    }
}

/* Heads so small that no pair, or only steps, tell anything: some rule that gives the same numbers. */
static void small_heads(void **state)
{
    (void)state;
    for (int64_t dim = 2; dim <= 16; dim += 2) {
        for (int64_t original = 1; original < 20000; original = original * 3 + 1) {
            float factors[8], again[8];
            cs_spec s = {.head_dim = dim, .rope_theta = 10000, .rope_scaling = {CS_ROPE_LLAMA3, 8, 1, 4, original}};
            cs_gguf_rope_factors(&s, factors);
            s.rope_scaling = (cs_rope_scaling){.factor = 1};
            if (!cs_gguf_rope_solve(&s, factors))
                fail_msg("dim %d, %lld positions", (int)dim, (long long)original);
            if (s.rope_scaling.rule == CS_ROPE_LLAMA3)
                cs_gguf_rope_factors(&s, again);
            for (int64_t i = 0; i < dim / 2; i++)
                assert_true(fabs((s.rope_scaling.rule == CS_ROPE_LLAMA3 ? (double)again[i] : 1) - (double)factors[i]) <= 4e-6 * (double)factors[i]);
        }
    }
}

static void no_rule(void **state)
{
    (void)state;
    float factors[64];
    cs_spec s = spec_of(&rules[0]), before = s;
    static const float bad[] = {NAN, INFINITY, 0, -1, 0.5f, 7.9f};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        for (int at = 0; at < 64; at += 21) {
            cs_gguf_rope_factors(&s, factors);
            factors[at] = bad[k];
            assert_false(cs_gguf_rope_solve(&s, factors));
            assert_memory_equal(&s.rope_scaling, &before.rope_scaling, sizeof s.rope_scaling);
        }
    }
    for (int i = 0; i < 64; i++)
        factors[i] = (float)(1 + i); /* another kind of scaling */
    assert_false(cs_gguf_rope_solve(&s, factors));
    s.rope_scaling = (cs_rope_scaling){.factor = 1};
    for (int i = 0; i < 64; i++)
        factors[i] = 1;
    assert_true(cs_gguf_rope_solve(&s, factors));
    assert_int_equal(s.rope_scaling.rule, CS_ROPE_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found_again), cmocka_unit_test(small_heads), cmocka_unit_test(no_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
