/* Ranks that are forked: exit codes, lost ranks, ranks that do not do the same, signals, orphans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "comm/comm.h"
#include "rank_check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int own_code(cs_comm *world, void *arg)
{
    int code = *(int *)arg;
    if (cs_comm_rank(world) == 1)
        return code;
    cs_comm_barrier(world); /* never comes */
    return 0;
}

/* stderr of `run` into text; returns its result. */
static int with_stderr(int (*run)(void), char *text, size_t size)
{
    FILE *f = tmpfile();
    int old = dup(2);
    dup2(fileno(f), 2);
    int result = run();
    dup2(old, 2);
    close(old);
    rewind(f);
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
    return result;
}

static int n_lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static int run_own_code(void)
{
    return cs_launch(3, own_code, &(int){CS_E_FORMAT});
}

static int run_early_leaver(void)
{
    return cs_launch(3, own_code, &(int){0});
}

static void test_exit_codes(void **state)
{
    (void)state;
    char text[2000];
    assert_int_equal(with_stderr(run_own_code, text, sizeof text), CS_E_FORMAT);
    assert_int_equal(n_lines(text), 0); /* who fails on its own has said why */
    assert_int_equal(with_stderr(run_early_leaver, text, sizeof text), CS_E_PEER);
    assert_int_equal(n_lines(text), 1);
    assert_non_null(strstr(text, "error[PEER]"));
    assert_non_null(strstr(text, "waits for rank 1"));
}

static int kill_one(cs_comm *world, void *arg)
{
    int *fd = arg; /* only the ranks and the parent hold the writing end */
    CHECK(write(fd[1], "r", 1) == 1);
    cs_comm_barrier(world);
    if (cs_comm_rank(world) == 1)
        raise(SIGKILL);
    if (cs_comm_rank(world) == 2)
        for (;;) /* busy outside of any collective */
            ;
    float x[4] = {0};
    for (;;)
        cs_comm_allreduce_sum(world, x, 4, CS_F32);
}

static int pipe_ends[2];

static int run_kill_one(void)
{
    return cs_launch(4, kill_one, pipe_ends);
}

static void test_killed_rank(void **state)
{
    (void)state;
    char text[2000];
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(with_stderr(run_kill_one, text, sizeof text), CS_E_PEER);
    assert_int_equal(n_lines(text), 1);
    assert_non_null(strstr(text, "rank 1 (process "));
    assert_non_null(strstr(text, "killed by signal 9"));
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* no child is left */
    assert_int_equal(errno, ECHILD);
    close(pipe_ends[1]);
    assert_int_equal(read(pipe_ends[0], text, 4), 4);
    assert_int_equal(read(pipe_ends[0], text, 1), 0); /* nor anybody else who holds the pipe */
    close(pipe_ends[0]);
}

static int disagree(cs_comm *world, void *arg)
{
    (void)arg;
    int64_t x = 0;
    if (cs_comm_rank(world) == 1)
        cs_comm_allreduce_sum(world, &x, 1, CS_I64);
    cs_comm_barrier(world);
    return 0;
}

static int run_disagree(void)
{
    return cs_launch(3, disagree, NULL);
}

static void test_order_differs(void **state)
{
    (void)state;
    char text[2000];
    assert_int_equal(with_stderr(run_disagree, text, sizeof text), CS_E_INTERNAL);
    assert_int_equal(n_lines(text), 1);
    assert_non_null(strstr(text, "ranks disagree"));
    assert_non_null(strstr(text, "rank 1"));
}

static int wrong_length(cs_comm *world, void *arg)
{
    (void)arg;
    char text[5] = {0};
    cs_xfer x = {0};
    if (cs_comm_rank(world) == 0)
        cs_comm_send_begin(world, text, 4, 1, 9, &x);
    else
        cs_comm_recv_begin(world, text, 5, 0, 9, &x);
    cs_comm_wait(&x);
    return 0;
}

static int run_wrong_length(void)
{
    return cs_launch(2, wrong_length, NULL);
}

static void test_wrong_length(void **state)
{
    (void)state;
    char text[2000];
    assert_int_equal(with_stderr(run_wrong_length, text, sizeof text), CS_E_INTERNAL);
    assert_int_equal(n_lines(text), 1);
    assert_non_null(strstr(text, "tag 9"));
    assert_non_null(strstr(text, "sent 4 bytes, rank 1 expects 5"));
}

static int wait_forever(cs_comm *world, void *arg)
{
    int *fd = arg;
    cs_comm_barrier(world);
    CHECK(write(fd[1], "r", 1) == 1);
    for (;;)
        pause();
}

/* SIGKILL of the parent leaves no rank behind: the pipe closes. */
static void test_no_orphans(void **state)
{
    (void)state;
    int fd[2];
    char c;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t parent = fork();
    if (parent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(cs_launch(3, wait_forever, fd));
    }
    close(fd[1]);
    for (int r = 0; r < 3; r++)
        assert_int_equal(read(fd[0], &c, 1), 1);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(fd[0], &c, 1), 0);
    close(fd[0]);
}

static volatile sig_atomic_t n_signals;

static void count_signal(int sig)
{
    (void)sig;
    n_signals++;
}

/* Each rank sees SIGUSR1 and then SIGTERM once, and ends with code 0. */
static int count_signals(cs_comm *world, void *arg)
{
    int *fd = arg;
    struct sigaction a = {.sa_handler = count_signal};
    sigset_t both, old;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGTERM);
    sigprocmask(SIG_BLOCK, &both, &old);
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    cs_comm_barrier(world);
    if (cs_comm_rank(world) == 0)
        CHECK(write(fd[1], "r", 1) == 1);
    while (n_signals < 2)
        sigsuspend(&old);
    cs_comm_barrier(world);
    return n_signals == 2 ? 0 : 98;
}

static void test_signals(void **state)
{
    (void)state;
    int fd[2], status;
    char c;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t parent = fork();
    if (parent == 0) {
        setpgid(0, 0);
        _exit(cs_launch(2, count_signals, fd));
    }
    assert_int_equal(read(fd[0], &c, 1), 1);
    kill(-parent, SIGUSR1); /* the whole group, as `timeout` and terminals do */
    kill(-parent, SIGTERM);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(fd[0]);
    close(fd[1]);
}

static int sum_ranks(cs_comm *world, void *arg)
{
    (void)arg;
    int n = cs_comm_size(world);
    float x[2] = {(float)(cs_comm_rank(world) + 1), 1};
    cs_comm_allreduce_sum(world, x, 2, CS_F32);
    return x[0] == (float)(n * (n + 1) / 2) && x[1] == (float)n ? 0 : 97;
}

/* The world's area passes the size of two huge pages from 5 ranks on. */
static void test_many_ranks(void **state)
{
    (void)state;
    static const int n[] = {5, 6, 8, 24};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        assert_int_equal(cs_launch(n[i], sum_ranks, NULL), 0);
}

static void test_usage(void **state)
{
    (void)state;
    assert_int_equal(cs_launch(-1, sum_ranks, NULL), CS_E_USAGE);
    assert_int_equal(cs_launch(1 << 20, sum_ranks, NULL), CS_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes), cmocka_unit_test(test_killed_rank), cmocka_unit_test(test_order_differs), cmocka_unit_test(test_no_orphans),
        cmocka_unit_test(test_signals),    cmocka_unit_test(test_usage),       cmocka_unit_test(test_many_ranks),    cmocka_unit_test(test_wrong_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
