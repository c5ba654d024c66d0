/* The memory that is predicted from the parameter table against the program's own allocation counter; sizes of published models; layouts add up. */
#include "fmt/json.h"
#include "infer/generation.h"
#include "infer/kvcache.h"
#include "model/family/families.h"
#include "optim/optimizer.h"
#include "parallel/dp.h"
#include "parallel/memory.h"
#include "parallel/walk.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 2, SEQ = 80, SAMPLES = 2, TOKENS = 700 };

static void must(cs_status status, const cs_error *err)
{
    if (status != CS_OK)
        fail_msg("%s", err->msg);
}

static void read_spec(const char *text, cs_spec *spec)
{
    cs_error err = {0};
    json_t *config = json_loads(text, 0, NULL);
    assert_non_null(config);
    must(cs_spec_from_json(spec, config, "test", &err), &err);
    json_decref(config);
}

static void plan_layout(cs_memory_request *q, const cs_spec *spec, cs_schedule *schedule, cs_arena *arena)
{
    cs_error err = {0};
    must(cs_layout_check(&q->layout, spec, &err), &err);
    if (!q->layout.inference)
        must(cs_layout_schedule(&q->layout, arena, schedule, &err), &err);
    q->schedule = q->layout.inference ? NULL : schedule;
}

#define LLAMA(V, H, F, L, N, KV)                                                                                                              \
    "{\"model_type\":\"llama\",\"vocab_size\":" #V ",\"hidden_size\":" #H ",\"intermediate_size\":" #F ",\"num_hidden_layers\":" #L              \
    ",\"num_attention_heads\":" #N ",\"num_key_value_heads\":" #KV ",\"max_position_embeddings\":2048}"
#define BAICHUAN(V, H, F, L, N, POS)                                                                                                             \
    "{\"model_type\":\"baichuan\",\"vocab_size\":" #V ",\"hidden_size\":" #H ",\"intermediate_size\":" #F ",\"num_hidden_layers\":" #L           \
    ",\"num_attention_heads\":" #N ",\"" POS "\":4096}"
#define BLOOM(V, H, L, N)                                                                                                                       \
    "{\"model_type\":\"bloom\",\"vocab_size\":" #V ",\"hidden_size\":" #H ",\"n_layer\":" #L ",\"n_head\":" #N ",\"seq_length\":2048}"

/* Parameters as published, or as transformers counts them. */
static const struct {
    const char *config;
    int64_t parameters;
} published[] = {
    {LLAMA(32000, 4096, 11008, 32, 32, 32), 6738415616},
    {LLAMA(32000, 5120, 13824, 40, 40, 40), 13015864320},
    {LLAMA(32000, 6656, 17920, 60, 52, 52), 32528943616},
    {LLAMA(32000, 8192, 22016, 80, 64, 64), 65285660672},
    {LLAMA(32000, 8192, 28672, 80, 64, 8), 68976648192},
    {LLAMA(128256, 4096, 14336, 32, 32, 8), 8030261248},
    {BLOOM(250880, 1024, 24, 16), 559214592},
    {BLOOM(250880, 4096, 30, 32), 7069016064},
    {BLOOM(250880, 14336, 70, 112), 176247271424},
    {BAICHUAN(64000, 4096, 11008, 32, 32, "max_position_embeddings"), 7000559616},
    {BAICHUAN(64000, 5120, 13696, 40, 40, "model_max_length"), 13264901120},
    {BAICHUAN(125696, 5120, 13696, 40, 40, "model_max_length"), 13896668160},
};

static cs_memory_request request_of(const cs_spec *spec, cs_param_table *table, cs_dtype store, cs_arena *arena)
{
    cs_error err = {0};
    cs_memory_request q = {.spec = spec, .table = table, .threads = THREADS};
    const cs_kernels_request ask = {store, "auto", "own"};
    cs_arena_init(arena, "test");
    must(cs_kernels_select(&ask, &q.kernels, NULL, &err), &err);
    must(cs_param_table_init(table, spec, cs_precision_of(store), false, NULL, arena, &err), &err);
    q.table_bytes = (int64_t)arena->used;
    q.layout = (cs_layout){.world = 1, .tp = 1, .pp = 1, .micro_batch = 1, .seq_length = 1024};
    return q;
}

static void test_published_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        cs_spec spec;
        cs_param_table table;
        cs_schedule schedule;
        cs_arena arena;
        cs_memory m;
        cs_error err = {0};
        read_spec(published[i].config, &spec);
        cs_memory_request q = request_of(&spec, &table, CS_BF16, &arena);
        plan_layout(&q, &spec, &schedule, &arena);
        must(cs_memory_of_stage(&q, 0, &m, &err), &err);
        assert_int_equal(m.parameters, published[i].parameters);
        assert_int_equal(m.parameters, cs_spec_n_params(&spec));
        double executed, flops = cs_flops_per_token(&q, &executed), n = (double)cs_spec_n_matmul_params(&spec);
        double attention = 12.0 * (double)(spec.n_layers * spec.n_heads * spec.head_dim) * 1024;
        assert_true(flops == executed && flops > 0.999999 * (6 * n + attention) && flops < 1.000001 * (6 * n + attention));
        cs_arena_release(&arena);
    }
}

/* The ranks of a layout hold the model once; norms and row-parallel biases are on every tensor parallel rank, a tied head on the last stage too. */
static void test_layouts_add_up(void **state)
{
    static const int64_t tp[] = {1, 2, 4}, pp[] = {1, 2, 4};
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        for (size_t k = 0; k < 9; k++) {
            cs_spec spec;
            cs_param_table table;
        cs_schedule schedule;
            cs_arena arena;
            cs_error err = {0};
            int64_t sum = 0, copies = 0;
            read_spec(published[i].config, &spec);
            cs_memory_request q = request_of(&spec, &table, CS_BF16, &arena);
            q.layout.tp = tp[k / 3];
            q.layout.pp = pp[k % 3];
            q.layout.world = q.layout.tp * q.layout.pp;
            if (spec.n_layers % q.layout.pp == 0) {
                plan_layout(&q, &spec, &schedule, &arena);
                for (int64_t s = 0; s < q.layout.pp; s++) {
                    cs_memory m;
                    must(cs_memory_of_stage(&q, s, &m, &err), &err);
                    sum += m.parameters * q.layout.tp;
                }
                for (int64_t r = 0; r < table.n_rows; r++) {
                    int role = (int)((r - CS_ROW_FIRST_LAYER) % CS_ROW_PER_LAYER);
                    bool split = r < CS_ROW_FIRST_LAYER ? r == CS_ROW_EMBED || r == CS_ROW_HEAD
                                                        : table.row[r].ndim == 2 || role == CS_ROW_QKV_BIAS || role == CS_ROW_UP_BIAS;
                    copies += split ? 0 : table.row[r].n * (q.layout.tp - 1);
                }
                copies += spec.tied_head && q.layout.pp > 1 ? spec.vocab_size * spec.hidden : 0;
                assert_int_equal(sum, published[i].parameters + copies);
            }
            cs_arena_release(&arena);
        }
}

/* --- against real allocations ----------------------------------------------------------------------------------------------------- */

static const char *const small[] = {
    LLAMA(701, 96, 250, 4, 6, 2), BLOOM(701, 96, 4, 6),
    ("{\"model_type\":\"baichuan\",\"vocab_size\":701,\"hidden_size\":96,\"intermediate_size\":250,\"num_hidden_layers\":3,\"num_attention_heads\":6,"
    "\"model_max_length\":2048,\"z_loss_weight\":0}")};

static cs_model *make_model(const cs_spec *spec, cs_dtype store, bool training, int64_t n_pos)
{
    cs_error err = {0};
    cs_model *m;
    cs_model_options opt = {.kernels = {store, "auto", "own"}, .training = training, .n_pos = n_pos};
    must(cs_model_create(spec, &opt, &m, &err), &err);
    return m;
}

static void within(int64_t got, int64_t least, int64_t most, const char *what)
{
    if ((double)got < 0.99 * (double)least || (double)got > 1.01 * (double)most)
        fail_msg("%s: %lld bytes allocated, predicted %lld to %lld", what, (long long)got, (long long)least, (long long)most);
}

/* Two steps and an evaluation in arenas made to measure: all blocks stay allocated afterwards. */
static void train(cs_model *m, cs_dp *dp, const cs_activations *room)
{
    static int32_t tokens[SAMPLES * SEQ], pos[SAMPLES * SEQ];
    static float weights[SAMPLES * SEQ];
    static const int64_t start[SAMPLES + 1] = {0, SEQ, 2 * SEQ};
    cs_error err = {0};
    must(cs_model_make_room(m, 1, (cs_model_room){room->slot, room->refill, room->scratch}, &err), &err);
    must(cs_dp_init(dp, &m->table, m->k, m->mesh, (cs_dp_policy){0}, &err), &err);
    cs_model_bind_grad(m, m->table.grad);
    cs_param_table_fill(&m->table, 3);
    cs_dp_adopt_weights(dp);
    for (int i = 0; i < SAMPLES * SEQ; i++) {
        tokens[i] = i * 7 % 701;
        pos[i] = i % SEQ;
        weights[i] = 1;
    }
    cs_batch batch = {.rows = SAMPLES * SEQ, .n_seq = SAMPLES, .seq_start = start, .tokens = tokens, .labels = tokens, .weights = weights, .pos = pos};
    for (int i = 1; i <= 2; i++) {
        cs_update h = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .step = i, .grad_scale = 1};
        cs_model_loss_backward(m, &batch, 0.01);
        cs_dp_step(dp, &h);
    }
    cs_model_loss(m, &batch);
}

/* What layers do not keep: the plan knows its bytes, and weights have the bits of a run that keeps all. */
static void test_drops(void **state)
{
    static const struct {
        cs_recompute how;
        int64_t group;
        const char *modules[4];
        size_t n_modules;
    } cases[] = {
        {CS_RECOMPUTE_NONE, 1, {0}, 0},
        {CS_RECOMPUTE_SELECTIVE, 1, {0}, 0},
        {CS_RECOMPUTE_SELECTIVE, 1, {"mlp"}, 1},
        {CS_RECOMPUTE_SELECTIVE, 1, {"core_attn", "qkv"}, 2},
        {CS_RECOMPUTE_SELECTIVE, 1, {"layernorm", "qkv", "mlp"}, 3},
        {CS_RECOMPUTE_SELECTIVE, 1, {"layernorm", "qkv", "core_attn", "mlp"}, 4},
        {CS_RECOMPUTE_UNIFORM, 1, {0}, 0},
        {CS_RECOMPUTE_UNIFORM, 2, {0}, 0},
        {CS_RECOMPUTE_BLOCK, 1, {0}, 0},
    };
    enum { N_CASES = sizeof cases / sizeof *cases, N_SMALL = sizeof small / sizeof *small };
    static const cs_dtype stores[] = {CS_F32, CS_BF16};
    (void)state;
    for (size_t i = 0; i < (getenv("CS_SANITIZED") ? 1 : 2) * N_SMALL; i++) {
        char *weights = NULL;
        int64_t stash = 0;
        for (size_t k = 0; k < N_CASES; k++) {
            unsigned char drop[8];
            cs_spec spec;
            cs_param_table table;
            cs_schedule schedule;
            cs_arena arena;
            cs_memory p;
            cs_activations room;
            cs_dp dp;
            cs_error err = {0};
            read_spec(small[i / 2], &spec);
            cs_memory_request q = request_of(&spec, &table, stores[i % 2], &arena);
            q.layout = (cs_layout){.world = 1, .tp = 1, .pp = 1, .micro_batch = SAMPLES, .seq_length = SEQ, .recompute = cases[k].how,
                                   .recompute_layers = cases[k].group,
                                   .recompute_modules = {(const char **)(void *)cases[k].modules, cases[k].n_modules}};
            q.evaluates = true;
            plan_layout(&q, &spec, &schedule, &arena);
            must(cs_memory_of_stage(&q, 0, &p, &err), &err);
            assert_true(cs_walk_stage(&q, 0, &room));
            cs_arena_release(&arena);
            cs_layout_drops(&q.layout, drop);
            const cs_model_options opt = {.kernels = {stores[i % 2], "auto", "own"}, .training = true, .n_pos = SEQ, .drop = drop,
                                          .recompute_group = cs_layout_group(&q.layout)};
            cs_model *m;
            must(cs_model_create(&spec, &opt, &m, &err), &err);
            train(m, &dp, &room);
            assert_int_equal(p.bytes[CS_MEMORY_STASH], m->stash[0].arena.high_water + m->refill.high_water);
            assert_int_equal(p.bytes[CS_MEMORY_SCRATCH] + p.bytes[CS_MEMORY_LOGITS], m->scratch.high_water);
            size_t bytes = (size_t)m->table.n_elements * cs_dtype_size(m->prec.store);
            if (k == 0) {
                weights = cs_malloc(bytes);
                assert_non_null(weights);
                memcpy(weights, m->table.store, bytes);
                stash = p.bytes[CS_MEMORY_STASH];
            }
            assert_memory_equal(m->table.store, weights, bytes);
            /* One layer of three that runs again wins nothing: that one is held then. */
            assert_true(k == 0 || cases[k].how != CS_RECOMPUTE_SELECTIVE || p.bytes[CS_MEMORY_STASH] < stash);
            cs_dp_release(&dp);
            cs_model_destroy(m);
        }
        cs_free(weights);
    }
}

static void test_training_matches_counter(void **state)
{
    static const cs_dtype stores[] = {CS_F32, CS_BF16, CS_F16, CS_F64};
    (void)state;
    for (size_t i = 0; i < 4 * sizeof small / sizeof *small; i++) {
        cs_spec spec;
        cs_param_table table;
        cs_schedule schedule;
        cs_arena arena;
        cs_memory p;
        cs_activations room;
        cs_dp dp;
        cs_error err = {0};
        if (i > 3 && stores[i % 4] == CS_F64)
            continue; /* slow */
        read_spec(small[i / 4], &spec);
        cs_memory_request q = request_of(&spec, &table, stores[i % 4], &arena);
        q.layout.micro_batch = SAMPLES;
        q.layout.seq_length = SEQ;
        q.evaluates = true;
        plan_layout(&q, &spec, &schedule, &arena);
        must(cs_memory_of_stage(&q, 0, &p, &err), &err);
        assert_true(cs_walk_stage(&q, 0, &room));
        cs_arena_release(&arena);
        int64_t before = cs_mem_bytes();
        cs_model *m = make_model(&spec, stores[i % 4], true, SEQ);
        train(m, &dp, &room);
        /* The products' workspace belongs to the thread and may be there from the case before. */
        within(cs_mem_bytes() - before, p.reserved - p.bytes[CS_MEMORY_WORK], p.reserved, spec.family->name);
        assert_int_equal(p.bytes[CS_MEMORY_WEIGHTS] + p.bytes[CS_MEMORY_GRADS],
                         m->table.n_elements * (int64_t)(cs_dtype_size(m->prec.store) + cs_dtype_size(m->prec.acc)));
        assert_int_equal(p.bytes[CS_MEMORY_STASH], m->stash[0].arena.high_water);
        assert_int_equal(p.bytes[CS_MEMORY_SCRATCH] + p.bytes[CS_MEMORY_LOGITS], m->scratch.high_water);
        cs_dp_release(&dp);
        cs_model_destroy(m);
    }
}

static cs_status done(void *user, size_t prompt, const cs_gen_result *r, cs_error *err)
{
    (void)user, (void)prompt, (void)err;
    assert_int_equal(r->end, CS_GEN_LENGTH);
    return CS_OK;
}

/* The highest value of the counter: so this runs first, and each case needs more than those before it. */
static void test_generation_matches_counter(void **state)
{
    static const cs_dtype stores[] = {CS_BF16, CS_F32};
    (void)state;
    for (int i = 0; i < 2; i++) {
        cs_spec spec;
        cs_param_table table;
        cs_schedule schedule;
        cs_arena arena;
        cs_memory p;
        cs_error err = {0};
        static int32_t ids[TOKENS - 30];
        read_spec(small[0], &spec);
        cs_memory_request q = request_of(&spec, &table, stores[i], &arena);
        q.layout.micro_batch = 2;
        q.layout.seq_length = TOKENS;
        q.layout.inference = true;
        q.rows = CS_GEN_MAX_ROWS;
        q.cache_positions = cs_kvcache_capacity(TOKENS, spec.max_pos);
        q.cache_growth = q.cache_positions / 2;
        plan_layout(&q, &spec, &schedule, &arena);
        must(cs_memory_of_stage(&q, 0, &p, &err), &err);
        cs_arena_release(&arena);
        int64_t before = cs_mem_bytes();
        cs_engine e = {.model = make_model(&spec, stores[i], false, spec.max_pos), .bos = -1};
        cs_param_table_fill(&e.model->table, 3);
        cs_model_seal(e.model);
        for (int k = 0; k < TOKENS - 30; k++)
            ids[k] = k * 11 % 701;
        const cs_gen_prompt prompts[] = {{ids, TOKENS - 30}, {ids, TOKENS - 30}};
        const cs_gen_settings set = {cs_sampling_default(), 30, 2, NULL, 0};
        must(cs_generate(&e, &set, prompts, 2, &(cs_gen_sink){.done = done}, &err), &err);
        within(cs_mem_peak() - before, p.reserved - p.bytes[CS_MEMORY_WORK], p.reserved, "generation");
        cs_model_destroy(e.model);
    }
}

/* --- legality --------------------------------------------------------------------------------------------------------------------- */

#define WORDS_mbs .optimized = true, .manual_mbs
#define WORDS_layers .manual_allocation = true, .manual_layers
#define WORDS(flag, ...) WORDS_##flag = {(const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)}

static void test_rules(void **state)
{
    (void)state;
    const struct {
        cs_layout l;
        const char *says; /* NULL = legal */
    } cases[] = {
        {{.world = 8, .tp = 2, .pp = 4, .micro_batch = 1, .seq_length = 64}, NULL},
        {{.world = 8, .tp = 2, .pp = 2, .virtual_layers = 4, .micro_batch = 1, .global_batch = 8, .seq_length = 64}, NULL},
        {{.world = 3, .tp = 3, .pp = 1, .micro_batch = 1, .seq_length = 64}, "legal: 1, 2, 4, 8"},
        {{.world = 8, .tp = 8, .pp = 1, .micro_batch = 1, .seq_length = 64}, "8 does not divide the 2 key and value heads; legal: 1, 2"},
        {{.world = 3, .tp = 1, .pp = 3, .micro_batch = 1, .seq_length = 64}, "3 does not divide the 16 layers; legal: 1, 2, 4, 8, 16"},
        {{.world = 6, .tp = 2, .pp = 2, .micro_batch = 1, .seq_length = 64}, "a multiple of 2 x 2 = 4"},
        {{.world = 2, .tp = 1, .pp = 1, .micro_batch = 3, .global_batch = 8, .seq_length = 64}, "must be a multiple of micro batch size x DP = 3 x 2 = 6"},
        {{.world = 2, .tp = 1, .pp = 2, .zero = 2, .micro_batch = 1, .seq_length = 64}, "legal with a pipeline: 0, 1"},
        {{.world = 2, .tp = 1, .pp = 2, .virtual_layers = 3, .micro_batch = 2, .global_batch = 4, .seq_length = 64}, "legal: 1, 2, 4, 8"},
        {{.world = 1, .tp = 1, .pp = 1, .virtual_layers = 2, .micro_batch = 1, .seq_length = 64}, "of 2 or more"},
        {{.world = 2, .tp = 1, .pp = 2, .virtual_layers = 2, .micro_batch = 1, .global_batch = 3, .seq_length = 64}, "needs a multiple of 2"},
        {{.world = 2, .tp = 2, .pp = 1, .sequence_parallel = true, .micro_batch = 1, .seq_length = 63}, "63 is not a multiple"},
        {{.world = 1, .tp = 1, .pp = 1, .micro_batch = 1, .seq_length = 4096}, "exceeds the model's 2048 positions"},
        {{.world = 1 << 20, .tp = 1, .pp = 1, .micro_batch = (int64_t)1 << 40, .seq_length = 64}, NULL},
        {{.world = 4, .tp = 1, .pp = 1, .micro_batch = INT64_MAX, .seq_length = 64}, "legal: 1 to 1099511627776"},
        {{.world = 4, .tp = 1, .pp = 1, .micro_batch = 1, .global_batch = INT64_MAX, .seq_length = 64}, "legal: 1 to 1099511627776"},
        {{.world = 1, .tp = INT64_MAX, .pp = INT64_MAX, .micro_batch = 1, .seq_length = 64}, "legal: 1 to 1048576"},
        {{.world = 1, .tp = 1, .pp = 1, .recompute = CS_RECOMPUTE_BLOCK, .recompute_layers = 17, .micro_batch = 1, .seq_length = 64}, "legal: 1 to 16"},
        {{.world = 4, .tp = 1, .pp = 2, WORDS(mbs, "1,2,3", "2"), .micro_batch = 2, .global_batch = 16, .seq_length = 64}, NULL},
        {{.world = 4, .tp = 1, .pp = 4, WORDS(mbs, "example-config-1"), .micro_batch = 4, .global_batch = 64, .seq_length = 64}, NULL},
        {{.world = 16, .tp = 1, .pp = 8, WORDS(mbs, "example-config-2"), .micro_batch = 4, .global_batch = 192, .seq_length = 64}, NULL},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "example-config-1"), .micro_batch = 4, .global_batch = 64, .seq_length = 64},
         "is for --pipeline-model-parallel-size 4, --micro-batch-size 4 and a global batch of 64 per data-parallel rank, not 2, 4 and 64"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "1,2,1"), .micro_batch = 2, .global_batch = 8, .seq_length = 64}, "3 numbers; legal: 4 ="},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "1,2,2,2"), .micro_batch = 2, .global_batch = 8, .seq_length = 64}, "sums to 7; legal: 8 ="},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "1,0,2"), .micro_batch = 1, .global_batch = 3, .seq_length = 64}, "\"0\" is not a number"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "1,,2"), .micro_batch = 1, .global_batch = 3, .seq_length = 64}, "\"\" is not a number"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "99999999999999999999999999999"), .micro_batch = 1, .global_batch = 3, .seq_length = 64},
         "is not a number of 1 or more"},
        {{.world = 2, .tp = 1, .pp = 2, .optimized = true, .micro_batch = 1, .global_batch = 2, .seq_length = 64}, "needs --manual-mbs"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(mbs, "1,3"), .virtual_layers = 4, .micro_batch = 2, .global_batch = 4, .seq_length = 64},
         "with virtual stages: legal: one chunk"},
        {{.world = 4, .tp = 1, .pp = 4, WORDS(layers, "3", "5", "5,3"), .micro_batch = 1, .seq_length = 64}, NULL},
        {{.world = 3, .tp = 1, .pp = 3, WORDS(layers, "5,6,5"), .micro_batch = 1, .seq_length = 64}, NULL},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(layers, "3,5,5,3"), .micro_batch = 1, .global_batch = 2, .seq_length = 64}, NULL},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(layers, "3,5,5,3"), .micro_batch = 1, .global_batch = 3, .seq_length = 64}, "a multiple of 2"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(layers, "3,5,5,3"), .fold = CS_FOLD_AIAO, .micro_batch = 1, .global_batch = 3, .seq_length = 64}, NULL},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(layers, "9,8"), .micro_batch = 1, .seq_length = 64}, "sums to 17; legal: the model's 16 layers"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(layers, "9,4,3"), .micro_batch = 1, .seq_length = 64}, "3 numbers; legal: 2, one for each stage"},
        {{.world = 1, .tp = 1, .pp = 1, WORDS(layers, "9,7"), .micro_batch = 1, .seq_length = 64}, "virtual stages need"},
        {{.world = 2, .tp = 1, .pp = 2, WORDS(layers, "9,7"), .virtual_layers = 2, .micro_batch = 1, .seq_length = 64}, "exclude each other"},
        {{.world = 1, .tp = 1, .pp = 1, .micro_batch = 1, .global_batch = 1 << 23, .seq_length = 64}, "legal: up to 4194304 in all"},
    };
    cs_spec spec;
    read_spec(LLAMA(1000, 64, 256, 16, 8, 2), &spec);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cs_layout l = cases[i].l;
        cs_error err = {0};
        cs_status s = cs_layout_check(&l, &spec, &err);
        if ((cases[i].says == NULL) != (s == CS_OK) || (cases[i].says && !strstr(err.msg, cases[i].says)))
            fail_msg("case %zu: %d %s", i, (int)s, err.msg);
    }
}

/* Pieces of the model and samples of micro-batches, by lists and without. */
static void test_lists(void **state)
{
    (void)state;
    cs_spec spec;
    cs_error err = {0};
    read_spec(LLAMA(1000, 64, 256, 16, 8, 2), &spec);
    cs_layout l = {.world = 4, .tp = 1, .pp = 2, WORDS(layers, "3,5", "6,2"), .fold = CS_FOLD_FIFO, .micro_batch = 3, .global_batch = 12, .seq_length = 64};
    must(cs_layout_check(&l, &spec, &err), &err);
    static const int64_t first[2][2] = {{0, 8}, {3, 14}}, n[2][2] = {{3, 6}, {5, 2}};
    for (int stage = 0; stage < 2; stage++)
        for (int chunk = 0; chunk < 2; chunk++) {
            assert_int_equal(cs_layout_first_layer(&l, stage, chunk), first[stage][chunk]);
            assert_int_equal(cs_layout_n_layers(&l, stage, chunk), n[stage][chunk]);
        }
    assert_int_equal(cs_layout_stage_layers(&l, 1), 7);
    assert_int_equal(cs_layout_largest_piece(&l), 6);
    assert_int_equal(l.schedule, CS_SCHEDULE_FIFO);
    assert_int_equal(cs_layout_first_sample(&l, 1, 1), 9);
    l = (cs_layout){.world = 4, .tp = 1, .pp = 2, .virtual_layers = 2, .micro_batch = 1, .global_batch = 8, .seq_length = 64};
    must(cs_layout_check(&l, &spec, &err), &err);
    assert_int_equal(cs_layout_first_layer(&l, 1, 3), 14);
    assert_int_equal(cs_layout_n_layers(&l, 1, 3), 2);
    assert_int_equal(l.schedule, CS_SCHEDULE_INTERLEAVED);
    l = (cs_layout){.world = 4, .tp = 1, .pp = 2, WORDS(mbs, "1", "4", "2,1"), .fold = CS_FOLD_AIAO, .micro_batch = 2, .global_batch = 16, .seq_length = 64};
    must(cs_layout_check(&l, &spec, &err), &err);
    assert_int_equal(l.schedule, CS_SCHEDULE_1F1B);
    assert_int_equal(l.largest_mbs, 4);
    static const int64_t mbs[] = {1, 4, 2, 1};
    int64_t next = 0;
    for (int i = 0; i < 4; i++)
        for (int rank = 0; rank < 2; rank++) { /* every sample of the step once, in order */
            assert_int_equal(cs_layout_mbs(&l, i), mbs[i]);
            assert_int_equal(cs_layout_first_sample(&l, i, rank), next);
            next += mbs[i];
        }
    assert_int_equal(next, 16);
}

/* Each way to save memory saves it, and only where it should. */
static void test_savings(void **state)
{
    (void)state;
    cs_spec spec;
    cs_param_table table;
    cs_schedule schedule;
    cs_arena arena;
    cs_memory base, m;
    cs_error err = {0};
    read_spec(published[0].config, &spec);
    cs_memory_request q = request_of(&spec, &table, CS_BF16, &arena);
    q.layout.world = 8;
    plan_layout(&q, &spec, &schedule, &arena);
    must(cs_memory_of_stage(&q, 0, &base, &err), &err);
    for (int64_t zero = 1; zero <= 3; zero++) {
        q.layout.zero = zero;
        must(cs_memory_of_stage(&q, 0, &m, &err), &err);
        assert_true(m.bytes[CS_MEMORY_MOMENTS] * 8 >= base.bytes[CS_MEMORY_MOMENTS] && m.bytes[CS_MEMORY_MOMENTS] * 7 < base.bytes[CS_MEMORY_MOMENTS]);
        assert_int_equal(m.bytes[CS_MEMORY_GRADS] < base.bytes[CS_MEMORY_GRADS] / 4, zero >= 2);
        assert_int_equal(m.bytes[CS_MEMORY_WEIGHTS] < base.bytes[CS_MEMORY_WEIGHTS] / 4, zero >= 3);
        assert_int_equal(m.bytes[CS_MEMORY_STASH], base.bytes[CS_MEMORY_STASH]);
    }
    q.layout.zero = 0;
    q.layout.recompute = CS_RECOMPUTE_UNIFORM;
    q.layout.recompute_layers = 1;
    must(cs_memory_of_stage(&q, 0, &m, &err), &err);
    double executed, flops = cs_flops_per_token(&q, &executed);
    assert_true(m.bytes[CS_MEMORY_STASH] < base.bytes[CS_MEMORY_STASH] / 6 && executed > 1.3 * flops && executed < 4.0 / 3 * flops);
    assert_int_equal(m.bytes[CS_MEMORY_WEIGHTS], base.bytes[CS_MEMORY_WEIGHTS]);
    q.layout.recompute = CS_RECOMPUTE_BLOCK;
    q.layout.recompute_layers = 16;
    cs_memory half;
    must(cs_memory_of_stage(&q, 0, &half, &err), &err);
    assert_true(half.bytes[CS_MEMORY_STASH] > m.bytes[CS_MEMORY_STASH] && half.bytes[CS_MEMORY_STASH] < base.bytes[CS_MEMORY_STASH]);
    cs_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generation_matches_counter), cmocka_unit_test(test_training_matches_counter), cmocka_unit_test(test_published_sizes),
        cmocka_unit_test(test_layouts_add_up),             cmocka_unit_test(test_rules),
        cmocka_unit_test(test_savings),                    cmocka_unit_test(test_lists),                   cmocka_unit_test(test_drops),
    };
    omp_set_num_threads(THREADS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
