/* The virtual clock: known bubbles, the longest path through the same table found in another way, what schedules are for, costs that agree with the
 * memory's parameters, and a search that leaves out nothing faster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fmt/json.h"
#include "parallel/search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(cs_status status, const cs_error *err)
{
    if (status != CS_OK)
        fail_msg("%s", err->msg);
}

typedef struct bed {
    cs_spec spec;
    cs_param_table table;
    cs_schedule schedule;
    cs_memory_request q;
    cs_arena arena;
    cs_simulation sim;
} bed;

static void init(bed *b, const char *config, cs_dtype store)
{
    cs_error err = {0};
    json_t *o = json_loads(config, 0, NULL);
    assert_non_null(o);
    *b = (bed){.q = {.threads = 1}};
    must(cs_spec_from_json(&b->spec, o, "test", &err), &err);
    json_decref(o);
    cs_arena_init(&b->arena, "test");
    const cs_kernels_request ask = {store, "auto", "own"};
    must(cs_kernels_select(&ask, &b->q.kernels, NULL, &err), &err);
    must(cs_param_table_init(&b->table, &b->spec, cs_precision_of(store), false, NULL, &b->arena, &err), &err);
    b->q.spec = &b->spec;
    b->q.table = &b->table;
}

static const cs_simulation *simulate(bed *b, const cs_layout *l, const cs_machine *m)
{
    cs_error err = {0};
    b->q.layout = *l;
    must(cs_layout_check(&b->q.layout, &b->spec, &err), &err);
    must(cs_layout_schedule(&b->q.layout, &b->arena, &b->schedule, &err), &err);
    b->q.schedule = &b->schedule;
    must(cs_simulate(&b->q, m, &b->arena, &b->sim, &err), &err);
    double step;
    must(cs_simulate_step(&b->q, m, &b->arena, &step, &err), &err);
    assert_true(step == b->sim.step_s);
    assert_true(l->optimized || cs_simulate_bound(&b->q, m) <= step * 1.0000001);
    return &b->sim;
}

#define LLAMA(V, H, F, L, N, KV)                                                                                                              \
    "{\"model_type\":\"llama\",\"vocab_size\":" #V ",\"hidden_size\":" #H ",\"intermediate_size\":" #F ",\"num_hidden_layers\":" #L              \
    ",\"num_attention_heads\":" #N ",\"num_key_value_heads\":" #KV ",\"max_position_embeddings\":4096}"
#define BLOOM(V, H, L, N)                                                                                                                       \
    "{\"model_type\":\"bloom\",\"vocab_size\":" #V ",\"hidden_size\":" #H ",\"n_layer\":" #L ",\"n_head\":" #N ",\"seq_length\":2048}"

/* Nothing but arithmetic takes time. */
static const cs_machine ideal = {.gflops = 1, .attention_gflops = 1, .memory_gbs = 1e9, .host_gbs = 1e12, .net_gbs = 1e12, .net_overlap = 1,
                                 .ranks_per_host = 8};
static const cs_machine cluster = {.gflops = 1500, .attention_gflops = 700, .memory_gbs = 40, .host_gbs = 20, .host_latency_s = 1e-6, .net_gbs = 1.25,
                                   .net_latency_s = 5e-6, .net_overlap = 1, .ranks_per_host = 8};

/* (p-1)/(vm+p-1), where all stages are equal: a vocabulary too small to count. */
static void known_bubbles(void **state)
{
    (void)state;
    static const struct {
        int pp, chunks, m;
    } cases[] = {{1, 1, 3}, {2, 1, 4}, {4, 1, 1}, {4, 1, 8}, {8, 1, 5}, {4, 2, 8}, {4, 4, 4}, {2, 3, 6}, {8, 2, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bed b;
        init(&b, LLAMA(2, 512, 1024, 48, 8, 8), CS_F32);
        double p = cases[i].pp, v = cases[i].chunks, m = cases[i].m;
        if (48 % (cases[i].pp * cases[i].chunks) != 0)
            continue;
        cs_layout l = {.world = cases[i].pp, .tp = 1, .pp = cases[i].pp, .micro_batch = 1, .global_batch = cases[i].m, .seq_length = 64,
                       .virtual_layers = v > 1 ? 48 / cases[i].pp / cases[i].chunks : 0};
        double bubble = simulate(&b, &l, &ideal)->bubble, known = (p - 1) / (v * m + p - 1);
        if (fabs(bubble - known) > 0.002)
            fail_msg("%d stages, %d chunks, %d micro-batches: bubble %.4f, known %.4f", cases[i].pp, cases[i].chunks, cases[i].m, bubble, known);
        cs_arena_release(&b.arena);
    }
}

/* Ends of all actions by relaxation over "before it on the stage" and "sends its input", until nothing changes. */
static double longest_path(const bed *b, const cs_machine *m)
{
    enum { MOST = 4096 };
    static double end[8][MOST];
    const cs_schedule *s = &b->schedule;
    const cs_layout *l = &b->q.layout;
    double last = 0;
    memset(end, 0, sizeof end);
    for (bool moves = true; moves;) {
        moves = false;
        for (int stage = 0; stage < s->pp; stage++)
            for (int64_t i = 0; i < s->stage[stage].n_actions; i++) {
                const cs_action *a = &s->stage[stage].action[i];
                double start = i ? end[stage][i - 1] : 0;
                for (int64_t k = 0; a->recv_from >= 0 && k < s->stage[a->recv_from].n_actions; k++) {
                    const cs_action *o = &s->stage[a->recv_from].action[k];
                    int step = a->pass == CS_PASS_FORWARD ? 1 : -1;
                    if (o->pass == a->pass && o->micro == a->micro && o->chunk * s->pp + a->recv_from + step == a->chunk * s->pp + stage) {
                        cs_piece_cost c = cs_cost_piece(&b->q, m, a->recv_from, o->chunk, cs_layout_mbs(l, a->micro));
                        start = fmax(start, end[a->recv_from][k] + cs_machine_message(m, true, c.message_bytes).beside);
                    }
                }
                cs_piece_cost c = cs_cost_piece(&b->q, m, stage, a->chunk, cs_layout_mbs(l, a->micro));
                double cpu = a->send_to >= 0 ? cs_machine_message(m, true, c.message_bytes).cpu : 0;
                double work = a->pass == CS_PASS_FORWARD ? c.forward + c.tensor_forward : c.backward + c.tensor_backward;
                if (start + work + cpu > end[stage][i] * (1 + 1e-12)) {
                    end[stage][i] = start + work + cpu;
                    moves = true;
                }
                last = fmax(last, end[stage][i]);
            }
    }
    return last;
}

static void equals_longest_path(void **state)
{
    (void)state;
    static const char *mbs[] = {"1,3,2,4,1,1"}, *layers[] = {"1,3,2,2"}, *chunked[] = {"1,2,1,2,1,1"};
    const cs_layout cases[] = {
        {.world = 4, .tp = 1, .pp = 4, .micro_batch = 2, .global_batch = 16},
        {.world = 4, .tp = 1, .pp = 4, .micro_batch = 2, .global_batch = 12, .optimized = true, .manual_mbs = {mbs, 1}},
        {.world = 8, .tp = 2, .pp = 4, .micro_batch = 1, .global_batch = 8, .sequence_parallel = true, .recompute = CS_RECOMPUTE_UNIFORM, .recompute_layers = 1},
        {.world = 4, .tp = 1, .pp = 4, .micro_batch = 1, .global_batch = 8, .manual_allocation = true, .manual_layers = {layers, 1}},
        {.world = 2, .tp = 1, .pp = 2, .micro_batch = 1, .global_batch = 8, .virtual_layers = 2},
        {.world = 2, .tp = 1, .pp = 2, .micro_batch = 1, .global_batch = 7, .virtual_layers = 1, .fold = CS_FOLD_AIAO},
        {.world = 4, .tp = 2, .pp = 2, .micro_batch = 1, .global_batch = 6, .virtual_layers = 4, .fold = CS_FOLD_FIFO, .recompute = CS_RECOMPUTE_BLOCK,
         .recompute_layers = 2},
        {.world = 2, .tp = 1, .pp = 2, .micro_batch = 2, .global_batch = 8, .manual_allocation = true, .manual_layers = {chunked, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bed b;
        cs_layout l = cases[i];
        l.seq_length = 256;
        init(&b, LLAMA(700, 64, 256, 8, 4, 2), CS_F32);
        cs_machine m = cluster; /* one host; half of a message beside computing */
        m.host_overlap = 0.5;
        double got = simulate(&b, &l, &m)->pipeline_s, expected = longest_path(&b, &m);
        if (fabs(got - expected) > 1e-9 * expected)
            fail_msg("case %zu: %.9g s, longest path %.9g s", i, got, expected);
        cs_arena_release(&b.arena);
    }
}

/* Costs count the parameters that the memory counts. */
static void parameters_agree(void **state)
{
    (void)state;
    static const char *const models[] = {LLAMA(700, 64, 256, 8, 8, 4), BLOOM(701, 64, 8, 8)};
    for (int i = 0; i < 2; i++)
        for (int tp = 1; tp <= 4; tp *= 2)
            for (int pp = 1; pp <= 4; pp *= 2) {
                bed b;
                cs_error err = {0};
                cs_memory mem;
                cs_layout l = {.world = tp * pp, .tp = tp, .pp = pp, .micro_batch = 1, .global_batch = 4, .seq_length = 64, .virtual_layers = pp > 1};
                init(&b, models[i], CS_BF16);
                simulate(&b, &l, &cluster);
                for (int stage = 0; stage < pp; stage++) {
                    int64_t n = 0;
                    must(cs_memory_of_stage(&b.q, stage, &mem, &err), &err);
                    for (int c = 0; c < b.q.layout.chunks; c++)
                        n += cs_cost_parameters(&b.q, stage, c);
                    assert_int_equal(n, mem.parameters);
                }
                cs_arena_release(&b.arena);
            }
}

/* The 7B model on 4 stages and 64 samples: what the optimized pipeline was made for. */
static void optimized_has_less_bubble(void **state)
{
    (void)state;
    static const char *const names[] = {"example-config-1", "example-config-2"};
    for (int i = 0; i < 2; i++) {
        bed b;
        int pp = i ? 8 : 4, batch = i ? 96 : 64;
        cs_layout l = {.world = pp, .tp = 1, .pp = pp, .micro_batch = 4, .global_batch = batch, .seq_length = 2048};
        init(&b, LLAMA(32000, 4096, 11008, 32, 32, 32), CS_BF16);
        cs_simulation plain = *simulate(&b, &l, &cluster);
        l.optimized = true;
        l.manual_mbs = (cs_strlist){(const char *[]){names[i]}, 1};
        const cs_simulation *s = simulate(&b, &l, &cluster);
        print_message("%s: bubble %.4f, plain %.4f\n", names[i], s->bubble, plain.bubble);
        assert_true(s->bubble < 0.9 * plain.bubble && s->step_s < plain.step_s);
        assert_true(fabs(s->compute_s - plain.compute_s) < 1e-6 * plain.compute_s);
        cs_arena_release(&b.arena);
    }
}

/* Virtual stages over hosts with a slow network. Where transfers take the processor there is nothing to gain. */
static void fold_hides_gradients(void **state)
{
    (void)state;
    bed b;
    cs_layout l = {.world = 64, .tp = 1, .pp = 4, .micro_batch = 1, .global_batch = 128, .seq_length = 2048, .virtual_layers = 2};
    init(&b, LLAMA(32000, 4096, 11008, 32, 32, 32), CS_BF16);
    cs_simulation s[3];
    for (int fold = 0; fold < 3; fold++) {
        l.fold = (cs_fold)fold;
        s[fold] = *simulate(&b, &l, &cluster);
        print_message("fold %d: gradients %.3f s, exposed %.3f s, step %.2f s\n", fold, s[fold].gradients_s, s[fold].gradients_exposed_s, s[fold].step_s);
    }
    assert_true(s[0].gradients_exposed_s > 0.99 * s[0].gradients_s && s[0].gradients_exposed_s <= s[0].gradients_s);
    for (int fold = 1; fold < 3; fold++)
        assert_true(s[fold].gradients_exposed_s < 0.6 * s[0].gradients_exposed_s && s[fold].step_s < s[0].step_s);
    cs_machine busy = cluster;
    busy.net_overlap = 0;
    for (int fold = 0; fold < 3; fold++) {
        l.fold = (cs_fold)fold;
        assert_true(simulate(&b, &l, &busy)->gradients_exposed_s > 0.9 * s[0].gradients_s);
    }
    cs_arena_release(&b.arena);
}

/* The fastest of all layouts, none left out, is what the search returns first; nothing it returns exceeds the memory. */
static void search_finds_the_fastest(void **state)
{
    (void)state;
    bed b;
    cs_error err = {0};
    cs_search_result best[5];
    cs_search_count count;
    int n;
    init(&b, LLAMA(700, 64, 256, 8, 8, 4), CS_F32);
    cs_machine m = cluster;
    m.ranks_per_host = 4;
    b.q.layout = (cs_layout){.world = 8, .tp = 1, .pp = 1, .micro_batch = 1, .global_batch = 32, .seq_length = 128};
    int64_t most = 12 << 20;
    must(cs_search(&b.q, &m, most, &b.arena, best, 5, &n, &count, &err), &err);
    assert_int_equal(n, 5);
    double fastest = INFINITY;
    for (int64_t tp = 1; tp <= 8; tp *= 2)
        for (int64_t pp = 1; tp * pp <= 8; pp *= 2)
            for (int64_t chunk = 0; chunk <= 4; chunk++)
                for (int64_t mbs = 1; mbs <= 32; mbs *= 2)
                    for (int64_t zero = 0; zero < 4; zero++)
                        for (int fold = 0; fold < 3; fold++)
                            for (int sp = 0; sp < 2; sp++) {
                                cs_layout l = {.world = 8, .tp = tp, .pp = pp, .virtual_layers = chunk, .micro_batch = mbs, .zero = zero, .fold = fold,
                                               .global_batch = 32, .seq_length = 128, .sequence_parallel = sp};
                                cs_memory mem;
                                int64_t bytes = 0;
                                b.q.layout = l;
                                if (cs_layout_check(&b.q.layout, &b.spec, &(cs_error){0}) != CS_OK)
                                    continue;
                                double step = simulate(&b, &l, &m)->step_s;
                                for (int stage = 0; stage < pp; stage++) {
                                    must(cs_memory_of_stage(&b.q, stage, &mem, &err), &err);
                                    bytes = mem.total > bytes ? mem.total : bytes;
                                }
                                if (bytes <= most)
                                    fastest = fmin(fastest, step);
                            }
    print_message("%lld layouts, %lld legal, %lld timed; fastest %.6f s\n", (long long)count.tried, (long long)count.legal, (long long)count.timed, fastest);
    assert_true(best[0].step_s <= fastest * (1 + 1e-12));
    for (int i = 0; i < n; i++) {
        assert_true(best[i].bytes <= most && (i == 0 || best[i].step_s >= best[i - 1].step_s));
        cs_layout l = best[i].layout;
        assert_true(simulate(&b, &l, &m)->step_s == best[i].step_s);
    }
    assert_int_equal(cs_search(&b.q, &m, 1000, &b.arena, best, 5, &n, &count, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "fits into"));
    cs_arena_release(&b.arena);
}

/* Thousands of ranks, tied embedding, layers by hand. */
static void large_models(void **state)
{
    (void)state;
    static const char *layers[] = {"5,6,6,6,6,6,6,6,6,6,6,5"};
    bed b;
    cs_layout l = {.world = 96, .tp = 8, .pp = 12, .sequence_parallel = true, .micro_batch = 2, .global_batch = 2048, .seq_length = 2048,
                   .manual_allocation = true, .manual_layers = {layers, 1}};
    init(&b, BLOOM(250880, 14336, 70, 112), CS_BF16);
    const cs_simulation *s = simulate(&b, &l, &cluster);
    assert_true(s->gradients_s > 0 && s->bubble > 0.01 && s->bubble < 0.15);
    cs_arena_release(&b.arena);
    l = (cs_layout){.world = 4096, .tp = 8, .pp = 8, .sequence_parallel = true, .micro_batch = 1, .global_batch = 4096, .seq_length = 4096, .zero = 1,
                    .virtual_layers = 5, .fold = CS_FOLD_FIFO};
    init(&b, LLAMA(32000, 8192, 28672, 80, 64, 8), CS_BF16);
    assert_true(simulate(&b, &l, &cluster)->step_s > 0);
    cs_arena_release(&b.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bubbles),        cmocka_unit_test(equals_longest_path),      cmocka_unit_test(parameters_agree),
        cmocka_unit_test(optimized_has_less_bubble), cmocka_unit_test(fold_hides_gradients), cmocka_unit_test(search_finds_the_fastest),
        cmocka_unit_test(large_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
