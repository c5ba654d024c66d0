/* Edge cases of the matrix products in every table: block and tile borders, row strides, bias, beta, result types, repacking, threads. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tensor/kernels.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_TABLE = 32 };

typedef struct shape {
    int64_t T, N, K, pad; /* pad: elements between rows */
} shape;

/* All arrays of one problem; c is y, dx or dw, bound is the sum of absolute products behind each element of c. */
typedef struct problem {
    const cs_kernels *k;
    shape s;
    void *x, *w, *bias, *dy, *y, *dx;
    void *dw;
    cs_weight weight;
} problem;

static double get(const void *p, cs_dtype t, int64_t i)
{
    return t == CS_F64   ? ((const double *)p)[i]
           : t == CS_F32 ? ((const float *)p)[i]
           : t == CS_F16 ? cs_f16_to_f32(((const cs_f16 *)p)[i])
                         : cs_bf16_to_f32(((const cs_bf16 *)p)[i]);
}

static void put(void *p, cs_dtype t, int64_t i, double v)
{
    if (t == CS_F64)
        ((double *)p)[i] = v;
    else if (t == CS_F32)
        ((float *)p)[i] = (float)v;
    else if (t == CS_F16)
        ((cs_f16 *)p)[i] = cs_f16_from_f32((float)v);
    else
        ((cs_bf16 *)p)[i] = cs_bf16_from_f32((float)v);
}

static void *random_array(cs_dtype t, int64_t n, uint64_t site)
{
    void *p = cs_malloc((size_t)n * 8);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++)
        put(p, t, i, cs_rng_uniform(7, site, (uint64_t)i) - 0.5);
    return p;
}

static problem problem_create(const cs_kernels *k, shape s)
{
    problem p = {.k = k, .s = s};
    p.x = random_array(k->store, s.T * (s.K + s.pad), 1);
    p.w = random_array(k->store, s.N * (s.K + s.pad), 2);
    p.bias = random_array(k->store, s.N, 3);
    p.dy = random_array(k->store, s.T * (s.N + s.pad), 4);
    p.y = random_array(k->acc, s.T * (s.N + s.pad), 5);
    p.dx = random_array(k->store, s.T * (s.K + s.pad), 6);
    p.dw = random_array(k->acc, s.N * s.K, 7);
    p.weight = (cs_weight){.data = p.w, .dtype = k->store, .rows = s.N, .cols = s.K, .ld = s.K + s.pad, .version = 1};
    return p;
}

static void problem_free(problem *p)
{
    p->k->weight_release(&p->weight);
    assert_null(p->weight.pack[0]);
    assert_null(p->weight.pack[1]);
    void *all[] = {p->x, p->w, p->bias, p->dy, p->y, p->dx, p->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cs_free(all[i]);
}

/* A strided matrix: element (i, j) at p[i*row + j*col]. */
typedef struct mat {
    const void *p;
    int64_t row, col;
} mat;

/* Checks c[m,n] (row stride ldc, type t) against before + bias + a b^T in f64: rounding of the sum in the accumulate type grows with its
 * length, then one rounding to t. Elements between the rows must be as before. */
static void check(const problem *p, const char *what, int64_t m, int64_t n, int64_t len, mat a, mat b, const void *c, const void *before, int64_t ldc,
                  cs_dtype t, const void *bias, int beta)
{
    double eps = p->k->acc == CS_F64 ? 0x1p-52 : 0x1p-23, round = t == CS_F64 ? 0x1p-52 : t == CS_F32 ? 0x1p-23 : t == CS_F16 ? 0x1p-11 : 0x1p-8;
    cs_dtype s = p->k->store;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < ldc && i * ldc + j < (m - 1) * ldc + n; j++) {
            double got = get(c, t, i * ldc + j), old = get(before, t, i * ldc + j), sum = 0, mass = 0;
            if (j >= n) {
                if (got != old)
                    fail_msg("%s %s T%ld N%ld K%ld: wrote between rows at %ld,%ld", p->k->name, what, (long)p->s.T, (long)p->s.N, (long)p->s.K,
                             (long)i, (long)j);
                continue;
            }
            for (int64_t k = 0; k < len; k++) {
                double v = get(a.p, s, i * a.row + k * a.col) * get(b.p, s, j * b.row + k * b.col);
                sum += v;
                mass += fabs(v);
            }
            sum += (bias ? get(bias, s, j) : 0) + (beta ? old : 0);
            mass += 2;
            if (!(fabs(got - sum) <= (4 + sqrt((double)len)) * eps * mass + round * fabs(sum)))
                fail_msg("%s %s T%ld N%ld K%ld beta %d: %.9g at %ld,%ld, expected %.9g", p->k->name, what, (long)p->s.T, (long)p->s.N, (long)p->s.K,
                         beta, got, (long)i, (long)j, sum);
        }
}

static void *copy_of(const void *p, int64_t n)
{
    void *c = cs_malloc((size_t)n * 8);
    assert_non_null(c);
    memcpy(c, p, (size_t)n * 8);
    return c;
}

/* The three products of one problem, each against f64. */
static void check_problem(problem *p, int beta, bool with_bias, cs_dtype y_dtype)
{
    shape s = p->s;
    int64_t ldx = s.K + s.pad, ldy = s.N + s.pad;
    for (int64_t i = 0; y_dtype != p->k->acc && i < s.T * ldy; i++)
        put(p->y, y_dtype, i, cs_rng_uniform(7, 8, (uint64_t)i) - 0.5);
    void *y = copy_of(p->y, s.T * ldy), *dx = copy_of(p->dx, s.T * ldx), *dw = copy_of(p->dw, s.N * s.K);
    const void *bias = with_bias ? p->bias : NULL;
    p->k->gemm_fwd(s.T, p->x, ldx, &p->weight, bias, p->y, ldy, y_dtype, beta);
    check(p, "fwd", s.T, s.N, s.K, (mat){p->x, ldx, 1}, (mat){p->w, ldx, 1}, p->y, y, ldy, y_dtype, bias, beta);
    p->k->gemm_dgrad(s.T, p->dy, ldy, &p->weight, p->dx, ldx, beta);
    check(p, "dgrad", s.T, s.K, s.N, (mat){p->dy, ldy, 1}, (mat){p->w, 1, ldx}, p->dx, dx, ldx, p->k->store, NULL, beta);
    p->k->gemm_wgrad(s.T, s.N, s.K, p->dy, ldy, p->x, ldx, p->dw);
    check(p, "wgrad", s.N, s.K, s.T, (mat){p->dy, 1, ldy}, (mat){p->x, 1, ldx}, p->dw, dw, s.K, p->k->acc, NULL, 1);
    cs_free(y);
    cs_free(dx);
    cs_free(dw);
}

/* Around the register tiles (6, 14 rows; 16, 32 columns), the blocks of K (256, 512, 1024) and of columns (1024, 2048). */
static const shape shapes[] = {{1, 1, 1, 0},    {1, 33, 257, 3},  {2, 1, 513, 0},   {6, 16, 256, 1},    {7, 17, 255, 0}, {13, 31, 1025, 5},
                               {14, 32, 512, 0}, {15, 47, 63, 2},  {29, 1056, 40, 0}, {37, 5, 2085, 1}, {523, 18, 9, 0}, {1030, 3, 35, 3}};

static void test_borders(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    for (int t = 0; t < n; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            problem p = problem_create(tables[t], shapes[i]);
            check_problem(&p, i & 1, (i & 2) != 0, i % 3 ? p.k->store : p.k->acc);
            check_problem(&p, !(i & 1), (i & 2) == 0, i % 3 ? p.k->acc : p.k->store);
            problem_free(&p);
        }
}

/* dx and y after the values of W changed under a new version, for few and for many rows, and after a release. */
static void test_repack(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    for (int t = 0; t < n; t++) {
        problem p = problem_create(tables[t], (shape){40, 70, 33, 0});
        for (int round = 0; round < 4; round++) {
            check_problem(&p, 0, false, p.k->store);
            for (int64_t i = 0; i < p.s.N * p.s.K; i++)
                put(p.w, p.k->store, i, cs_rng_uniform(9, (uint64_t)round, (uint64_t)i) - 0.5);
            p.weight.version += 1 + (uint64_t)round;
            p.s.T = round & 1 ? 40 : 2;
            if (round == 2)
                p.k->weight_release(&p.weight);
        }
        problem_free(&p);
    }
}

/* Own products: the same bits for any number of threads, and for a row alone as among others. */
static void test_same_bits(void **state)
{
    (void)state;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE), max = omp_get_max_threads();
    enum { T = 203, N = 301, K = 1100 };
    for (int t = 0; t < n; t++) {
        if (!strstr(tables[t]->name, "own"))
            continue;
        cs_dtype s = tables[t]->store;
        problem p = problem_create(tables[t], (shape){T, N, K, 0});
        void *y0 = NULL, *dx0 = NULL, *dw0 = NULL, *dw = copy_of(p.dw, N * K);
        for (int threads = 1; threads <= 3; threads++) {
            omp_set_num_threads(threads);
            memcpy(p.dw, dw, (size_t)(N * K) * cs_dtype_size(p.k->acc));
            p.k->gemm_fwd(T, p.x, K, &p.weight, p.bias, p.y, N, s, 0);
            p.k->gemm_dgrad(T, p.dy, N, &p.weight, p.dx, K, 0);
            p.k->gemm_wgrad(T, N, K, p.dy, N, p.x, K, p.dw);
            if (threads == 1) {
                y0 = copy_of(p.y, T * N), dx0 = copy_of(p.dx, T * K), dw0 = copy_of(p.dw, N * K);
                continue;
            }
            assert_memory_equal(p.y, y0, T * N * cs_dtype_size(s));
            assert_memory_equal(p.dx, dx0, T * K * cs_dtype_size(s));
            assert_memory_equal(p.dw, dw0, N * K * cs_dtype_size(p.k->acc));
        }
        for (int64_t row = 0; row < T; row += 67) {
            p.k->gemm_fwd(1, (char *)p.x + row * K * (int64_t)cs_dtype_size(s), K, &p.weight, p.bias, p.y, N, s, 0);
            assert_memory_equal(p.y, (char *)y0 + row * N * (int64_t)cs_dtype_size(s), N * cs_dtype_size(s));
        }
        omp_set_num_threads(max);
        cs_free(y0), cs_free(dx0), cs_free(dw0), cs_free(dw);
        problem_free(&p);
    }
}

/* Without memory for a packed copy the results are still right. */
/* Without memory a product ends the process with exit code 5, or needs none and is right. */
static void test_no_memory(void **state)
{
    (void)state;
    int ended = 0;
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    for (int t = 0; t < n; t++) {
        problem p = problem_create(tables[t], (shape){9, 40, 50, 0});
        void *y = copy_of(p.y, 9 * 40);
        int status;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            cs_failpoint_arm("mem@1+", NULL);
            omp_set_num_threads(1); /* the team of the parent did not come along */
            p.k->gemm_fwd(9, p.x, 50, &p.weight, NULL, p.y, 40, p.k->store, 0);
            cs_failpoint_arm(NULL, NULL);
            check(&p, "fwd without memory", 9, 40, 50, (mat){p.x, 50, 1}, (mat){p.w, 50, 1}, p.y, y, 40, p.k->store, NULL, 0);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CS_E_NOMEM));
        ended += WEXITSTATUS(status) != 0;
        cs_free(y);
        problem_free(&p);
    }
    assert_true(n == 1 || ended > 0);
}

/* What `auto` chose can be asked for again and gives the same table. */
static void test_choice(void **state)
{
    (void)state;
    static const cs_dtype types[] = {CS_F32, CS_BF16, CS_F16};
    for (int i = 0; i < 3; i++) {
        const cs_kernels *a, *b;
        const char *chosen, *again;
        cs_error err;
        cs_kernels_request req = {types[i], "auto", "auto"};
        assert_int_equal(cs_kernels_select(&req, &a, &chosen, &err), CS_OK);
        req.gemm = chosen;
        assert_int_equal(cs_kernels_select(&req, &b, &again, &err), CS_OK);
        assert_string_equal(chosen, again);
        assert_ptr_equal(a, b);
        req.gemm = "best";
        assert_int_equal(cs_kernels_select(&req, &b, &again, &err), CS_E_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_borders), cmocka_unit_test(test_repack), cmocka_unit_test(test_same_bits),
                                       cmocka_unit_test(test_no_memory), cmocka_unit_test(test_choice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
