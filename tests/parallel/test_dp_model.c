/* Data parallel training of a whole model against one rank: the same four sequences with uneven loss masks, split over 2 and 4 ranks or all on one.
 * Compared are the loss, the gradient norm, EVERY gradient after the first step and every weight after three (AdamW with clipping active);
 * ZeRO 0 and 1. f64: 1e-10 of the tensor's largest entry; f32: 1e-5. Every rank computes the one-rank run by itself and compares. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "optim/optimizer.h"
#include "parallel/dp.h"

enum { SEQ = 9, N_SEQ = 4, STEPS = 3, VOCAB = 37 };

typedef struct job {
    cs_dtype store;
    bool shard;
    double bound;
} job;

typedef struct side {
    cs_model *m;
    cs_dp dp;
    cs_mesh mesh;
    double loss, norm;
} side;

static cs_status open_side(side *s, cs_comm *world, const job *j, cs_error *err)
{
    const cs_spec spec = {.family = cs_families[0], .vocab_size = VOCAB, .hidden = 24, .ffn = 29, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2,
                          .head_dim = 6, .max_pos = SEQ, .norm_eps = 1e-5, .rope_theta = 10000, .init_std = 0.2, .bos = -1, .eos = -1, .pad = -1};
    CS_TRY(cs_mesh_init(&s->mesh, world, 1, cs_comm_size(world), 1, err));
    const cs_model_options opt = {.kernels = {j->store, "auto", "own"}, .training = true, .n_pos = SEQ, .mesh = &s->mesh};
    CS_TRY(cs_model_create(&spec, &opt, &s->m, err));
    CS_TRY(cs_dp_init(&s->dp, &s->m->table, s->m->k, &s->mesh, (cs_dp_policy){.shard_optim = j->shard}, err));
    cs_model_bind_grad(s->m, s->m->table.grad);
    cs_param_table_fill(&s->m->table, 5);
    cs_dp_adopt_weights(&s->dp);
    return CS_OK;
}

static void close_side(side *s)
{
    cs_dp_release(&s->dp);
    cs_model_destroy(s->m);
    cs_mesh_release(&s->mesh);
}

/* Sequence q of step `step`: tokens from a fixed pattern, masks of different lengths. */
static double run_sequence(side *s, int step, int q, double scale)
{
    int32_t tokens[SEQ], labels[SEQ], pos[SEQ];
    float weights[SEQ];
    const int64_t start[] = {0, SEQ};
    for (int i = 0; i < SEQ; i++) {
        tokens[i] = (int32_t)((i * i + 7 * q + 11 * step) % VOCAB);
        labels[i] = (int32_t)((i * i + 2 * i + 1 + 7 * q + 11 * step) % VOCAB);
        pos[i] = i;
        weights[i] = i >= 2 * q ? 1.0f : 0.0f;
    }
    const cs_batch b = {.rows = SEQ, .n_seq = 1, .seq_start = start, .tokens = tokens, .labels = labels, .weights = weights, .pos = pos};
    return scale * cs_model_loss_backward(s->m, &b, scale);
}

static void one_step(side *s, int step, bool update)
{
    const cs_optimizer_options o = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-5, .weight_decay = 0.1, .clip_grad = 0.5};
    cs_comm *group = s->mesh.group[CS_AXIS_DP];
    int size = cs_comm_size(group), rank = cs_comm_rank(group);
    bool finite;
    double tokens = 0;
    for (int q = 0; q < N_SEQ; q++)
        tokens += SEQ - 2 * q;
    s->loss = 0;
    cs_dp_zero_grads(&s->dp);
    for (int q = rank * N_SEQ / size; q < (rank + 1) * N_SEQ / size; q++)
        s->loss += run_sequence(s, step, q, 1 / tokens);
    cs_comm_allreduce_sum(group, &s->loss, 1, CS_F64);
    cs_dp_reduce_grads(&s->dp);
    s->norm = cs_dp_grad_norm(&s->dp, &finite);
    if (!update)
        return;
    const cs_update h = cs_optimizer_step_args(&o, 1e-2, step + 1, cs_clip_scale(o.clip_grad, s->norm));
    cs_dp_step(&s->dp, &h);
}

static double value_at(const void *flat, cs_dtype t, int64_t i)
{
    return t == CS_F64 ? ((const double *)flat)[i] : (double)((const float *)flat)[i];
}

/* Largest difference over the tensor's largest entry, of the elements of every tensor that lie in the ranges. */
static int compare(const char *what, const side *a, const void *x, const void *y, cs_dtype t, const cs_flat_range *range, int64_t n_ranges, double bound)
{
    int bad = 0;
    for (int64_t i = 0; i < cs_param_n_views(&a->m->table); i++) {
        cs_param_view v = cs_param_view_at(&a->m->table, i);
        double largest = 0, difference = 0;
        cs_flat_range own = {0};
        cs_flat_clip(range, n_ranges, v.offset, v.offset + v.n, &own);
        for (int64_t k = v.offset; k < v.offset + v.n; k++)
            largest = fmax(largest, fabs(value_at(y, t, k)));
        for (int64_t k = own.lo; k < own.hi; k++)
            difference = fmax(difference, fabs(value_at(x, t, k) - value_at(y, t, k)));
        if (!(difference <= bound * largest)) {
            fprintf(stderr, "%s of %s: difference %g, largest entry %g\n", what, v.name, difference, largest);
            bad++;
        }
    }
    return bad;
}

static int rank_main(cs_comm *world, void *arg)
{
    const job *j = arg;
    cs_error err = {0};
    side many, one;
    omp_set_num_threads(1);
    if (cs_agree(world, open_side(&many, world, j, &err), &err) != CS_OK || open_side(&one, cs_comm_self(), j, &err) != CS_OK) {
        cs_error_print(&err);
        return 1;
    }
    cs_dtype acc = many.m->prec.acc;
    const cs_opt_state opt = cs_dp_opt_state(&many.dp);
    const cs_flat_range all = {0, many.m->table.n_elements, 0};
    one_step(&many, 0, false);
    one_step(&one, 0, false);
    int bad = compare("gradient", &many, many.m->table.grad, one.m->table.grad, acc, opt.range, opt.n_ranges, j->bound);
    for (int step = 0; step < STEPS; step++) {
        one_step(&many, step, true);
        one_step(&one, step, true);
        bad += !(fabs(many.loss - one.loss) <= j->bound * one.loss) + !(fabs(many.norm - one.norm) <= j->bound * one.norm);
        bad += !(one.norm > 0.5); /* clipping is active, or this shows less than it says */
    }
    bad += compare("weight", &many, many.m->table.store, one.m->table.store, many.m->prec.store, &all, 1, 10 * j->bound);
    close_side(&many);
    close_side(&one);
    return bad ? 1 : 0;
}

static void run_job(cs_dtype store, double bound)
{
    for (int ranks = 2; ranks <= 4; ranks += 2)
        for (int shard = 0; shard < 2; shard++) {
            job j = {store, shard != 0, bound};
            assert_int_equal(cs_launch(ranks, rank_main, &j), 0);
        }
}

static void test_f64(void **state)
{
    (void)state;
    run_job(CS_F64, 1e-10);
}

static void test_f32(void **state)
{
    (void)state;
    run_job(CS_F32, 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f64), cmocka_unit_test(test_f32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
