/* The key-value cache against forwards without it, and the generation loop: what a prompt gives does not depend on its neighbours; ends and limits. */
#include "infer/generation.h"
#include "infer/kvcache.h"
#include "infer/scoring.h"
#include "model/family/families.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { V = 61, MAX_POS = 700, MAX_TABLES = 32 };

static void must(cs_status status, const cs_error *err)
{
    if (status != CS_OK)
        fail_msg("%s", err->msg);
}

static cs_model *make_model_at(const cs_kernels *table, cs_pos_kind pos, int64_t window)
{
    cs_error err = {0};
    cs_model *m;
    cs_spec spec = {.family = &cs_family_llama, .vocab_size = V, .hidden = 24, .ffn = 37, .n_layers = 3, .n_heads = 4, .n_kv_heads = 2, .head_dim = 6,
                    .max_pos = MAX_POS, .norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.3, .bias_qkv = true, .bos = 1, .eos = -1, .pad = -1,
                    .pos = pos, .window = window, .window_from = 1, .dtype = CS_F32};
    cs_model_options opt = {.kernels = {table->store, "ref", "own"}, .n_pos = MAX_POS};
    must(cs_model_create(&spec, &opt, &m, &err), &err);
    m->k = table;
    cs_param_table_fill(&m->table, 5);
    return m;
}

static cs_model *make_model(const cs_kernels *table)
{
    return make_model_at(table, CS_POS_ROPE, 0);
}

static int32_t token(int64_t i)
{
    return (int32_t)((uint64_t)(i * i * 31 + i * 7 + 3) % V);
}

static double at(const void *logits, cs_dtype type, int64_t i)
{
    return type == CS_F64 ? ((const double *)logits)[i] : (double)((const float *)logits)[i];
}

/* Two sequences of n[0] and n[1] positions, read in ragged pieces side by side, against one forward each. */
static void check_cache(const cs_kernels *table, cs_pos_kind pos, int64_t window)
{
    static const int64_t n[2] = {331, 150}, piece[2][4] = {{1, 40, 7, 100}, {3, 1, 90, 1}}; /* cyclic; past the first block of the cache */
    static int32_t ids[2][400];
    cs_error err = {0};
    cs_model *m = make_model_at(table, pos, window);
    cs_dtype acc = table->acc;
    size_t row_bytes = V * cs_dtype_size(acc);
    double bound = table->store == CS_F64 ? 1e-12 : table->store == CS_F32 ? 1e-5 : 0.2;
    char *full[2], *some = cs_malloc(512 * row_bytes);
    cs_rows rows;
    cs_kvcache cache;
    must(cs_rows_init(&rows, 512, 2, &err), &err);
    must(cs_kvcache_init(&cache, m, 2, MAX_POS, &err), &err);
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; i < n[s]; i++)
            ids[s][i] = token(i + 1000 * s);
        cs_rows_clear(&rows);
        cs_rows_add(&rows, ids[s], n[s], 0);
        cs_batch b = cs_rows_batch(&rows);
        full[s] = cs_malloc((size_t)n[s] * row_bytes);
        cs_model_logits(m, &b, NULL, NULL, 0, full[s]);
    }
    int64_t fed[2] = {0, 0}, slots[2], len[2];
    for (int turn = 0; fed[0] < n[0] || fed[1] < n[1]; turn++) {
        int64_t n_seq = 0, row = 0;
        cs_rows_clear(&rows);
        for (int s = 0; s < 2; s++) {
            int64_t left = n[s] - fed[s], k = piece[s][turn % 4] < left ? piece[s][turn % 4] : left;
            if (k == 0)
                continue;
            must(cs_kvcache_reserve(&cache, s, k, &err), &err);
            cs_rows_add(&rows, ids[s] + fed[s], k, fed[s]);
            slots[n_seq] = s;
            len[n_seq++] = k;
        }
        cs_batch b = cs_rows_batch(&rows);
        cs_kv kv = cs_kvcache_view(&cache, slots, n_seq);
        cs_model_logits(m, &b, &kv, NULL, 0, some);
        for (int64_t i = 0; i < n_seq; i++) {
            int64_t s = slots[i];
            for (int64_t j = 0; j < len[i] * V; j++) {
                double have = at(some, acc, row * V + j), want = at(full[s], acc, fed[s] * V + j);
                if (!(fabs(have - want) <= bound))
                    fail_msg("%s: sequence %d, position %d: %g with the cache, %g without", table->name, (int)s, (int)(fed[s] + j / V), have, want);
            }
            row += len[i];
            cs_kvcache_advance(&cache, s, len[i]);
            fed[s] += len[i];
        }
    }
    cs_kvcache_release(&cache);
    cs_rows_release(&rows);
    cs_free(full[0]);
    cs_free(full[1]);
    cs_free(some);
    cs_model_destroy(m);
}

static void test_cache(void **state)
{
    const cs_kernels *table[MAX_TABLES];
    int n = cs_kernels_all(table, MAX_TABLES);
    (void)state;
    assert_in_range(n, 3, MAX_TABLES);
    for (int i = 0; i < n; i++)
        check_cache(table[i], CS_POS_ROPE, 0);
    for (int i = 0; i < n; i++)
        check_cache(table[i], CS_POS_ALIBI, 0);
    for (int i = 0; i < n; i++)
        check_cache(table[i], CS_POS_ROPE, 70);
}

enum { N_PROMPTS = 7, MAX_NEW = 40 };

typedef struct output {
    int32_t ids[N_PROMPTS][MAX_NEW + 1];
    size_t n[N_PROMPTS];
    cs_gen_end end[N_PROMPTS];
    int done;
} output;

static cs_status keep(void *user, size_t prompt, const cs_gen_result *r, cs_error *err)
{
    output *o = user;
    (void)err;
    assert_true(prompt < N_PROMPTS && r->n_ids <= MAX_NEW && r->text_len == 0);
    if (r->n_ids > 0)
        memcpy(o->ids[prompt], r->ids, r->n_ids * sizeof *r->ids);
    o->n[prompt] = r->n_ids;
    o->end[prompt] = r->end;
    o->done++;
    return CS_OK;
}

typedef struct fixture {
    cs_engine e;
    int32_t ids[MAX_POS + 10];
    cs_gen_prompt prompt[N_PROMPTS];
    cs_gen_settings set;
} fixture;

static void fixture_init(fixture *f)
{
    static const size_t length[N_PROMPTS] = {1, 5, 600, 17, 2, 130, 64}; /* 600 is more than one forward takes */
    *f = (fixture){.e = {.model = make_model(cs_kernels_ref(CS_F64))}};
    for (int64_t i = 0; i < MAX_POS + 10; i++)
        f->ids[i] = token(i);
    for (int i = 0; i < N_PROMPTS; i++)
        f->prompt[i] = (cs_gen_prompt){f->ids + i, length[i]};
    f->set = (cs_gen_settings){.sampling = cs_sampling_default(), .max_new_tokens = MAX_NEW, .batch_size = 3};
}

static void fixture_release(fixture *f)
{
    cs_ids_release(&f->e.eos);
    cs_model_destroy(f->e.model);
}

static void generate(fixture *f, size_t n, output *o)
{
    cs_error err = {0};
    cs_gen_sink sink = {o, NULL, keep};
    *o = (output){0};
    must(cs_generate(&f->e, &f->set, f->prompt, n, &sink, &err), &err);
    assert_int_equal(o->done, n);
}

/* The most likely continuation by forwards without a cache. */
static void greedy_without_cache(fixture *f, const cs_gen_prompt *p, int32_t *out, int n_new)
{
    static int32_t ids[MAX_POS];
    cs_error err = {0};
    cs_rows rows;
    double logits[V];
    memcpy(ids, p->ids, p->n * sizeof *ids);
    must(cs_rows_init(&rows, MAX_POS, 1, &err), &err);
    for (int i = 0; i < n_new; i++) {
        int64_t len = (int64_t)p->n + i, last = len - 1, best = 0;
        cs_rows_clear(&rows);
        cs_rows_add(&rows, ids, len, 0);
        cs_batch b = cs_rows_batch(&rows);
        cs_model_logits(f->e.model, &b, NULL, &last, 1, logits);
        for (int64_t v = 1; v < V; v++)
            if (logits[v] > logits[best])
                best = v;
        out[i] = ids[len] = (int32_t)best;
    }
    cs_rows_release(&rows);
}

static void test_greedy(void **state)
{
    fixture f;
    output o;
    int32_t want[8];
    (void)state;
    fixture_init(&f);
    f.set.max_new_tokens = 8;
    generate(&f, N_PROMPTS, &o);
    for (int i = 0; i < N_PROMPTS; i++) {
        assert_true(o.n[i] == 8 && o.end[i] == CS_GEN_LENGTH);
        greedy_without_cache(&f, &f.prompt[i], want, 8);
        assert_memory_equal(want, o.ids[i], sizeof want);
    }
    fixture_release(&f);
}

static void test_batching_changes_nothing(void **state)
{
    fixture f;
    output all, other;
    (void)state;
    fixture_init(&f);
    f.set.sampling.do_sample = true;
    f.set.sampling.top_k = 0;
    f.set.sampling.repetition_penalty = 1.2;
    f.set.sampling.seed = 99;
    generate(&f, N_PROMPTS, &all);
    for (int64_t batch = 1; batch <= 16; batch += 5) {
        f.set.batch_size = batch;
        generate(&f, N_PROMPTS, &other);
        assert_memory_equal(all.ids, other.ids, sizeof all.ids);
    }
    f.set.sampling.seed = 100;
    generate(&f, N_PROMPTS, &other);
    assert_memory_not_equal(all.ids, other.ids, sizeof all.ids);
    fixture_release(&f);
}

static void test_ends(void **state)
{
    fixture f;
    output free_run, o;
    (void)state;
    fixture_init(&f);
    f.set.sampling.do_sample = true;
    generate(&f, N_PROMPTS, &free_run);
    cs_ids_push(&f.e.eos, V + 5);
    cs_ids_push(&f.e.eos, free_run.ids[1][9]); /* an end token cuts at its first place and is not kept */
    generate(&f, N_PROMPTS, &o);
    for (int i = 0; i < N_PROMPTS; i++) {
        size_t n = 0;
        while (n < MAX_NEW && free_run.ids[i][n] != f.e.eos.data[1])
            n++;
        assert_int_equal(o.n[i], n);
        assert_int_equal(o.end[i], n < MAX_NEW ? CS_GEN_STOP : CS_GEN_LENGTH);
        assert_memory_equal(o.ids[i], free_run.ids[i], n * sizeof o.ids[i][0]);
    }
    assert_true(o.n[1] <= 9);

    cs_ids_clear(&f.e.eos);
    f.prompt[0] = (cs_gen_prompt){f.ids, MAX_POS - 3}; /* 3 fed tokens and one that needs no position */
    f.prompt[1] = (cs_gen_prompt){f.ids, MAX_POS};
    generate(&f, 2, &o);
    assert_true(o.n[0] == 4 && o.end[0] == CS_GEN_LENGTH && o.n[1] == 1 && o.end[1] == CS_GEN_LENGTH);
    f.set.max_new_tokens = 0;
    generate(&f, 3, &o);
    assert_true(o.n[0] == 0 && o.n[2] == 0 && o.end[2] == CS_GEN_LENGTH);
    fixture_release(&f);
}

static void test_not_finite(void **state)
{
    fixture f;
    output o = {0};
    cs_error err = {0};
    cs_gen_sink sink = {&o, NULL, keep};
    (void)state;
    fixture_init(&f);
    ((double *)f.e.model->table.store)[f.e.model->table.row[CS_ROW_FINAL_NORM].offset] = NAN;
    assert_int_equal(cs_generate(&f.e, &f.set, f.prompt, 2, &sink, &err), CS_E_NUMERIC);
    assert_non_null(strstr(err.msg, "prompt 1, new token 1"));
    fixture_release(&f);
}

/* Scores of short items together, of a long one in pieces, against a plain softmax of one forward. */
static void test_score(void **state)
{
    enum { N = 40, LONG = 690 };
    fixture f;
    cs_error err = {0};
    cs_score_item item[N];
    static double lp[N][MAX_POS], logits[MAX_POS * V];
    cs_rows rows;
    (void)state;
    fixture_init(&f);
    for (int i = 0; i < N; i++) {
        int64_t n = i == 20 ? LONG : 1 + i * 3, n_context = 1 + (i * 5) % n;
        item[i] = (cs_score_item){.ids = f.ids + i % 10, .n = n, .n_context = i == 20 ? 2 : n_context, .token_logprob = lp[i]};
    }
    must(cs_score(&f.e, item, N, &err), &err);
    must(cs_rows_init(&rows, MAX_POS, 1, &err), &err);
    for (int i = 0; i < N; i++) {
        cs_rows_clear(&rows);
        cs_rows_add(&rows, item[i].ids, item[i].n, 0);
        cs_batch b = cs_rows_batch(&rows);
        cs_model_logits(f.e.model, &b, NULL, NULL, 0, logits);
        double total = 0;
        bool greedy = true;
        for (int64_t t = item[i].n_context; t < item[i].n; t++) {
            const double *z = logits + (t - 1) * V;
            double sum = 0;
            for (int v = 0; v < V; v++) {
                sum += exp(z[v]);
                greedy &= z[v] <= z[item[i].ids[t]];
            }
            double want = z[item[i].ids[t]] - log(sum);
            assert_true(fabs(lp[i][t - item[i].n_context] - want) < 1e-11);
            total += want;
        }
        assert_true(fabs(item[i].logprob - total) < 1e-9);
        assert_int_equal(item[i].is_greedy, greedy);
    }
    cs_rows_release(&rows);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache), cmocka_unit_test(test_greedy), cmocka_unit_test(test_batching_changes_nothing),
        cmocka_unit_test(test_ends),  cmocka_unit_test(test_not_finite), cmocka_unit_test(test_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
