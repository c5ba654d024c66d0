/* The loss module with the head's rows split over 1, 2 and 3 ranks, unevenly, against one rank that has them all: the loss, dx summed over the ranks
 * (a sum that the caller makes), and every gradient of the head; f64, 1e-12. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "nn/loss.h"

enum { ROWS = 53, HIDDEN = 7, VOCAB = 37 };

typedef struct side {
    cs_mesh mesh;
    cs_arena scratch, stash;
    int64_t lo, n;
    double dw[VOCAB * HIDDEN], dx[ROWS * HIDDEN], loss;
} side;

/* Rows [lo, lo+n) of the head on a rank: thirds and halves, but the first rank has two rows more. */
static void run_side(side *s, cs_comm *world, double *w, double *x, const cs_batch *batch, double scale)
{
    int size = cs_comm_size(world), rank = cs_comm_rank(world);
    int64_t each = VOCAB / size, most = size == 1 ? VOCAB : each + 2;
    memset(s, 0, sizeof *s);
    s->lo = rank == 0 ? 0 : rank * each + 2;
    s->n = (rank == size - 1 ? VOCAB : (rank + 1) * each + 2) - s->lo;
    CS_ASSERT(cs_mesh_init(&s->mesh, world, size, 1, 1, NULL) == CS_OK);
    cs_arena_init(&s->scratch, "scratch");
    cs_arena_init(&s->stash, "stash");
    const cs_ctx ctx = {.k = cs_kernels_ref(CS_F64), .prec = cs_precision_of(CS_F64), .mesh = &s->mesh, .batch = batch, .scratch = &s->scratch,
                        .stash = &s->stash};
    cs_weight head = {.data = w + s->lo * HIDDEN, .dtype = CS_F64, .rows = s->n, .cols = HIDDEN, .ld = HIDDEN, .version = 1};
    const cs_loss loss = {.head = {.w = &head, .dw = s->dw + s->lo * HIDDEN}, .first = s->lo, .most = most};
    cs_loss_saved saved;
    cs_tensor rows = cs_tensor_2d(x, CS_F64, ROWS, HIDDEN);
    s->loss = cs_loss_forward(&loss, &ctx, rows, scale, &saved);
    CS_ASSERT(s->loss == cs_loss_forward(&loss, &ctx, rows, 0, NULL));
    cs_loss_backward(&loss, &ctx, &saved, cs_tensor_2d(s->dx, CS_F64, ROWS, HIDDEN));
    ctx.k->weight_release(&head);
    cs_arena_release(&s->scratch);
    cs_arena_release(&s->stash);
    cs_mesh_release(&s->mesh);
}

static int compare(const char *what, const double *got, const double *want, int64_t n)
{
    double error = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        error = fmax(error, fabs(got[i] - want[i]));
        largest = fmax(largest, fabs(want[i]));
    }
    if (error <= 1e-12 * largest && largest > 0)
        return 0;
    fprintf(stderr, "%s: difference %g, largest %g\n", what, error, largest);
    return 1;
}

static int rank_main(cs_comm *world, void *arg)
{
    (void)arg;
    static side many, one;
    static double w[VOCAB * HIDDEN], x[ROWS * HIDDEN];
    int32_t labels[ROWS];
    float weights[ROWS];
    omp_set_num_threads(1);
    for (int64_t i = 0; i < VOCAB * HIDDEN; i++)
        w[i] = 3 * cs_rng_normal(1, 1, (uint64_t)i);
    for (int64_t i = 0; i < ROWS * HIDDEN; i++)
        x[i] = cs_rng_normal(1, 2, (uint64_t)i);
    for (int i = 0; i < ROWS; i++) {
        weights[i] = i % 7 == 3 ? 0.0f : i % 5 == 1 ? 0.5f : 1.0f;
        labels[i] = weights[i] == 0 ? -100 : (i * 11 + 5) % VOCAB;
    }
    const cs_batch batch = {.rows = ROWS, .labels = labels, .weights = weights};
    run_side(&many, world, w, x, &batch, 0.37);
    run_side(&one, cs_comm_self(), w, x, &batch, 0.37);
    double all = many.loss; /* the same bits on every rank */
    cs_comm_broadcast(world, &all, sizeof all, 0);
    return compare("loss", &many.loss, &one.loss, 1) + compare("dx", many.dx, one.dx, ROWS * HIDDEN) + !(all == many.loss) +
           compare("head", many.dw + many.lo * HIDDEN, one.dw + many.lo * HIDDEN, many.n * HIDDEN);
}

static void test_vocabulary_split(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 3; ranks++)
        assert_int_equal(cs_launch(ranks, rank_main, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vocabulary_split)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
