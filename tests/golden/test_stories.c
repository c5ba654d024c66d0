/* The 260K-parameter stories model: logits at every position against those of llama2.c's run.c (tests/data/stories260K_ref_logits.json), by one
 * forward over all positions and by reading piece by piece through the key-value cache. */
#include "base/io.h"
#include "fmt/json.h"
#include "fmt/llama2c.h"
#include "infer/scoring.h"
#include "model/family/families.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MAX_TABLES = 32, MAX_LEN = 512, V = 512 };

typedef struct reference {
    cs_map map;
    cs_llama2c file;
    json_t *json;
    int32_t ids[MAX_LEN];
    int64_t n;
} reference;

static void must(cs_status status, const cs_error *err)
{
    if (status != CS_OK)
        fail_msg("%s", err->msg);
}

static void reference_init(reference *r)
{
    cs_error err = {0};
    must(cs_map_init(&r->map, "tests/data/stories260K.bin", &err), &err);
    must(cs_llama2c_init(&r->file, r->map.data, r->map.size, "stories260K.bin", &err), &err);
    must(cs_json_load("tests/data/stories260K_ref_logits.json", 1 << 20, &r->json, &err), &err);
    const json_t *ids = json_object_get(r->json, "ids");
    r->n = (int64_t)json_array_size(ids);
    assert_in_range(r->n, 200, MAX_LEN);
    for (int64_t i = 0; i < r->n; i++)
        r->ids[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
}

static void reference_release(reference *r)
{
    json_decref(r->json);
    cs_map_release(&r->map);
}

/* One matrix of the file into rows [row0, ..) of a parameter. */
static void put(cs_param_table *t, const cs_param *p, int64_t row0, const cs_llama2c *f, cs_llama2c_part part, int64_t layer)
{
    const float *from = cs_llama2c_tensor(f, part, layer);
    int64_t rows = f->part[part].rows, cols = f->part[part].cols;
    bool pairs = part == CS_L2C_WQ || part == CS_L2C_WK;
    assert_int_equal(p->cols, cols);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            float x = from[(pairs ? cs_llama2c_row(i, f->head_dim) : i) * cols + j];
            int64_t at = p->offset + (row0 + i) * cols + j;
            if (t->prec.store == CS_F64)
                ((double *)t->store)[at] = x;
            else
                ((float *)t->store)[at] = x;
        }
}

static cs_model *make_model(const reference *r, const cs_kernels *table)
{
    cs_error err = {0};
    cs_model *m;
    const cs_llama2c *f = &r->file;
    cs_spec spec = {.family = &cs_family_llama, .vocab_size = f->vocab, .hidden = f->dim, .ffn = f->ffn, .n_layers = f->n_layers, .n_heads = f->n_heads,
                    .n_kv_heads = f->n_kv_heads, .head_dim = f->head_dim, .max_pos = f->max_seq, .norm_eps = 1e-5, .rope_theta = 10000,
                    .init_std = 0.02, .tied_head = f->tied, .bos = 1, .eos = 2, .pad = -1, .dtype = CS_F32};
    cs_model_options opt = {.kernels = {table->store, "ref", "own"}, .n_pos = f->max_seq};
    assert_int_equal(f->vocab, V);
    must(cs_model_create(&spec, &opt, &m, &err), &err);
    m->k = table;
    cs_param_table *t = &m->table;
    put(t, &t->row[CS_ROW_EMBED], 0, f, CS_L2C_EMBED, 0);
    put(t, &t->row[CS_ROW_FINAL_NORM], 0, f, CS_L2C_FINAL_NORM, 0);
    if (!f->tied)
        put(t, &t->row[CS_ROW_HEAD], 0, f, CS_L2C_HEAD, 0);
    for (int64_t l = 0; l < f->n_layers; l++) {
        const cs_param *qkv = cs_param_layer(t, l, CS_ROW_QKV), *gate_up = cs_param_layer(t, l, CS_ROW_UP);
        put(t, cs_param_layer(t, l, CS_ROW_NORM1), 0, f, CS_L2C_ATT_NORM, l);
        put(t, qkv, 0, f, CS_L2C_WQ, l);
        put(t, qkv, qkv->part[0].rows, f, CS_L2C_WK, l);
        put(t, qkv, qkv->part[0].rows + qkv->part[1].rows, f, CS_L2C_WV, l);
        put(t, cs_param_layer(t, l, CS_ROW_OUT), 0, f, CS_L2C_WO, l);
        put(t, cs_param_layer(t, l, CS_ROW_NORM2), 0, f, CS_L2C_FFN_NORM, l);
        put(t, gate_up, 0, f, CS_L2C_W1, l);
        put(t, gate_up, gate_up->part[0].rows, f, CS_L2C_W3, l);
        put(t, cs_param_layer(t, l, CS_ROW_DOWN), 0, f, CS_L2C_W2, l);
    }
    cs_param_touch(t);
    return m;
}

static double at(const void *logits, cs_dtype type, int64_t v)
{
    return type == CS_F64 ? ((const double *)logits)[v] : (double)((const float *)logits)[v];
}

typedef struct checker {
    const reference *r;
    cs_dtype type;
    const char *where;
    int64_t n_checked;
    double nll;
} checker;

static void near(const checker *c, int64_t pos, const char *what, double have, double want)
{
    if (!(fabs(have - want) <= 1e-4))
        fail_msg("%s, position %lld: %s is %.6f, expected %.6f", c->where, (long long)pos, what, have, want);
}

static cs_status check_position(void *user, int64_t pos, const void *logits, cs_error *err)
{
    checker *c = user;
    const json_t *want = json_array_get(json_object_get(c->r->json, "positions"), (size_t)pos), *first = json_object_get(want, "logits0_7");
    int64_t best = 0;
    double sum = 0;
    (void)err;
    assert_int_equal(json_integer_value(json_object_get(want, "pos")), pos);
    for (int64_t v = 1; v < V; v++)
        if (at(logits, c->type, v) > at(logits, c->type, best))
            best = v;
    for (int64_t v = 0; v < V; v++)
        sum += exp(at(logits, c->type, v) - at(logits, c->type, best));
    double lse = at(logits, c->type, best) + log(sum);
    assert_int_equal(best, json_integer_value(json_object_get(want, "argmax")));
    near(c, pos, "largest logit", at(logits, c->type, best), json_number_value(json_object_get(want, "max_logit")));
    near(c, pos, "logsumexp", lse, json_number_value(json_object_get(want, "logsumexp")));
    assert_int_equal(json_array_size(first), 8);
    for (size_t i = 0; i < 8; i++)
        near(c, pos, "one of the logits 0..7", at(logits, c->type, (int64_t)i), json_number_value(json_array_get(first, i)));
    if (pos + 1 < c->r->n) {
        double nll = lse - at(logits, c->type, c->r->ids[pos + 1]);
        near(c, pos, "loss", nll, json_number_value(json_object_get(want, "nll_next")));
        c->nll += nll;
    }
    c->n_checked++;
    return CS_OK;
}

static void check_table(const reference *r, const cs_kernels *table, bool pieces)
{
    cs_error err = {0};
    cs_engine e = {.model = make_model(r, table)};
    checker c = {r, table->acc, table->name, 0, 0};
    if (pieces) {
        must(cs_logits_each(&e, r->ids, r->n, 0, check_position, &c, &err), &err);
    } else {
        cs_rows rows;
        must(cs_rows_init(&rows, r->n, 1, &err), &err);
        cs_rows_add(&rows, r->ids, r->n, 0);
        cs_batch b = cs_rows_batch(&rows);
        size_t row_bytes = V * cs_dtype_size(table->acc);
        char *logits = cs_malloc((size_t)r->n * row_bytes);
        cs_model_logits(e.model, &b, NULL, NULL, 0, logits);
        for (int64_t i = 0; i < r->n; i++)
            check_position(&c, i, logits + (size_t)i * row_bytes, &err);
        cs_free(logits);
        cs_rows_release(&rows);
    }
    assert_int_equal(c.n_checked, r->n);
    near(&c, r->n, "mean loss", c.nll / (double)(r->n - 1), json_number_value(json_object_get(r->json, "mean_nll")));
    cs_model_destroy(e.model);
}

static void each(bool pieces)
{
    const cs_kernels *table[MAX_TABLES];
    int n = cs_kernels_all(table, MAX_TABLES), n_run = 0;
    reference r;
    reference_init(&r);
    for (int i = 0; i < n; i++)
        if (table[i]->store == CS_F32 || table[i]->store == CS_F64) {
            check_table(&r, table[i], pieces);
            n_run++;
        }
    assert_in_range(n_run, 2, MAX_TABLES);
    reference_release(&r);
}

static void test_whole(void **state)
{
    (void)state;
    each(false);
}

static void test_pieces(void **state)
{
    (void)state;
    each(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
