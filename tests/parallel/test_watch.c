/* Ranks that do not agree: on texts that are to be the same, and, where operations are compared, on what they do next. */
#include "comm/comm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct verdict {
    int n;
    const char *text[4]; /* by rank */
    char said[4][sizeof ((cs_error *)0)->msg];
    int status[4];
} verdict;

static int compare(cs_comm *world, void *arg)
{
    verdict *v = arg;
    int rank = cs_comm_rank(world);
    cs_error err = {0};
    v->status[rank] = cs_comm_check_same(world, v->text[rank], &err);
    memcpy(v->said[rank], err.msg, sizeof err.msg);
    return 0;
}

/* What all n ranks hear; "" = they agree. */
static void expect_verdict(int n, const char *const *text, const char *words)
{
    verdict *v = cs_launch_share(sizeof *v);
    assert_non_null(v);
    v->n = n;
    memcpy(v->text, text, (size_t)n * sizeof *text);
    assert_int_equal(cs_launch(n, compare, v), 0);
    for (int r = 0; r < n; r++) {
        assert_int_equal(v->status[r], words[0] ? CS_E_USAGE : CS_OK);
        if (words[0] && !strstr(v->said[r], words))
            fail_msg("rank %d: \"%s\" lacks \"%s\"", r, v->said[r], words);
    }
    cs_launch_unshare(v, sizeof *v);
}

static void test_texts(void **state)
{
    (void)state;
    const char *const base = "lr 0.1\nseed 1\n";
    expect_verdict(2, (const char *const[]){base, base}, "");
    expect_verdict(4, (const char *const[]){base, base, "lr 0.1\nseed 2\n", base}, "seed is 2 on rank 2, but 1 on ranks 0, 1, 3");
    expect_verdict(4, (const char *const[]){"lr 0.2\nseed 1\n", base, base, base}, "lr is 0.2 on rank 0, but 0.1 on ranks 1-3");
    expect_verdict(2, (const char *const[]){base, "lr 0.1\nseed 10\n"}, "seed is 10 on rank 1, but 1 on rank 0"); /* nobody is right: both are named */
    expect_verdict(3, (const char *const[]){base, base, "lr 0.1\nextra x\nseed 1\n"}, "extra");
    expect_verdict(3, (const char *const[]){base, base, ""}, "rank 2");
}

/* Rank 1 sums half of what the others sum. */
static int sum_less(cs_comm *world, void *arg)
{
    (void)arg;
    float x[8] = {0};
    cs_comm_set_check(world, true);
    cs_comm_allreduce_sum(world, x, cs_comm_rank(world) == 1 ? 4 : 8, CS_F32);
    return 0;
}

/* Rank 2 goes another way. */
static int other_way(cs_comm *world, void *arg)
{
    (void)arg;
    int64_t x = 0;
    cs_xfer under_way = {0};
    cs_comm_set_check(world, true);
    if (cs_comm_rank(world) == 2)
        cs_comm_broadcast(world, &x, sizeof x, 0);
    else
        cs_comm_allreduce_sum_begin(world, &x, 1, CS_I64, &under_way);
    cs_comm_wait(&under_way);
    return 0;
}

/* Rank 0 never comes. */
static int stay_away(cs_comm *world, void *arg)
{
    (void)arg;
    cs_comm_set_deadline(world, "test", 5, 0.5);
    if (cs_comm_rank(world) == 0)
        for (;;)
            pause();
    cs_comm_barrier(world);
    return 0;
}

/* The exit code of three ranks, whose stderr goes to text. */
static int run_and_read(cs_rank_main rank_main, char *text, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    int old = dup(2);
    dup2(fileno(file), 2);
    int code = cs_launch(3, rank_main, NULL);
    dup2(old, 2);
    close(old);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
    return code;
}

static void expect_words(cs_rank_main rank_main, int code, const char *const *words)
{
    static char text[1 << 16];
    int got = run_and_read(rank_main, text, sizeof text);
    const char *second = strstr(text, "error[");
    if (got != code || !second || strstr(second + 1, "error["))
        fail_msg("exit code %d, expected %d; %s", got, code, text);
    for (; *words; words++)
        if (!strstr(text, *words))
            fail_msg("\"%s\" lacks \"%s\"", text, *words);
}

static void test_operations(void **state)
{
    (void)state;
    expect_words(sum_less, CS_E_INTERNAL, (const char *const[]){"ranks disagree: rank 1 in all-reduce (sum) no. 1 of 16 bytes", "in sum_less",
                                                                "ranks 0, 2 in all-reduce (sum) no. 1 of 32 bytes", NULL});
    expect_words(other_way, CS_E_INTERNAL, (const char *const[]){"rank 2 in broadcast", "ranks 0, 1 in all-reduce (sum) under way", NULL});
}

static void test_deadline(void **state)
{
    (void)state;
    expect_words(stay_away, CS_E_PEER, (const char *const[]){"rank 0 hangs: rank ", "in barrier no. 1 of 0 bytes in stay_away of step 5",
                                                             "rank 0, test 5: in no operation", "rank 1, test 5: waits", "rank 2, test 5: waits", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_operations), cmocka_unit_test(test_deadline)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
