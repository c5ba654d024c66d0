/* Checkpoints between layouts, in f64: two steps at layout A, saved; loaded at layout B and saved again there, which must give the same bytes of
 * weights and optimizer state; and one more step at B, whose loss and gradient norm must be those of one rank that trained on without a break. All
 * ordered pairs of the layouts below, for a model with separate query, key and value (AdamW) and one with them in one tensor and a tied head
 * (gradient descent with momentum). */
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/io.h"
#include "ckpt/ckpt.h"
#include "layout_side.h"

#include <unistd.h>

static const double bound = 1e-10;

/* KIND, TP, PP, VIRTUAL, DP, SP, ZERO, RECOMPUTE, SCHEDULE, RULE */
static const combo layouts[] = {
    {{0}}, {{0, 1}}, {{0, 0, 2, 1}}, {{0, 1, 1, 0, 1, 1, 1}}, {{0, 2, 0, 0, 1, 0, 3}}, {{0, 0, 0, 0, 2, 0, 2}}, {{0, 1, 1, 1, 1, 0, 0, 2, 1}},
};
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts };

typedef struct job {
    combo c;
    const char *from, *to; /* run folders; from NULL = start anew */
    int first, steps;      /* steps of the whole run that are done before and by this job */
    double *loss, *norm;   /* of the last step */
    bool save_first;       /* before the steps, not after them */
} job;

static cs_status save(side *s, const char *run, cs_error *err)
{
    const cs_opt_state opt = cs_dp_opt_state(&s->dp);
    const cs_ckpt_save_args args = {.run_dir = run, .iteration = 2, .spec = &s->spec, .table = &s->m->table, .opt = &opt, .state_json = "{}\n"};
    return cs_ckpt_save(&args, &s->mesh, err);
}

static cs_status load(side *s, const char *run, cs_error *err)
{
    char dir[512];
    json_t *state;
    cs_opt_state opt = cs_dp_opt_state(&s->dp);
    snprintf(dir, sizeof dir, "%s/iter_0000002", run);
    CS_TRY(cs_ckpt_load_weights(dir, &s->spec, &s->m->table, true, err));
    CS_TRY(cs_ckpt_load_trainer(dir, &s->m->table, &opt, &state, err));
    json_decref(state);
    return CS_OK;
}

static int rank_main(cs_comm *world, void *arg)
{
    const job *j = arg;
    cs_error err = {0};
    side s = {0};
    omp_set_num_threads(1);
    cs_status status = cs_agree(world, open_side(&s, &j->c, world, &err), &err);
    if (status == CS_OK && j->from)
        status = cs_agree(world, load(&s, j->from, &err), &err);
    if (status == CS_OK && j->save_first)
        status = save(&s, j->to, &err);
    for (int step = j->first; status == CS_OK && step < j->first + j->steps; step++) {
        double norm, loss = run_step(&s, step, &norm);
        update(&s, step, norm);
        if (cs_comm_rank(world) == 0) {
            *j->loss = loss;
            *j->norm = norm;
        }
    }
    if (status == CS_OK && j->to && !j->save_first)
        status = save(&s, j->to, &err);
    if (status != CS_OK)
        cs_error_print(&err);
    close_side(&s);
    return status;
}

static void launch(const job *j)
{
    assert_int_equal(cs_launch(layout_of(&j->c).world, rank_main, (void *)j), 0);
}

static void same_file(const char *a, const char *b, const char *name)
{
    char path[2][600];
    uint8_t *data[2];
    size_t n[2];
    cs_error err;
    snprintf(path[0], sizeof path[0], "%s/iter_0000002/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/iter_0000002/%s", b, name);
    for (int i = 0; i < 2; i++)
        assert_int_equal(cs_io_read_all(path[i], 1 << 30, &data[i], &n[i], &err), CS_OK);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(data[0], data[1], n[0]);
    cs_free(data[0]);
    cs_free(data[1]);
}

static void all_pairs(int kind)
{
    char base[64], dir[N_LAYOUTS + 1][128];
    double *out = cs_launch_share(4 * sizeof *out);
    assert_non_null(out);
    snprintf(base, sizeof base, "/tmp/cs_reshard_XXXXXX");
    assert_non_null(mkdtemp(base));
    for (int i = 0; i <= N_LAYOUTS; i++)
        snprintf(dir[i], sizeof dir[i], "%s/%d", base, i);
    launch(&(job){.c = {.at = {[KIND] = kind, [RULE] = kind}}, .steps = 3, .loss = out, .norm = out + 1});
    int n = getenv("CS_SANITIZED") ? 3 : N_LAYOUTS;
    for (int a = 0; a < n; a++) {
        combo from = layouts[a];
        from.at[KIND] = from.at[RULE] = kind;
        launch(&(job){.c = from, .to = dir[a], .steps = 2, .loss = out + 2, .norm = out + 3});
        for (int b = 0; b < n; b++) {
            combo to = layouts[b];
            to.at[KIND] = to.at[RULE] = kind;
            launch(&(job){.c = to, .from = dir[a], .to = dir[N_LAYOUTS], .save_first = true, .first = 2, .steps = 1, .loss = out + 2, .norm = out + 3});
            same_file(dir[a], dir[N_LAYOUTS], "model.safetensors");
            same_file(dir[a], dir[N_LAYOUTS], "trainer/optimizer.safetensors");
            if (!(fabs(out[2] - out[0]) <= bound * out[0]) || !(fabs(out[3] - out[1]) <= bound * out[1]))
                fail_msg("saved at layout %d, resumed at %d: loss %.17g, %.17g without a break; norm %.17g, %.17g", a, b, out[2], out[0], out[3], out[1]);
        }
    }
    cs_error err;
    assert_int_equal(cs_io_remove_tree(base, &err), CS_OK);
    cs_launch_unshare(out, 4 * sizeof *out);
}

static void test_llama(void **state)
{
    (void)state;
    all_pairs(0);
}

static void test_bloom(void **state)
{
    (void)state;
    all_pairs(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama), cmocka_unit_test(test_bloom)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
