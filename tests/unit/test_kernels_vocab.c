/* A vocabulary cut over ranks: parts of uneven size, joined by hand, give the loss, gradients and embeddings of the whole; on every table. And logits
 * so large, small or infinite that careless code makes NaN of them. */
#include "kernel_op.h"

enum { T = 6, V = 1500, H = 19, MAX_PART = 3 };

static const float weight[T] = {1, 0.5f, 0, 1, 1, 1};
static const int32_t label[T] = {0, V - 1, -100, 700, 701, 3}; /* on the borders of the parts below, too */

typedef struct cut {
    int n;
    int64_t start[MAX_PART + 1];
} cut;

static const cut cuts[] = {{1, {0, V}}, {2, {0, 701, V}}, {3, {0, 3, 700, V}}, {3, {0, 4, 4, V}}, {2, {0, 0, V}}};
enum { N_CUT = sizeof cuts / sizeof *cuts };

/* Losses [T] and, as f64, gradients [T, V] of logits cut as c says: what the ranks of a tensor-parallel group do together. */
static void joined(const cs_kernels *k, const cut *c, const double *logits, double *loss, double *grad)
{
    static double part[T * V], out[T * V];
    static double top[MAX_PART][T], sum[MAX_PART][T], picked[MAX_PART][T];
    int32_t local[T];
    double lse[T];
    for (int gradient = 0; gradient < 2; gradient++) {
        for (int r = 0; r < c->n; r++) {
            int64_t lo = c->start[r], n = c->start[r + 1] - lo;
            for (int64_t t = 0; t < T; t++) {
                local[t] = (int32_t)(label[t] - lo);
                for (int64_t j = 0; j < n; j++)
                    put(part, k->acc, t * n + j, logits[t * V + lo + j]);
            }
            if (!gradient) {
                k->ce_stats(T, n, part, local, weight, top[r], sum[r], picked[r]);
                continue;
            }
            k->ce_grad(T, n, part, local, weight, 0.25, lse, out, n);
            for (int64_t i = 0; i < T * n; i++)
                grad[i / n * V + lo + i % n] = get(out, k->store, i);
        }
        for (int64_t t = 0; t < T && !gradient; t++) {
            double most = -INFINITY, total = 0, hit = 0;
            for (int r = 0; r < c->n; r++)
                most = fmax(most, top[r][t]);
            for (int r = 0; r < c->n; r++) {
                total += sum[r][t] * exp(top[r][t] - most);
                hit += picked[r][t];
            }
            lse[t] = most + log(total);
            loss[t] = (double)weight[t] * (lse[t] - hit);
        }
    }
}

static void test_parts(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    static double logits[T * V], want[T * V], got[T * V];
    double want_loss[T], loss[T];
    for (int i = 0; i < n; i++) {
        const cs_kernels *k = tables[i];
        for (int64_t j = 0; j < T * V; j++) {
            put(&logits[j], k->acc, 0, 12 * cs_rng_uniform(1, 2, (uint64_t)j) - 6);
            logits[j] = get(&logits[j], k->acc, 0);
        }
        joined(cs_kernels_ref(CS_F64), &cuts[0], logits, want_loss, want);
        for (int c = 0; c < N_CUT; c++) {
            joined(k, &cuts[c], logits, loss, got);
            double bound = k->store == CS_F64 ? 1e-12 : sqrt(tolerance(k->store));
            for (int64_t t = 0; t < T; t++)
                if (!(fabs(loss[t] - want_loss[t]) <= (k->acc == CS_F64 ? 1e-12 : 1e-6) * (1 + fabs(want_loss[t]))))
                    fail_msg("%s: cut %d, row %ld: loss %.15g, want %.15g", k->name, c, (long)t, loss[t], want_loss[t]);
            double error = 0, largest = 0;
            for (int64_t j = 0; j < T * V; j++) {
                error = fmax(error, fabs(got[j] - want[j]));
                largest = fmax(largest, fabs(want[j]));
            }
            if (!(error <= bound * largest))
                fail_msg("%s: cut %d: gradients differ by %g, largest %g", k->name, c, error, largest);
        }
    }
}

/* Row 0: huge and its label the largest; 1: very negative; 2: weight 0 and NaN; 3: all but the label -inf, 4: some -inf; 5: one huge among small. */
static void test_extremes(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    static double logits[T * V], grad[T * V];
    double loss[T];
    for (int64_t j = 0; j < V; j++) {
        logits[j] = j == label[0] ? 1e4 : -1e4;
        logits[V + j] = -1e4;
        logits[2 * V + j] = NAN;
        logits[3 * V + j] = j == label[3] ? 2 : -INFINITY;
        logits[4 * V + j] = j < 700 || j > 1100 ? -INFINITY : 1;
        logits[5 * V + j] = j == 1499 ? 1e4 : 0;
    }
    const double want[T] = {0, 0.5 * log(V), 0, 0, log(401), 1e4};
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < N_CUT; c++) {
            joined(tables[i], &cuts[c], logits, loss, grad);
            for (int64_t t = 0; t < T; t++)
                if (!(fabs(loss[t] - want[t]) <= 1e-6 * (1 + want[t])))
                    fail_msg("%s: cut %d, row %ld: loss %.15g, want %.15g", tables[i]->name, c, (long)t, loss[t], want[t]);
            for (int64_t j = 0; j < T * V; j++)
                if (!isfinite(grad[j]))
                    fail_msg("%s: cut %d: gradient %ld is %g", tables[i]->name, c, (long)j, grad[j]);
        }
    }
}

/* A part without any finite logit: statistics that vanish in the join. */
static void test_empty(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    static double logits[T * V];
    double top[T], sum[T], picked[T];
    for (int i = 0; i < n; i++) {
        for (int64_t j = 0; j < T * V; j++)
            put(logits, tables[i]->acc, j, -INFINITY);
        for (int64_t cols = 0; cols <= V; cols += V) {
            const int32_t away[T] = {-1, (int32_t)cols, INT32_MIN, INT32_MAX, -100, (int32_t)cols + 1};
            tables[i]->ce_stats(T, cols, logits, away, weight, top, sum, picked);
            for (int64_t t = 0; t < T; t++) {
                assert_true(top[t] == (weight[t] != 0 ? -INFINITY : 0));
                assert_true(sum[t] == (weight[t] != 0 ? 0 : 1));
                assert_true(picked[t] == 0);
            }
        }
    }
}

/* Parts of an embedding: a row lies in one part and is zeros in the others; gradients go to that part, and to no row beside it. */
static void test_embedding(void **state)
{
    (void)state;
    static const int32_t ids[T] = {0, V - 1, 700, 701, 3, 700};
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    static double w[V * H], whole[T * H], part[T * H], dw[V * H], dpart[V * H];
    for (int i = 0; i < n; i++) {
        const cs_kernels *k = tables[i];
        size_t s = cs_dtype_size(k->store), a = cs_dtype_size(k->acc);
        for (int64_t j = 0; j < V * H; j++)
            put(w, k->store, j, cs_rng_uniform(4, 1, (uint64_t)j) + 0.5);
        memset(dw, 0, sizeof dw);
        k->embed_fwd(T, H, V, 0, ids, w, whole);
        k->embed_bwd(T, H, V, 0, ids, whole, dw);
        for (int64_t t = 0; t < T; t++)
            assert_memory_equal((char *)whole + (size_t)(t * H) * s, (char *)w + (size_t)(ids[t] * H) * s, H * s);
        for (int c = 0; c < N_CUT; c++) {
            memset(dpart, 0, sizeof dpart);
            for (int r = 0; r < cuts[c].n; r++) {
                int64_t lo = cuts[c].start[r], hi = cuts[c].start[r + 1];
                memset(part, 0xff, sizeof part);
                k->embed_fwd(T, H, hi - lo, lo, ids, (char *)w + (size_t)(lo * H) * s, part);
                k->embed_bwd(T, H, hi - lo, lo, ids, whole, (char *)dpart + (size_t)(lo * H) * a);
                for (int64_t j = 0; j < T * H; j++)
                    assert_true(get(part, k->store, j) == (ids[j / H] >= lo && ids[j / H] < hi ? get(whole, k->store, j) : 0));
            }
            assert_memory_equal(dpart, dw, sizeof dw);
        }
    }
}

/* The same bits on one and two threads, and the tolerance table, on sizes that fill both. */
static int ce_arrays(const dims *d, array *a)
{
    a[0] = (array){.kind = LOGIT, .n = d->T * d->N};
    a[1] = (array){.kind = ID, .n = d->T, .range = d->N + 9};
    a[2] = (array){.kind = WEIGHT, .n = d->T};
    for (int i = 3; i < 6; i++)
        a[i] = (array){.kind = F64, .n = d->T, .out = true};
    a[6] = (array){.kind = STORE, .n = d->T * d->N, .out = true};
    return 7;
}

static void ce_run(const cs_kernels *k, const dims *d, void **p)
{
    k->ce_stats(d->T, d->N, p[0], p[1], p[2], p[3], p[4], p[5]);
    k->ce_grad(d->T, d->N, p[0], p[1], p[2], 4, p[3], p[6], d->N);
}

static void test_threads(void **state)
{
    (void)state;
    static const op ops[] = {{"ce_stats, ce_grad", ce_arrays, ce_run}};
    static const dims d[] = {{.T = 40, .N = 2100}, {.T = 33, .N = 1024}, {.T = 3, .N = 33000}};
    check_all(ops, 1, d, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_extremes), cmocka_unit_test(test_empty), cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_embedding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
