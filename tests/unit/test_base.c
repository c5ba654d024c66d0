/* Memory, checked arithmetic, 16-bit floats, files with every failpoint, random numbers, strings, errors. */
#include "base/dtype.h"
#include "base/failpoint.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_checked(void **state)
{
    (void)state;
    size_t x = 5;
    assert_true(cs_mul_checked(1u << 20, 1u << 20, &x) && x == (size_t)1 << 40);
    assert_false(cs_mul_checked(SIZE_MAX / 2, 3, &x));
    assert_true(cs_add_checked(SIZE_MAX - 1, 1, &x) && x == SIZE_MAX);
    assert_false(cs_add_checked(SIZE_MAX, 1, &x));
    assert_true(cs_align_checked(65, 64, &x) && x == 128);
    assert_true(cs_align_checked(0, 64, &x) && x == 0);
    assert_false(cs_align_checked(SIZE_MAX - 3, 64, &x));
    assert_null(cs_calloc(SIZE_MAX, 2));
}

static void test_memory(void **state)
{
    (void)state;
    int64_t before = cs_mem_bytes(), calls = cs_mem_calls();
    char *p = cs_malloc(10), *q = cs_alloc_aligned((size_t)5 << 20);
    assert_non_null(q);
    assert_int_equal((uintptr_t)q % 64, 0);
    assert_int_equal(cs_mem_bytes() - before, 10 + (5 << 20));
    assert_int_equal(cs_mem_calls() - calls, 2);
    memcpy(p, "123456789", 10);
    p = cs_realloc(p, 100000);
    assert_string_equal(p, "123456789");
    cs_free(p);
    cs_free(q);
    assert_int_equal(cs_mem_bytes(), before);
    assert_true(cs_mem_peak() >= before + (5 << 20));
    cs_error err = {0};
    assert_int_equal(cs_failpoint_arm("mem@2", &err), CS_OK);
    p = cs_malloc(1);
    assert_non_null(p);
    assert_null(cs_malloc(1));
    cs_free(p);
    assert_int_equal(cs_failpoint_arm("mem@1+", &err), CS_OK);
    assert_null(cs_calloc(1, 1));
    assert_null(cs_strdup("x"));
    cs_failpoint_arm(NULL, &err);
}

static void test_arena(void **state)
{
    (void)state;
    cs_arena a;
    int64_t before = cs_mem_bytes();
    cs_arena_init(&a, "test");
    char *first = cs_arena_strdup(&a, "first");
    cs_arena_mark mark = cs_arena_save(&a);
    size_t used = a.used;
    for (int i = 0; i < 1000; i++) {
        uint8_t *p = cs_arena_alloc(&a, (size_t)(i * 37 + 1));
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 0xee, (size_t)(i * 37 + 1));
    }
    size_t high = a.high_water;
    assert_true(high > 1000u * 500 * 37);
    cs_arena_restore(&a, mark);
    assert_int_equal(a.used, used);
    assert_string_equal(first, "first");
    int64_t calls = cs_mem_calls();
    for (int i = 0; i < 1000; i++)
        assert_non_null(cs_arena_alloc(&a, (size_t)(i * 37 + 1)));
    assert_int_equal(cs_mem_calls(), calls); /* blocks were kept */
    assert_int_equal(a.high_water, high);
    assert_null(cs_arena_calloc(&a, SIZE_MAX / 2, 3));
    int *zero = cs_arena_calloc(&a, 100, sizeof *zero);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_string_equal(cs_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    cs_arena_release(&a);
    assert_int_equal(cs_mem_bytes(), before);
}

/* Value of a half bit pattern by the definition of the format. */
static double half_value(unsigned h, int exp_bits, int man_bits)
{
    int bias = (1 << (exp_bits - 1)) - 1, e = (int)(h >> man_bits) & ((1 << exp_bits) - 1);
    double m = (double)(h & ((1u << man_bits) - 1)) / (double)(1u << man_bits);
    double v = e == 0 ? ldexp(m, 1 - bias) : ldexp(1 + m, e - bias);
    if (e == (1 << exp_bits) - 1)
        v = m == 0 ? (double)INFINITY : (double)NAN;
    return h >> (exp_bits + man_bits) & 1 ? -v : v;
}

static void test_half(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        double f16 = half_value(h, 5, 10), bf = half_value(h, 8, 7);
        float x = cs_f16_to_f32((cs_f16)h), y = cs_bf16_to_f32((cs_bf16)h);
        assert_true(isnan(f16) ? isnan(x) : ((double)x == f16 && !signbit(x) == !signbit(f16)));
        assert_true(isnan(bf) ? isnan(y) : ((double)y == bf && !signbit(y) == !signbit(bf)));
        if (isnan(f16))
            assert_true(isnan(cs_f16_to_f32(cs_f16_from_f32(x))));
        else
            assert_int_equal(cs_f16_from_f32(x), h);
        if (isnan(bf))
            assert_true(isnan(cs_bf16_to_f32(cs_bf16_from_f32(y))));
        else
            assert_int_equal(cs_bf16_from_f32(y), h);
    }
}

/* Between two neighbours: below, at and above the middle. Ties go to the even pattern. */
static void test_half_rounding(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7bff; h++) {
        double lo = half_value(h, 5, 10), hi = half_value(h + 1, 5, 10);
        float mid = (float)((lo + hi) / 2);
        assert_int_equal(cs_f16_from_f32(mid), h + (h & 1));
        assert_int_equal(cs_f16_from_f32(nextafterf(mid, 0)), h);
        assert_int_equal(cs_f16_from_f32(-nextafterf(mid, INFINITY)), (h + 1) | 0x8000);
    }
    for (unsigned h = 0; h < 0x7f7f; h++) {
        float mid = (float)((half_value(h, 8, 7) + half_value(h + 1, 8, 7)) / 2);
        assert_int_equal(cs_bf16_from_f32(mid), h + (h & 1));
        assert_int_equal(cs_bf16_from_f32(nextafterf(mid, 0)), h);
        assert_int_equal(cs_bf16_from_f32(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_int_equal(cs_f16_from_f32(65520), 0x7c00);
    assert_int_equal(cs_f16_from_f32(65519.9f), 0x7bff);
    assert_int_equal(cs_bf16_from_f32(3.4e38f), 0x7f80);
}

/* Known answers published with Random123 (kat_vectors, philox4x32 10 rounds). */
static void test_philox(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, site, index;
        uint32_t out[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t w[4];
        cs_rng_block(known[i].seed, known[i].site, known[i].index, w);
        for (int k = 0; k < 4; k++)
            assert_int_equal(w[k], known[i].out[k]);
    }
    assert_true(cs_rng_site("a") == 0xaf63dc4c8601ec8cu); /* FNV-1a test vector */
    double sum = 0, sq = 0, uni = 0;
    enum { N = 200000 };
    for (uint64_t i = 0; i < N; i++) {
        double z = cs_rng_normal(1, 2, i), u = cs_rng_uniform(1, 3, i);
        assert_true(u >= 0 && u < 1);
        sum += z;
        sq += z * z;
        uni += u;
    }
    assert_true(fabs(sum / N) < 5 / sqrt(N) && fabs(sq / N - 1) < 8 / sqrt(N) && fabs(uni / N - 0.5) < 2 / sqrt(N));
}

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[2][200];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/cs_baseXXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    cs_error err = {0};
    cs_failpoint_arm(NULL, &err);
    return cs_io_remove_tree(dir, &err) == CS_OK ? 0 : -1;
}

static void expect_content(const char *path, const char *text)
{
    cs_map m;
    cs_error err = {0};
    assert_int_equal(cs_map_init(&m, path, &err), CS_OK);
    assert_int_equal(m.size, strlen(text));
    assert_memory_equal(m.data, text, m.size);
    cs_map_release(&m);
}

static void test_files(void **state)
{
    (void)state;
    cs_error err = {0};
    cs_map m;
    char deep[300], *p = strcpy(deep, in_dir("a/b c/d"));
    assert_int_equal(cs_io_mkdirs(p, &err), CS_OK);
    assert_int_equal(cs_io_mkdirs(p, &err), CS_OK);
    strcat(deep, "/file");
    assert_int_equal(cs_io_write_atomic(deep, "", 0, &err), CS_OK);
    expect_content(deep, "");
    assert_int_equal(cs_io_write_atomic(deep, "hello", 5, &err), CS_OK);
    expect_content(deep, "hello");
    assert_int_equal(cs_map_init(&m, dir, &err), CS_E_IO);
    assert_non_null(strstr(err.msg, "directory"));
    assert_int_equal(cs_map_init(&m, "/dev/zero", &err), CS_E_IO);
    assert_int_equal(cs_map_init(&m, in_dir("none"), &err), CS_E_IO);
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(cs_map_init(&m, in_dir("pipe"), &err), CS_E_IO);
    assert_int_equal(cs_io_write_atomic(dir, "x", 1, &err), CS_E_IO);
    uint8_t *data;
    size_t size;
    assert_int_equal(cs_io_read_all(deep, 4, &data, &size, &err), CS_E_FORMAT);
    assert_int_equal(cs_io_read_all(deep, 5, &data, &size, &err), CS_OK);
    assert_string_equal((char *)data, "hello");
    cs_free(data);
    char target[50];
    assert_int_equal(cs_io_symlink_atomic("a", in_dir("link"), &err), CS_OK);
    assert_int_equal(cs_io_symlink_atomic("a/b c", in_dir("link"), &err), CS_OK);
    assert_true(cs_io_readlink(in_dir("link"), target, sizeof target));
    assert_string_equal(target, "a/b c");
    char **names;
    size_t n;
    assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
    assert_int_equal(n, 3);
    assert_string_equal(names[1], "link");
    cs_io_list_free(names, n);
    assert_int_equal(cs_io_kind(in_dir("link"), NULL), CS_FILE_DIR);
    assert_int_equal(cs_io_remove_tree(in_dir("link"), &err), CS_OK); /* the link, not what it points to */
    expect_content(deep, "hello");
    assert_true(cs_io_free_bytes(dir) > 0);
}

/* Fails the n-th system call with each error until a run gets through: the old content stays, no temp file is left. */
static void sweep(const char *kind, cs_status expected)
{
    cs_error err = {0};
    const char *path = strcpy((char[200]){0}, in_dir("target"));
    for (int n = 1; n < 100; n++) {
        char spec[40];
        snprintf(spec, sizeof spec, "%s@%d", kind, n);
        cs_failpoint_arm(NULL, &err);
        assert_int_equal(cs_io_write_atomic(path, "old", 3, &err), CS_OK);
        assert_int_equal(cs_failpoint_arm(spec, &err), CS_OK);
        cs_status s = cs_io_write_atomic(path, "new content", 11, &err);
        cs_failpoint_arm(NULL, &err);
        char **names;
        size_t count;
        assert_int_equal(cs_io_list(dir, &names, &count, &err), CS_OK);
        assert_int_equal(count, 1);
        cs_io_list_free(names, count);
        cs_map m;
        assert_int_equal(cs_map_init(&m, path, &err), CS_OK);
        bool is_new = m.size == 11;
        assert_true(is_new || (m.size == 3 && memcmp(m.data, "old", 3) == 0));
        cs_map_release(&m);
        if (s == CS_OK) {
            assert_true(is_new);
            if (expected == CS_OK && n < 12)
                continue;
            return; /* the failpoint lies behind the last call */
        }
        assert_int_equal(s, expected);
    }
    fail_msg("%s: never got through", kind);
}

static void test_failpoints(void **state)
{
    (void)state;
    cs_error err = {0};
    sweep("io:eio", CS_E_IO);
    sweep("io:enospc", CS_E_IO);
    sweep("io:short", CS_OK); /* short transfers go on */
    static const char *const bad[] = {"mem", "io@3", "mem@0", "kill@write", "boom@1", "mem@1,x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cs_failpoint_arm(bad[i], &err), CS_E_USAGE);
    cs_failpoint_arm(NULL, &err);
}

static void test_interrupted(void **state)
{
    (void)state;
    cs_error err = {0};
    uint8_t *data;
    size_t size;
    for (int n = 1; n <= 4; n++) {
        char spec[40];
        snprintf(spec, sizeof spec, "io:eintr@%d", n);
        cs_failpoint_arm(NULL, &err);
        assert_int_equal(cs_io_write_atomic(in_dir("f"), "content", 7, &err), CS_OK);
        cs_failpoint_arm(spec, &err);
        assert_int_equal(cs_io_read_all(in_dir("f"), 100, &data, &size, &err), CS_OK);
        assert_int_equal(size, 7);
        cs_free(data);
    }
}

/* Killed at every write, fsync and rename of an atomic write: the old or the new content, whole. */
static void test_killed(void **state)
{
    (void)state;
    static const char *const sites[] = {"create", "open", "write", "fsync", "rename"};
    cs_error err = {0};
    const char *path = strcpy((char[200]){0}, in_dir("k"));
    int killed = 0;
    for (size_t s = 0; s < 5; s++) {
        for (int n = 1; n <= 3; n++) {
            assert_int_equal(cs_io_write_atomic(path, "old", 3, &err), CS_OK);
            pid_t pid = fork();
            if (pid == 0) {
                char spec[40];
                snprintf(spec, sizeof spec, "kill@%s:%d", sites[s], n);
                _exit(cs_failpoint_arm(spec, &err) == CS_OK && cs_io_write_atomic(path, "newer", 5, &err) == CS_OK ? 0 : 1);
            }
            int status;
            assert_int_equal(waitpid(pid, &status, 0), pid);
            cs_map m;
            assert_int_equal(cs_map_init(&m, path, &err), CS_OK);
            assert_true((m.size == 3 && memcmp(m.data, "old", 3) == 0) || (m.size == 5 && memcmp(m.data, "newer", 5) == 0));
            cs_map_release(&m);
            killed += WIFSIGNALED(status) != 0;
        }
    }
    assert_int_equal(killed, 6); /* create 1, open 1 (the folder), write 1, fsync 2, rename 1 */
}

static void test_lock(void **state)
{
    (void)state;
    cs_error err = {0};
    int fd, other;
    assert_int_equal(cs_io_lock(in_dir("lock"), 0, &fd, &err), CS_OK);
    assert_int_equal(cs_io_lock(in_dir("lock"), 0, &other, &err), CS_E_IO);
    char pid[20];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(err.msg, pid));
    cs_io_unlock(fd);
    assert_int_equal(cs_io_lock(in_dir("lock"), 0, &fd, &err), CS_OK);
    cs_io_unlock(fd);
}

static void test_strings(void **state)
{
    (void)state;
    cs_error err = {0};
    cs_str s = {0};
    assert_string_equal(cs_str_cstr(&s), "");
    for (int i = 0; i < 500; i++)
        cs_str_printf(&s, "%d,", i);
    cs_str_append(&s, "a\0b", 3);
    assert_int_equal(s.len, 10 * 2 + 90 * 3 + 400 * 4 + 3);
    assert_int_equal(cs_str_check(&s, &err), CS_OK);
    cs_str_release(&s);
    cs_failpoint_arm("mem@1", &err);
    cs_str_puts(&s, "x");
    cs_failpoint_arm(NULL, &err);
    assert_int_equal(cs_str_check(&s, &err), CS_E_NOMEM);
    cs_str_release(&s);
    cs_ids v = {0};
    for (int i = 0; i < 1000; i++)
        cs_ids_push(&v, i * 3);
    assert_int_equal(v.data[999], 2997);
    cs_ids_release(&v);
}

static void test_errors(void **state)
{
    (void)state;
    cs_error err = {0};
    cs_fail_also(&err, CS_E_USAGE, "one %d", 1);
    cs_fail_also(&err, CS_E_IO, "two");
    assert_int_equal(err.status, CS_E_USAGE);
    assert_string_equal(err.msg, "one 1\ntwo");
    cs_fail(&err, CS_E_FORMAT, "%s", "three");
    assert_int_equal(cs_error_prefix(&err, "file %d", 9), CS_E_FORMAT);
    assert_string_equal(err.msg, "file 9: three");
    for (int i = 0; i < 1000; i++)
        cs_fail_also(&err, CS_E_IO, "a long line that must not run over the end of the buffer");
    cs_error_prefix(&err, "more");
    assert_true(strlen(err.msg) < sizeof err.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_half_rounding),
        cmocka_unit_test(test_philox),
        cmocka_unit_test_setup_teardown(test_files, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_failpoints, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_interrupted, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_killed, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_lock, make_dir, drop_dir),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
