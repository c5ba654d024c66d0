/* Saving and loading while calls fail on purpose: every n-th file call with each kind of failure, every n-th allocation, killed processes.
 * What must hold: the right status on every rank, nothing temporary left, the older checkpoint byte for byte as it was, and what has a name is
 * whole. */
#include "ckpt_world.h"

#include "base/failpoint.h"

#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

static void arm(const char *spec)
{
    cs_error err = {0};
    must(cs_failpoint_arm(spec, &err), &err);
}

typedef struct scene {
    char run[256], old_dir[300], new_dir[300];
    world w;
    cs_str old; /* snapshot of the older checkpoint */
} scene;

static void scene_init(scene *s)
{
    make_run(s->run, sizeof s->run);
    snprintf(s->old_dir, sizeof s->old_dir, "%s/iter_0000001", s->run);
    snprintf(s->new_dir, sizeof s->new_dir, "%s/iter_0000002", s->run);
    world_init(&s->w, small_spec(false), CS_BF16, 0, -1, 1, true);
    save(&s->w, s->run, 1);
    s->old = (cs_str){0};
    snapshot(s->old_dir, &s->old);
}

static void scene_release(scene *s)
{
    cs_str_release(&s->old);
    world_release(&s->w);
    remove_run(s->run);
}

/* After a save of iteration 2 that ended with `status`. */
static void check_after(const scene *s, cs_status status, const char *spec)
{
    cs_error err = {0};
    char *dir;
    if (count_names(s->run, ".tmp.") != 0)
        fail_msg("%s: something temporary is left", spec);
    assert_same_snapshot(&s->old, s->old_dir);
    bool there = cs_io_kind(s->new_dir, NULL) == CS_FILE_DIR;
    if (status == CS_OK && !there)
        fail_msg("%s: saved without an error, but it is not there", spec);
    if (there)
        must(cs_ckpt_verify(s->new_dir, &err), &err);
    must(cs_ckpt_resolve(s->run, true, &dir, &err), &err);
    cs_free(dir);
}

/* n = 1, 2, .. until 60 saves in a row went well: then the failing call lies behind the last one. */
static void loop_save(scene *s, const char *kind, cs_status bad)
{
    int quiet = 0, failures = 0;
    for (int n = 1; quiet < 60; n++) {
        char spec[64];
        cs_error err = {0};
        cs_ckpt_save_args a = save_args(&s->w, s->run, 2);
        int64_t held = cs_mem_bytes();
        snprintf(spec, sizeof spec, "%s@%d", kind, n);
        arm(spec);
        cs_status status = save_over(&a, cs_comm_self(), &err);
        arm(NULL);
        if (status != CS_OK && (status != bad || err.status != bad || !err.msg[0]))
            fail_msg("%s: status %d, message '%s'", spec, (int)status, err.msg);
        assert_int_equal(cs_mem_bytes(), held);
        check_after(s, status, spec);
        remove_run(s->new_dir);
        quiet = status == CS_OK ? quiet + 1 : 0;
        failures += status != CS_OK;
    }
    if (strstr(kind, "eio") || strstr(kind, "enospc") || strstr(kind, "mem"))
        assert_true(failures > 20);
    if (strstr(kind, "short"))
        assert_int_equal(failures, 0);
}

static void test_every_call_fails(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s);
    loop_save(&s, "io:enospc", CS_E_IO);
    loop_save(&s, "io:eio", CS_E_IO);
    loop_save(&s, "io:short", CS_E_IO);
    loop_save(&s, "io:eintr", CS_E_IO);
    loop_save(&s, "mem", CS_E_NOMEM);
    scene_release(&s);
}

/* A full disk stays full: every call from the n-th on fails, the clean-up's too. Nothing with a name may be damaged. */
static void test_full_disk(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s);
    for (int n = 1; n < 80; n++) {
        char spec[64];
        cs_error err = {0};
        cs_ckpt_save_args a = save_args(&s.w, s.run, 2);
        snprintf(spec, sizeof spec, "io:enospc@%d+", n);
        arm(spec);
        cs_status status = save_over(&a, cs_comm_self(), &err);
        arm(NULL);
        assert_true(status == CS_OK || status == CS_E_IO);
        cs_ckpt_prune_temps(s.run);
        check_after(&s, status, spec);
        remove_run(s.new_dir);
    }
    scene_release(&s);
}

typedef struct fault_arg {
    const scene *s;
    const char *spec;
    int rank; /* where it is armed */
} fault_arg;

static int save_with_fault(cs_comm *c, void *arg)
{
    const fault_arg *f = arg;
    cs_error err = {0};
    cs_ckpt_save_args a = save_args(&f->s->w, f->s->run, 2);
    char tag[16];
    if (cs_comm_rank(c) == f->rank)
        arm(f->spec);
    cs_status status = save_over(&a, c, &err);
    arm(NULL);
    snprintf(tag, sizeof tag, "rank %d", f->rank);
    if (status != CS_OK && (err.status != status || !strstr(err.msg, tag)))
        return 99;
    int64_t same[2] = {status, -(int64_t)status};
    cs_comm_allreduce_max(c, same, 2, CS_I64);
    return same[0] != -same[1] ? 98 : (int)status;
}

/* One of two ranks meets the failure: both say so, with that rank's message. */
static void test_one_rank_fails(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s);
    for (int rank = 0; rank < 2; rank++) {
        int failures = 0;
        for (int n = 1; n < 70; n += 3) {
            char spec[64];
            snprintf(spec, sizeof spec, "io:enospc@%d", n);
            fault_arg arg = {&s, spec, rank};
            int code = cs_launch(2, save_with_fault, &arg);
            if (code != CS_OK && code != CS_E_IO)
                fail_msg("%s on rank %d: exit code %d", spec, rank, code);
            check_after(&s, (cs_status)code, spec);
            remove_run(s.new_dir);
            failures += code != CS_OK;
        }
        assert_true(failures > 3);
    }
    scene_release(&s);
}

/* SIGKILL at every call of a kind: the old one stays, the new one is whole or absent, what is left over is pruned. */
static void test_killed(void **unused)
{
    (void)unused;
    static const char *const sites[] = {"open", "write", "fsync", "rename", "mkdir", "mmap", "unlink", "read"};
    scene s;
    int kills = 0;
    scene_init(&s);
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        int status = 1;
        for (int n = 1; n < 60 && status != 0; n++) {
            char spec[64];
            snprintf(spec, sizeof spec, "kill@%s:%d", sites[i], n);
            pid_t pid = fork();
            if (pid == 0) {
                cs_error err = {0};
                cs_ckpt_save_args a = save_args(&s.w, s.run, 2);
                a.keep = 2;
                arm(spec);
                _exit((int)save_over(&a, cs_comm_self(), &err));
            }
            assert_int_equal(waitpid(pid, &status, 0), pid);
            if (status != 0) {
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 9);
                kills++;
            }
            cs_ckpt_prune_temps(s.run);
            check_after(&s, status == 0 ? CS_OK : CS_E_IO, spec);
            remove_run(s.new_dir);
        }
    }
    assert_true(kills > 40);
    scene_release(&s);
}

static void test_loading_fails(void **unused)
{
    (void)unused;
    static const char *const kinds[] = {"io:eio", "io:short", "io:eintr", "mem"};
    scene s;
    world w;
    scene_init(&s);
    world_init(&w, s.w.spec, CS_BF16, 0, -1, 0, false);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int n = 1, quiet = 0; quiet < 40; n++) {
            char spec[64];
            cs_error err = {0};
            json_t *state = NULL;
            int64_t held = cs_mem_bytes();
            snprintf(spec, sizeof spec, "%s@%d", kinds[k], n);
            arm(spec);
            cs_status status = cs_ckpt_load_weights(s.old_dir, &w.spec, &w.table, true, &err);
            if (status == CS_OK)
                status = cs_ckpt_load_trainer(s.old_dir, &w.table, &w.opt, &state, &err);
            arm(NULL);
            json_decref(state);
            if (status != CS_OK && status != CS_E_IO && status != CS_E_NOMEM)
                fail_msg("%s: status %d, message '%s'", spec, (int)status, err.msg);
            assert_int_equal(cs_mem_bytes(), held);
            if (status == CS_OK)
                world_equal(&s.w, &w);
            quiet = status == CS_OK ? quiet + 1 : 0;
        }
    }
    world_release(&w);
    scene_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_fails), cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_one_rank_fails),
        cmocka_unit_test(test_killed),           cmocka_unit_test(test_loading_fails),
    };
    omp_set_num_threads(1); /* ranks are forked from here: no threads before that */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
