/* One operation of the kernel table against the f64 reference, for the kernel tests. An operation is declared once: its arrays and the call.
 * check_op runs it on every table with the same (rounded) inputs, compares with one tolerance per type, and asks for the same bits with one
 * and with two threads. */
#ifndef CS_TESTS_KERNEL_OP_H
#define CS_TESTS_KERNEL_OP_H

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/kernels.h"

enum { MAX_ARRAY = 8, MAX_TABLE = 32, MAX_SEQ = 8 };

/* How an array is made: storage or accumulate type in [-1,1], accumulate type in [0.5,1.5], logits, ids below `range`, row weights, f64. */
typedef enum kind { STORE, ACC, ACC_POS, LOGIT, ID, WEIGHT, F64 } kind;

typedef struct array {
    kind kind;
    int64_t n, range;
    bool out; /* compared after the call; any array may be read and written */
} array;

typedef struct dims {
    int64_t T, H, N;
    int flag;                       /* meaning given by the operation */
    int64_t heads, kv_heads, D;     /* attention */
    int n_seq;
    int64_t n_q[MAX_SEQ], n_k[MAX_SEQ];
} dims;

typedef struct op {
    const char *name;
    int (*arrays)(const dims *d, array *a);
    void (*run)(const cs_kernels *k, const dims *d, void **p);
} op;

/* The tolerance table: normalised mean square error by the type of the result. */
static double tolerance(cs_dtype t)
{
    return t == CS_F64 ? 1e-26 : t == CS_F32 ? 1e-12 : t == CS_F16 ? 1e-7 : 1e-5;
}

static cs_dtype array_dtype(const cs_kernels *k, kind kind)
{
    return kind == STORE ? k->store : kind == ID ? CS_I32 : kind == WEIGHT ? CS_F32 : kind == F64 ? CS_F64 : k->acc;
}

static double draw(const array *a, uint64_t site, int64_t i)
{
    double u = cs_rng_uniform(7, site, (uint64_t)i);
    switch (a->kind) {
    case ACC_POS:
        return 0.5 + u;
    case LOGIT:
        return 12 * u - 6;
    case ID:
        return floor(u * (double)a->range);
    case WEIGHT:
        return floor(3 * u) / 2;
    default:
        return 2 * u - 1;
    }
}

static void put(void *p, cs_dtype t, int64_t i, double x)
{
    switch (t) {
    case CS_F64:
        ((double *)p)[i] = x;
        break;
    case CS_F32:
        ((float *)p)[i] = (float)x;
        break;
    case CS_BF16:
        ((cs_bf16 *)p)[i] = cs_bf16_from_f32((float)x);
        break;
    case CS_F16:
        ((cs_f16 *)p)[i] = cs_f16_from_f32((float)x);
        break;
    default:
        ((int32_t *)p)[i] = (int32_t)x;
    }
}

static double get(const void *p, cs_dtype t, int64_t i)
{
    return t == CS_F64    ? ((const double *)p)[i]
           : t == CS_F32  ? ((const float *)p)[i]
           : t == CS_BF16 ? cs_bf16_to_f32(((const cs_bf16 *)p)[i])
           : t == CS_F16  ? cs_f16_to_f32(((const cs_f16 *)p)[i])
                          : ((const int32_t *)p)[i];
}

/* Arrays of `values_of`'s types, with the values that the table `round_as` would see. */
static void make_arrays(int n, const array *a, const cs_kernels *values_of, const cs_kernels *round_as, void **p)
{
    for (int i = 0; i < n; i++) {
        cs_dtype t = array_dtype(values_of, a[i].kind), via = array_dtype(round_as, a[i].kind);
        p[i] = cs_malloc((size_t)(a[i].n + 1) * cs_dtype_size(t));
        assert_non_null(p[i]);
        double rounded;
        for (int64_t j = 0; j < a[i].n; j++) {
            put(&rounded, via, 0, draw(&a[i], (uint64_t)i, j));
            put(p[i], t, j, get(&rounded, via, 0));
        }
    }
}

static void free_arrays(int n, void **p)
{
    for (int i = 0; i < n; i++)
        cs_free(p[i]);
}

static double nmse(const double *want, const void *got, cs_dtype t, int64_t n)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = get(got, t, i) - want[i];
        error += d * d;
        size += want[i] * want[i];
    }
    return error == 0 ? 0 : error / size;
}

static void check_op(const op *o, const dims *d, const cs_kernels *k)
{
    array a[MAX_ARRAY] = {0};
    int n = o->arrays(d, a);
    void *want[MAX_ARRAY], *one[MAX_ARRAY], *two[MAX_ARRAY];
    const cs_kernels *ref = cs_kernels_ref(CS_F64);
    make_arrays(n, a, ref, k, want);
    make_arrays(n, a, k, k, one);
    make_arrays(n, a, k, k, two);
    o->run(ref, d, want);
    omp_set_num_threads(1);
    o->run(k, d, one);
    omp_set_num_threads(2);
    o->run(k, d, two);
    for (int i = 0; i < n; i++) {
        cs_dtype t = array_dtype(k, a[i].kind);
        if (memcmp(one[i], two[i], (size_t)a[i].n * cs_dtype_size(t)) != 0)
            fail_msg("%s %s: array %d differs between 1 and 2 threads (T %ld H %ld N %ld D %ld flag %d)", k->name, o->name, i, (long)d->T,
                     (long)d->H, (long)d->N, (long)d->D, d->flag);
        double e = a[i].out ? nmse(want[i], one[i], t, a[i].n) : 0, bound = tolerance(a[i].kind == F64 ? k->acc : t);
        if (!(e <= bound))
            fail_msg("%s %s: array %d has NMSE %g, allowed %g (T %ld H %ld N %ld D %ld flag %d)", k->name, o->name, i, e, bound, (long)d->T,
                     (long)d->H, (long)d->N, (long)d->D, d->flag);
    }
    free_arrays(n, want);
    free_arrays(n, one);
    free_arrays(n, two);
}

static void check_all(const op *ops, int n_op, const dims *d, int n_dims)
{
    const cs_kernels *tables[MAX_TABLE];
    int n = cs_kernels_all(tables, MAX_TABLE);
    for (int t = 0; t < n; t++)
        for (int o = 0; o < n_op; o++)
            for (int i = 0; i < n_dims; i++)
                check_op(&ops[o], &d[i], tables[t]);
}

#endif
