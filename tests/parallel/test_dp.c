/* The data-parallel engine over a table of five odd-sized parameters: one rank against two and three, sharded optimizer state against whole.
 * The gradients are such that their sum over the ranks is exact, so that weights, master weights and norm must be equal in every bit;
 * and they are compared with a plain AdamW loop in f64. Also runs as one rank of an MPI job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "comm/comm.h"
#include "parallel/dp.h"
#include "rank_check.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <unistd.h>

enum { N_PARAMS = 5, N_STEPS = 3 };
static const int64_t sizes[N_PARAMS] = {4097, 63, 20011, 1, 9001};
static const double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0.1, clip = 0.25;

typedef struct fixture {
    cs_mesh mesh;
    cs_param row[CS_ROW_FIRST_LAYER];
    cs_param_group group[2]; /* of the first two parameters, of the others */
    cs_param_table table;
    cs_dp dp;
    double norm[N_STEPS];
} fixture;

static double first_value(int64_t i)
{
    return 0.05 * sin((double)i * 1.7 + 1);
}

/* Gradient of element i in a step, summed over all ranks: a small multiple of 2^-10. */
static double whole_grad(int64_t i, int step)
{
    return (double)((i * 37 + step * 101 + i * i % 13) % 1001 - 500) * 0x1p-10;
}

/* This rank's share: the last one brings what is missing. */
static double grad_part(int64_t i, int step, int rank, int size)
{
    double rest = whole_grad(i, step);
    for (int r = 0; r + 1 < size; r++) {
        double mine = (double)((i * 7 + r * 13 + step) % 101 - 50) * 0x1p-10;
        if (r == rank)
            return mine;
        rest -= mine;
    }
    return rest;
}

static void put(void *flat, int64_t i, cs_dtype t, double x)
{
    if (t == CS_F64)
        ((double *)flat)[i] = x;
    else if (t == CS_F32)
        ((float *)flat)[i] = (float)x;
    else
        ((cs_bf16 *)flat)[i] = cs_bf16_from_f32((float)x);
}

static double get(const void *flat, int64_t i, cs_dtype t)
{
    return t == CS_F64 ? ((const double *)flat)[i] : t == CS_F32 ? ((const float *)flat)[i] : cs_bf16_to_f32(((const cs_bf16 *)flat)[i]);
}

static double rate(int step)
{
    return step == 0 ? 0 : 1e-2 / step;
}

/* N_STEPS steps on a group; the caller reads weights and states and calls end(). */
static void train(fixture *f, cs_comm *group, cs_dtype store, bool shard)
{
    cs_error err = {0};
    *f = (fixture){.table = {.row = f->row, .n_rows = CS_ROW_FIRST_LAYER, .group = f->group, .n_groups = 2, .prec = cs_precision_of(store),
                             .place = {.tp = 1, .n_stages = 1}}};
    cs_param_table *t = &f->table;
    CHECK(cs_mesh_init(&f->mesh, group, 1, cs_comm_size(group), 1, &err) == CS_OK);
    for (int k = 0; k < N_PARAMS; k++) {
        f->row[k] = (cs_param){.name = "p", .in_group = k / 2 > 0, .n_parts = 1, .rows = 1, .cols = sizes[k], .decay = k % 2 == 0, .offset = t->n_elements, .n = sizes[k],
                               .weight.version = 1};
        t->n_elements += (sizes[k] + CS_PARAM_ALIGN - 1) / CS_PARAM_ALIGN * CS_PARAM_ALIGN;
    }
    f->group[0].hi = f->group[1].lo = f->row[2].offset;
    f->group[1].hi = t->n_elements;
    CHECK(cs_param_table_alloc(t, true, false, group, &err) == CS_OK);
    CHECK(cs_dp_init(&f->dp, t, cs_kernels_ref(store), &f->mesh, (cs_dp_policy){.shard_optim = shard}, &err) == CS_OK);
    for (int k = 0; k < N_PARAMS; k++)
        for (int64_t i = f->row[k].offset; i < f->row[k].offset + sizes[k]; i++) {
            put(t->store, i, store, first_value(i));
            cs_flat_range own;
            if (t->master != t->store && cs_flat_clip(t->master_range, t->n_master_ranges, i, i + 1, &own))
                put(t->master, own.at, t->prec.master, first_value(i));
        }
    cs_dp_adopt_weights(&f->dp);
    for (int step = 0; step < N_STEPS; step++) {
        bool finite;
        cs_dp_zero_grads(&f->dp);
        for (int k = 0; k < N_PARAMS; k++)
            for (int64_t i = f->row[k].offset; i < f->row[k].offset + sizes[k]; i++) {
                CHECK(get(t->grad, i, t->prec.acc) == 0);
                put(t->grad, i, t->prec.acc, grad_part(i, step, cs_comm_rank(group), cs_comm_size(group)));
            }
        cs_dp_reduce_grads(&f->dp);
        f->norm[step] = cs_dp_grad_norm(&f->dp, &finite);
        CHECK(finite);
        cs_update h = {.lr = rate(step), .beta1 = beta1, .beta2 = beta2, .eps = eps, .weight_decay = decay, .step = step + 1,
                       .grad_scale = clip / (f->norm[step] + 1e-6)};
        cs_dp_step(&f->dp, &h);
        CHECK(f->row[0].weight.version == (uint64_t)step + 2);
    }
}

static void end(fixture *f)
{
    cs_dp_release(&f->dp);
    CHECK(f->table.grad == NULL);
    cs_param_table_release(&f->table, NULL);
    cs_mesh_release(&f->mesh);
}

/* Weights, master weights and moments of `f` equal those of `one`, which has them whole. */
static void same_bits(const fixture *one, fixture *f)
{
    const cs_precision p = one->table.prec;
    cs_opt_state whole = cs_dp_opt_state((cs_dp *)&one->dp), part = cs_dp_opt_state(&f->dp);
    CHECK(whole.n == one->table.n_elements && whole.n_ranges == 1 && whole.replicated);
    CHECK(memcmp(one->table.store, f->table.store, (size_t)one->table.n_elements * cs_dtype_size(p.store)) == 0);
    CHECK((p.store == p.master) == (part.master == NULL));
    for (int64_t i = 0; i < part.n_ranges; i++) {
        const cs_flat_range *r = &part.range[i];
        size_t bytes = (size_t)(r->hi - r->lo) * cs_dtype_size(p.acc);
        CHECK(memcmp(cs_flat_at(whole.m, p.acc, r->lo), cs_flat_at(part.m, p.acc, r->at), bytes) == 0);
        CHECK(memcmp(cs_flat_at(whole.v, p.acc, r->lo), cs_flat_at(part.v, p.acc, r->at), bytes) == 0);
        if (part.master)
            CHECK(memcmp(cs_flat_at(whole.master, p.acc, r->lo), cs_flat_at(part.master, p.acc, r->at), bytes) == 0);
    }
    CHECK(memcmp(one->norm, f->norm, sizeof one->norm) == 0);
}

/* The published rule, element by element in f64. */
static void against_plain_loop(const fixture *f)
{
    const double tolerance = f->table.prec.store == CS_F64 ? 1e-14 : f->table.prec.store == CS_F32 ? 2e-7 : 4e-3;
    for (int step = 0; step < N_STEPS; step++) {
        double sum = 0;
        for (int k = 0; k < N_PARAMS; k++)
            for (int64_t i = f->row[k].offset; i < f->row[k].offset + sizes[k]; i++)
                sum += whole_grad(i, step) * whole_grad(i, step);
        CHECK(fabs(f->norm[step] - sqrt(sum)) <= 1e-12 * sqrt(sum));
    }
    for (int k = 0; k < N_PARAMS; k++)
        for (int64_t i = f->row[k].offset; i < f->row[k].offset + sizes[k]; i++) {
            double p = first_value(i), m = 0, v = 0;
            for (int step = 0; step < N_STEPS; step++) {
                double g = whole_grad(i, step) * clip / (f->norm[step] + 1e-6);
                p -= rate(step) * (k % 2 == 0 ? decay : 0) * p;
                m = beta1 * m + (1 - beta1) * g;
                v = beta2 * v + (1 - beta2) * g * g;
                p -= rate(step) * (m / (1 - pow(beta1, step + 1))) / (sqrt(v / (1 - pow(beta2, step + 1))) + eps);
            }
            double got = get(f->table.store, i, f->table.prec.store);
            CHECK(fabs(got - p) <= tolerance * (fabs(p) + 0.05));
        }
}

static void check_refusals(cs_comm *world)
{
    fixture f;
    cs_error err = {0};
    train(&f, cs_comm_self(), CS_F32, false);
    cs_dp other;
    (void)world;
    CHECK(cs_dp_init(&other, &f.table, cs_kernels_ref(CS_F32), &f.mesh, (cs_dp_policy){.shard_optim = true, .shard_param = true}, &err) == CS_E_USAGE);
    end(&f);
}

/* Inf or NaN on one rank is seen by all. */
static void check_finite(cs_comm *world)
{
    for (int shard = 0; shard < 2; shard++) {
        fixture f;
        bool finite;
        train(&f, world, CS_F32, shard);
        for (int k = 0; k < 3; k++) {
            cs_dp_zero_grads(&f.dp);
            if (cs_comm_rank(world) == cs_comm_size(world) - 1)
                put(f.table.grad, 100 + 15000 * k, CS_F32, k % 2 ? (double)NAN : (double)INFINITY);
            cs_dp_reduce_grads(&f.dp);
            cs_dp_grad_norm(&f.dp, &finite);
            CHECK(!finite);
        }
        end(&f);
    }
}

static int every_layout(cs_comm *world, void *arg)
{
    (void)arg;
    if (cs_comm_size(world) > 1)
        omp_set_num_threads(1); /* as the program does when there are as many ranks as cores */
    static const cs_dtype stores[] = {CS_F64, CS_F32, CS_BF16};
    for (int s = 0; s < 3; s++) {
        fixture one, many;
        train(&one, cs_comm_self(), stores[s], false);
        against_plain_loop(&one);
        for (int shard = 0; shard < 2; shard++) {
            train(&many, world, stores[s], shard);
            same_bits(&one, &many);
            if (shard && cs_comm_size(world) > 1)
                CHECK(many.dp.n_state < many.table.n_elements);
            end(&many);
        }
        end(&one);
    }
    check_finite(world);
    check_refusals(world);
    return 0;
}

static void test_layouts(void **state)
{
    (void)state;
    for (int n = 1; n <= 3; n++)
        assert_int_equal(cs_launch(n == 1 ? 4 : n, every_layout, NULL), 0);
}

/* Last, in this process: OpenMP starts threads, and no rank may be forked after that. */
static void test_alone(void **state)
{
    (void)state;
    assert_int_equal(cs_launch(1, every_layout, NULL), 0);
}

int main(void)
{
    if (cs_launch_under_mpi())
        return cs_launch(0, every_layout, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts), cmocka_unit_test(test_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
