/* The choice of what to recompute against all choices there are, for budgets from too little to enough; and on stages of several chunks. */
#include "parallel/recompute.h"

#include "fmt/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LLAMA(LAYERS)                                                                                                                  \
    "{\"model_type\":\"llama\",\"vocab_size\":101,\"hidden_size\":48,\"intermediate_size\":130,\"num_hidden_layers\":" #LAYERS ",\"num_attention_heads\":6," \
    "\"num_key_value_heads\":2,\"max_position_embeddings\":64}"

static const cs_part_times times = {{0.03, 0.21, 0.4, 0.35}, 1.6, 1, 1};

typedef struct world {
    cs_spec spec;
    cs_param_table table;
    cs_schedule schedule;
    cs_arena arena;
    cs_memory_request q;
} world;

static void must(cs_status status, const cs_error *err)
{
    if (status != CS_OK)
        fail_msg("%s", err->msg);
}

static void world_init(world *w, const char *config, cs_layout layout)
{
    cs_error err = {0};
    json_t *json = json_loads(config, 0, NULL);
    *w = (world){.q = {.spec = &w->spec, .table = &w->table, .threads = 1, .layout = layout}};
    cs_arena_init(&w->arena, "test");
    must(cs_spec_from_json(&w->spec, json, "test", &err), &err);
    json_decref(json);
    const cs_kernels_request ask = {CS_F32, "ref", "own"};
    must(cs_kernels_select(&ask, &w->q.kernels, NULL, &err), &err);
    must(cs_param_table_init(&w->table, &w->spec, cs_precision_of(CS_F32), false, NULL, &w->arena, &err), &err);
    w->q.table_bytes = (int64_t)w->arena.used;
    must(cs_layout_check(&w->q.layout, &w->spec, &err), &err);
    must(cs_layout_schedule(&w->q.layout, &w->arena, &w->schedule, &err), &err);
    w->q.schedule = &w->schedule;
}

static int64_t bytes_of(const world *w, int64_t stage, const unsigned char *drop)
{
    cs_memory m;
    cs_error err = {0};
    cs_memory_request q = w->q;
    q.layout.drop_of = drop;
    must(cs_memory_of_stage(&q, stage, &m, &err), &err);
    return m.total;
}

static double seconds_of(const unsigned char *drop, int64_t n)
{
    double s = 0;
    for (int64_t l = 0; l < n; l++)
        for (int i = 0; i < CS_PARTS + 1; i++)
            s += drop[l] & (1 << i) ? i < CS_PARTS ? times.part[i] : times.layer : 0;
    return s;
}

static void test_every_choice(void **state)
{
    enum { N = 3, N_CHOICES = 17 * 17 * 17, BUDGETS = 40 };
    static int64_t bytes[N_CHOICES];
    static double seconds[N_CHOICES];
    int64_t least = INT64_MAX, most = 0;
    world w;
    (void)state;
    world_init(&w, LLAMA(3), (cs_layout){.world = 1, .tp = 1, .pp = 1, .micro_batch = 2, .seq_length = 64});
    for (int i = 0; i < N_CHOICES; i++) {
        const unsigned char drop[N] = {(unsigned char)(i % 17), (unsigned char)(i / 17 % 17), (unsigned char)(i / 289)};
        bytes[i] = bytes_of(&w, 0, drop);
        seconds[i] = seconds_of(drop, N);
        least = bytes[i] < least ? bytes[i] : least;
    }
    most = bytes_of(&w, 0, NULL); /* a layer that runs again as a whole, and only one, takes more */
    for (int k = -1; k <= BUDGETS; k++) {
        int64_t budget = least + (most - least) * k / BUDGETS;
        unsigned char drop[N] = {255, 255, 255};
        double best = INFINITY;
        cs_recompute_choice c;
        cs_error err = {0};
        for (int i = 0; i < N_CHOICES; i++)
            best = bytes[i] <= budget && seconds[i] < best ? seconds[i] : best;
        must(cs_recompute_choose(&w.q, 0, &times, budget, drop, &c, &err), &err);
        assert_int_equal(c.bytes, bytes_of(&w, 0, drop));
        assert_true(fabs(c.seconds - seconds_of(drop, N)) < 1e-12 && c.all_seconds == N * times.layer);
        assert_int_equal(c.fits, k >= 0);
        if (k < 0)
            assert_true(c.bytes == least);
        else if (!(c.bytes <= budget && c.seconds <= best + 1e-12))
            fail_msg("budget %lld of %lld to %lld: %lld bytes, %g s; there is one of %g s", (long long)budget, (long long)least, (long long)most,
                     (long long)c.bytes, c.seconds, best);
    }
    cs_arena_release(&w.arena);
}

/* Stages of two chunks, of unequal numbers of layers: more memory is never more time, others' layers are left alone. */
static void test_chunks(void **state)
{
    static const char *const numbers[] = {"3,5,6,2"};
    world w;
    (void)state;
    world_init(&w, LLAMA(16), (cs_layout){.world = 2, .tp = 1, .pp = 2, .micro_batch = 2, .global_batch = 8, .seq_length = 64, .manual_allocation = true,
                                          .manual_layers = {(const char **)(void *)numbers, 1}});
    for (int64_t stage = 0; stage < 2; stage++) {
        unsigned char drop[16];
        int64_t most = bytes_of(&w, stage, NULL);
        double before = INFINITY;
        cs_recompute_choice c;
        cs_error err = {0};
        for (int k = 0; k <= 12; k++) {
            int64_t budget = most / 2 + most / 2 * k / 12 + k;
            memset(drop, 99, sizeof drop);
            must(cs_recompute_choose(&w.q, stage, &times, budget, drop, &c, &err), &err);
            for (int l = 0; l < 16; l++) {
                bool own = (l >= 3 && l < 8) || l >= 14 ? stage == 1 : stage == 0;
                assert_int_equal(drop[l] == 99, !own);
                drop[l] = own ? drop[l] : 0;
            }
            assert_int_equal(c.bytes, bytes_of(&w, stage, drop));
            assert_true(c.fits == (c.bytes <= budget) && (!c.fits || c.seconds <= before + 1e-12));
            before = c.fits ? c.seconds : before;
        }
        assert_true(c.fits && c.seconds == 0);
    }
    cs_arena_release(&w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_choice), cmocka_unit_test(test_chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
