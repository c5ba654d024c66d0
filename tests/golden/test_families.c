/* PyTorch models of every family against this program, on every kernel table that this CPU can run: logits, loss, every gradient, and 20 steps of
 * AdamW with clipping, accumulation and a cosine schedule. Conventions of the reference numbers: tests/golden/README.md. */
#include "base/io.h"
#include "ckpt/ckpt.h"
#include "fmt/json.h"
#include "fmt/safetensors.h"
#include "model/model.h"
#include "optim/lr.h"
#include "optim/optimizer.h"
#include "parallel/dp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const cases[] = {"llama_mha",    "llama_gqa",    "llama_bias_tied", "llama3_rope",   "llama_linear_rope", "mistral_window",
                                    "qwen2_tied",   "internlm",     "aquila",          "baichuan_7b",   "baichuan_13b",      "baichuan2_7b",
                                    "baichuan2_13b", "bloom_3",      "bloom_5",         "bloom_40"};
enum { N_CASES = sizeof cases / sizeof *cases, MAX_TABLES = 32 };

/* Largest differences allowed. logits: absolute in f64 and f32, of the largest logit in bf16 and f16; grad: of a tensor's largest entry (the references are
 * rounded to f32); sumsq, losses, norms: relative. */
typedef struct bounds {
    double logits, loss, grad, sumsq, losses, norms;
} bounds;

static bounds bounds_of(cs_dtype store)
{
    switch (store) {
    case CS_F64:
        return (bounds){1e-11, 1e-12, 1e-7, 1e-11, 1e-9, 1e-9};
    case CS_F32:
        return (bounds){1e-5, 1e-6, 1e-5, 1e-5, 1e-4, 1e-4};
    case CS_F16:
        return (bounds){0.005, 0.005, 0.03, 0.03, 0.002, 0.03};
    default:
        return (bounds){0.03, 0.03, 0.10, 0.10, 0.01, 0.10};
    }
}

typedef struct golden {
    char dir[256], file[300];
    cs_map map;
    cs_safetensors st;
    json_t *json;
    cs_spec spec;
} golden;

static void must(cs_status status, const cs_error *err)
{
    if (status != CS_OK)
        fail_msg("%s", err->msg);
}

static void golden_init(golden *g, const char *name)
{
    cs_error err = {0};
    *g = (golden){0};
    snprintf(g->dir, sizeof g->dir, "tests/golden/%s", name);
    snprintf(g->file, sizeof g->file, "%s/golden.safetensors", g->dir);
    must(cs_map_init(&g->map, g->file, &err), &err);
    must(cs_safetensors_init(&g->st, g->map.data, g->map.size, g->file, &err), &err);
    must(cs_ckpt_read_spec(g->dir, &g->spec, &err), &err);
    char path[300];
    snprintf(path, sizeof path, "%s/golden.json", g->dir);
    must(cs_json_load(path, 1 << 20, &g->json, &err), &err);
}

static void golden_release(golden *g)
{
    json_decref(g->json);
    cs_safetensors_release(&g->st);
    cs_map_release(&g->map);
}

static double number(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    if (!json_is_number(v))
        fail_msg("golden.json: no number \"%s\"", key);
    return json_number_value(v);
}

/* Element i of a golden tensor. */
static double entry(const cs_st_tensor *t, int64_t i)
{
    double d;
    float f;
    int32_t n;
    switch (t->dtype) {
    case CS_F64:
        memcpy(&d, t->data + (size_t)i * 8, 8);
        return d;
    case CS_F32:
        memcpy(&f, t->data + (size_t)i * 4, 4);
        return f;
    default:
        assert_int_equal(t->dtype, CS_I32);
        memcpy(&n, t->data + (size_t)i * 4, 4);
        return n;
    }
}

static const cs_st_tensor *tensor(const golden *g, const char *name, int64_t n)
{
    const cs_st_tensor *t = cs_safetensors_find(&g->st, name);
    if (!t || t->n != n)
        fail_msg("%s: no tensor %s of %lld elements", g->file, name, (long long)n);
    return t;
}

static double acc_at(const void *p, cs_dtype acc, int64_t i)
{
    return acc == CS_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static cs_model *make_model(const golden *g, const cs_kernels *table)
{
    cs_error err = {0};
    cs_model *m;
    cs_model_options opt = {.kernels = {table->store, "ref", "own"}, .training = true, .n_pos = 64};
    must(cs_model_create(&g->spec, &opt, &m, &err), &err);
    m->k = table; /* nothing is packed yet */
    return m;
}

/* Into the store and, where one is there, the master. */
static void load_weights(const golden *g, cs_model *m)
{
    cs_error err = {0};
    must(cs_ckpt_load_weights(g->dir, &g->spec, &m->table, false, &err), &err);
}

enum { N_SEQ = 2, LEN = 23, ROWS = N_SEQ * LEN };

typedef struct rows {
    int64_t seq_start[N_SEQ + 1];
    int32_t tokens[ROWS], labels[ROWS], pos[ROWS];
    float weights[ROWS];
} rows;

/* n_seq sequences of `len` inputs whose labels are the next tokens; ids [n_seq][stride] from element `at`; mask NULL: all but the last row count. */
static cs_batch make_batch(rows *r, const cs_st_tensor *ids, int64_t at, int64_t stride, int64_t len, const cs_st_tensor *mask, int64_t mask_at)
{
    cs_batch b = {.rows = N_SEQ * len, .n_seq = N_SEQ, .seq_start = r->seq_start, .tokens = r->tokens, .labels = r->labels, .weights = r->weights,
                  .pos = r->pos};
    for (int64_t s = 0; s < N_SEQ; s++) {
        r->seq_start[s + 1] = (s + 1) * len;
        for (int64_t t = 0; t < len; t++) {
            int64_t i = s * len + t;
            bool last = t + 1 == stride;
            r->tokens[i] = (int32_t)entry(ids, at + s * stride + t);
            r->labels[i] = last ? -1 : (int32_t)entry(ids, at + s * stride + t + 1);
            r->weights[i] = mask ? (float)entry(mask, mask_at + i) : last ? 0.0f : 1.0f;
            r->pos[i] = (int32_t)t;
            b.trained += r->weights[i];
        }
    }
    r->seq_start[0] = 0;
    return b;
}

static void check_logits(const golden *g, cs_model *m, const cs_batch *b, const char *where, double bound)
{
    int64_t V = g->spec.vocab_size;
    const cs_st_tensor *want = tensor(g, "logits", ROWS * V);
    void *logits = cs_malloc((size_t)(ROWS * V) * cs_dtype_size(m->prec.acc));
    cs_model_logits(m, b, NULL, NULL, 0, logits);
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < ROWS * V; i++) {
        worst = fmax(worst, fabs(acc_at(logits, m->prec.acc, i) - entry(want, i)));
        largest = fmax(largest, fabs(entry(want, i)));
    }
    if (cs_dtype_size(m->prec.store) == 2)
        worst /= largest;
    if (!(worst <= bound))
        fail_msg("%s: logits differ by %g, allowed %g", where, worst, bound);
    cs_free(logits);
}

static void check_gradients(const golden *g, const cs_model *m, const char *where, const bounds *bound)
{
    const cs_param_table *t = &m->table;
    const json_t *sums = json_object_get(g->json, "grad_sumsq");
    assert_int_equal(json_object_size(sums), cs_param_n_views(t));
    for (int64_t p = 0; p < cs_param_n_views(t); p++) {
        cs_param_view v = cs_param_view_at(t, p);
        char name[200];
        snprintf(name, sizeof name, "grad.%s", v.name);
        const cs_st_tensor *want = tensor(g, name, v.n);
        double worst = 0, largest = 0, sum = 0;
        for (int64_t i = 0; i < v.n; i++) {
            cs_param_run r = cs_param_view_run(&v, i / (v.n / v.n_runs));
            double have = acc_at(t->grad, t->prec.acc, r.offset + i - r.at);
            worst = fmax(worst, fabs(have - entry(want, i)));
            largest = fmax(largest, fabs(entry(want, i)));
            sum += have * have;
        }
        if (!(worst <= bound->grad * largest))
            fail_msg("%s: %s differs by %g of its largest entry, allowed %g", where, name, worst / largest, bound->grad);
        double want_sum = number(sums, v.name);
        if (!(fabs(sum - want_sum) <= bound->sumsq * want_sum))
            fail_msg("%s: %s: sum of squares %.17g, expected %.17g", where, name, sum, want_sum);
    }
}

static void check_once(const golden *g, const cs_kernels *table)
{
    char where[300];
    snprintf(where, sizeof where, "%s, %s %s", g->dir, table->name, cs_dtype_name(table->store));
    bounds bound = bounds_of(table->store);
    cs_model *m = make_model(g, table);
    load_weights(g, m);
    rows r;
    cs_batch b = make_batch(&r, tensor(g, "ids", ROWS), 0, LEN, LEN, NULL, 0);
    check_logits(g, m, &b, where, bound.logits);

    void *grad = cs_calloc((size_t)m->table.n_elements, cs_dtype_size(m->prec.acc));
    cs_model_bind_grad(m, grad);
    double want = number(g->json, "loss"), plain = cs_model_loss(m, &b) / b.trained;
    double loss = cs_model_loss_backward(m, &b, 1.0 / b.trained) / b.trained;
    if (!(fabs(loss - want) <= bound.loss) || !(fabs(plain - want) <= bound.loss))
        fail_msg("%s: loss %.17g, %.17g without gradients, expected %.17g", where, loss, plain, want);
    check_gradients(g, m, where, &bound);
    m->table.grad = NULL;
    cs_free(grad);
    cs_model_destroy(m);
}

/* One step on data row `step`; returns its loss. */
static double train_step(const golden *g, cs_model *m, cs_dp *dp, int64_t step, double *norm, double *lr)
{
    const json_t *t = json_object_get(g->json, "train");
    int64_t n_micro = (int64_t)number(t, "micro_batches"), n_seq = (int64_t)number(t, "sequences"), len = (int64_t)number(t, "tokens"),
            steps = (int64_t)number(t, "steps"), gbs = n_micro * n_seq;
    assert_true(n_seq == N_SEQ && len <= LEN && n_micro == 2);
    const cs_st_tensor *ids = tensor(g, "train.ids", steps * gbs * (len + 1)), *mask = tensor(g, "train.mask", steps * gbs * len);
    rows r[2];
    cs_batch b[2];
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n_micro; i++) {
        int64_t seq = (step * n_micro + i) * n_seq;
        b[i] = make_batch(&r[i], ids, seq * (len + 1), len + 1, len, mask, seq * len);
        total += b[i].trained;
    }
    cs_dp_zero_grads(dp);
    for (int64_t i = 0; i < n_micro; i++)
        sum += cs_model_loss_backward(m, &b[i], 1.0 / total);
    cs_dp_reduce_grads(dp);
    bool finite;
    *norm = cs_dp_grad_norm(dp, &finite);
    assert_true(finite);
    cs_lr_schedule schedule = {CS_LR_COSINE, number(t, "lr"), number(t, "min_lr"), number(t, "warmup_steps") * (double)gbs,
                               number(t, "decay_steps") * (double)gbs};
    cs_optimizer_options o = {.beta1 = number(t, "beta1"), .beta2 = number(t, "beta2"), .eps = number(t, "eps"),
                              .weight_decay = number(t, "weight_decay"), .clip_grad = number(t, "clip")};
    *lr = cs_lr_at(&schedule, step * gbs);
    cs_update h = cs_optimizer_step_args(&o, *lr, step + 1, cs_clip_scale(o.clip_grad, *norm));
    cs_dp_step(dp, &h);
    return sum / total;
}

static void check_training(const golden *g, const cs_kernels *table)
{
    cs_error err = {0};
    bounds bound = bounds_of(table->store);
    const json_t *t = json_object_get(g->json, "train"), *losses = json_object_get(t, "losses_f64"), *norms = json_object_get(t, "grad_norms_f64"),
                 *rates = json_object_get(t, "lr_of_step");
    cs_model *m = make_model(g, table);
    cs_dp dp;
    must(cs_dp_init(&dp, &m->table, table, m->mesh, (cs_dp_policy){0}, &err), &err);
    cs_model_bind_grad(m, m->table.grad);
    load_weights(g, m);
    cs_dp_adopt_weights(&dp);
    assert_int_equal(json_array_size(losses), 20);
    for (int64_t s = 0; s < 20; s++) {
        double norm, lr, loss = train_step(g, m, &dp, s, &norm, &lr);
        double want = json_number_value(json_array_get(losses, (size_t)s)), want_norm = json_number_value(json_array_get(norms, (size_t)s)),
               want_lr = json_number_value(json_array_get(rates, (size_t)s));
        if (!(fabs(lr - want_lr) <= 1e-15) || !(fabs(loss - want) <= bound.losses * want) || !(fabs(norm - want_norm) <= bound.norms * want_norm))
            fail_msg("%s, %s %s, step %lld: lr %.17g loss %.17g norm %.17g, expected %.17g %.17g %.17g", g->dir, table->name,
                     cs_dtype_name(table->store), (long long)s, lr, loss, norm, want_lr, want, want_norm);
    }
    cs_dp_release(&dp);
    cs_model_destroy(m);
}

static void each(void (*check)(const golden *g, const cs_kernels *table))
{
    const cs_kernels *table[MAX_TABLES];
    int n = cs_kernels_all(table, MAX_TABLES);
    unsigned seen = 0;
    assert_in_range(n, 3, MAX_TABLES);
    for (int c = 0; c < N_CASES; c++) {
        golden g;
        golden_init(&g, cases[c]);
        for (int i = 0; i < n; i++) {
            seen |= 1u << table[i]->store;
            check(&g, table[i]);
        }
        golden_release(&g);
    }
    assert_int_equal(seen, 1u << CS_F64 | 1u << CS_F32 | 1u << CS_BF16 | 1u << CS_F16);
}

static void test_logits_loss_gradients(void **state)
{
    (void)state;
    each(check_once);
}

static void test_training(void **state)
{
    (void)state;
    each(check_training);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logits_loss_gradients), cmocka_unit_test(test_training)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
