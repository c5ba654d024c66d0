/* The option table: parsing, ranges, duplicates, nearest names, JSON in and out. */
#include "base/io.h"
#include "base/options.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/limits.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct config {
    bool flag;
    int64_t count, wide;
    double rate;
    const char *path;
    cs_strlist keys;
    int dtype;
} config;

static const cs_option rows[] = {
    {"use-it", CS_OPT_FLAG, offsetof(config, flag), NULL, NULL, "a flag", "old-use-it"},
    {"count", CS_OPT_INT, offsetof(config, count), "7", "1..100", "a count", "-n"},
    {"wide", CS_OPT_INT, offsetof(config, wide), NULL, NULL, "any integer", NULL},
    {"rate", CS_OPT_REAL, offsetof(config, rate), "0.5", "0..1", "a rate", NULL},
    {"path", CS_OPT_STR, offsetof(config, path), NULL, NULL, "a path", NULL},
    {"json-keys", CS_OPT_LIST, offsetof(config, keys), NULL, NULL, "keys", "json-key"},
    {"dtype", CS_OPT_ENUM, offsetof(config, dtype), "f32", "f32|bf16|f64", "type", NULL},
    {"bf16", CS_OPT_SET, offsetof(config, dtype), "bf16", "f32|bf16|f64", "same as --dtype bf16", NULL},
    {"f64", CS_OPT_SET, offsetof(config, dtype), "f64", "f32|bf16|f64", "same as --dtype f64", NULL},
    {"distributed-backend", CS_OPT_IGNORED, 0, NULL, NULL, "device only", NULL},
    {"num-experts", CS_OPT_REFUSED, 0, NULL, NULL, "mixtures of experts are out of scope", NULL},
};

typedef struct fixture {
    config c;
    cs_option_group group;
    cs_options opt;
    cs_arena perm;
    cs_error err;
} fixture;

static cs_status load_config(const char *path, json_t **out_create, cs_error *err)
{
    return cs_json_load(path, CS_LIMIT_CONFIG_BYTES, out_create, err);
}

static cs_status parse(fixture *f, const char *line)
{
    char *argv[32], *copy;
    int argc = 0;
    memset(f, 0, sizeof *f);
    cs_arena_init(&f->perm, "test");
    f->group = (cs_option_group){"Test", rows, sizeof rows / sizeof *rows, &f->c};
    copy = cs_arena_strdup(&f->perm, line);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    return cs_options_parse(&f->opt, &f->group, 1, argc, argv, &f->perm, load_config, &f->err);
}

static void done(fixture *f)
{
    cs_arena_release(&f->perm);
}

static void expect_error(const char *line, const char *part)
{
    fixture f;
    assert_int_equal(parse(&f, line), CS_E_USAGE);
    if (!strstr(f.err.msg, part))
        fail_msg("'%s': '%s' lacks '%s'", line, f.err.msg, part);
    done(&f);
}

static void test_defaults(void **state)
{
    (void)state;
    fixture f;
    assert_int_equal(parse(&f, ""), CS_OK);
    assert_false(f.c.flag);
    assert_int_equal(f.c.count, 7);
    assert_true(f.c.rate == 0.5);
    assert_null(f.c.path);
    assert_int_equal(f.c.keys.n, 0);
    assert_int_equal(f.c.dtype, 0);
    assert_int_equal(cs_options_given(&f.opt, "count"), 0);
    done(&f);
}

static void test_forms(void **state)
{
    (void)state;
    fixture f;
    assert_int_equal(parse(&f, "a --use_it --count=1_0 --wide -9223372036854775808 --rate 1e-3 --json_key x y --json-keys z --bf16 --path=p=q -- --b"), CS_OK);
    assert_true(f.c.flag);
    assert_int_equal(f.c.count, 10);
    assert_true(f.c.wide == INT64_MIN);
    assert_true(f.c.rate == 1e-3);
    assert_int_equal(f.c.keys.n, 3);
    assert_string_equal(f.c.keys.items[2], "z");
    assert_int_equal(f.c.dtype, 1);
    assert_string_equal(f.c.path, "p=q");
    assert_int_equal(f.opt.positional.n, 2);
    assert_string_equal(f.opt.positional.items[0], "a");
    assert_string_equal(f.opt.positional.items[1], "--b");
    assert_int_equal(cs_options_given(&f.opt, "dtype"), 2);
    done(&f);
    assert_int_equal(parse(&f, "-n 3 --use-it=false --distributed-backend nccl --old-use-it=true"), CS_E_USAGE);
    done(&f);
    assert_int_equal(parse(&f, "-n 3 --use-it=false --distributed-backend nccl --bf16 --dtype bf16 -"), CS_OK);
    assert_int_equal(f.c.count, 3);
    assert_string_equal(f.opt.positional.items[0], "-");
    done(&f);
    assert_int_equal(parse(&f, "--help --count x"), CS_OK);
    assert_true(f.opt.help);
    done(&f);
}

static void test_mistakes(void **state)
{
    (void)state;
    expect_error("--cuont 3", "did you mean --count?");
    expect_error("--qqqqqqqqqqqq", "--help lists all");
    expect_error("--count 0", "expected an integer in 1..100, found '0'");
    expect_error("--count 101", "1..100");
    expect_error("--count 1.5", "integer");
    expect_error("--count", "needs a value");
    expect_error("--count 3 --count 3", "given twice");
    expect_error("-n 3 --count 4", "given twice");
    expect_error("--use-it --use-it", "given twice");
    expect_error("--bf16 --bf16", "given twice");
    expect_error("--bf16 --f64", "--f64 contradicts --bf16");
    expect_error("--bf16 --dtype f64", "--dtype contradicts --bf16");
    expect_error("--dtype f32 --bf16", "--bf16 contradicts --dtype");
    expect_error("--dtype f33", "one of f32|bf16|f64");
    expect_error("--use-it=maybe", "true or false");
    expect_error("--json-keys --bf16", "at least one value");
    expect_error("--num-experts 4", "out of scope");
    expect_error("--wide 9223372036854775808", "integer");
    expect_error("--wide 1__0", "integer");
    expect_error("--rate nan", "number");
    expect_error("--rate inf", "number");
    expect_error("--rate 0x1p-3", "number");
    expect_error("--rate 1e999", "number");
    expect_error("--rate 0,5", "number");
    expect_error("--rate -0.1", "0..1");
    expect_error("--config", "needs a file name");
    fixture f;
    assert_int_equal(parse(&f, "--nope 1 --count x --rate 2 --path"), CS_E_USAGE);
    int lines = 1;
    for (const char *p = f.err.msg; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 4);
    done(&f);
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t i;
    double x;
    assert_true(cs_parse_int("+220_000_000", &i) && i == 220000000);
    assert_true(cs_parse_int("-0", &i) && i == 0);
    static const char *const bad_int[] = {"", " 1", "1 ", "_1", "1_", "0x10", "1e3", "--1", "99999999999999999999", "1\n"};
    for (size_t k = 0; k < sizeof bad_int / sizeof *bad_int; k++)
        assert_false(cs_parse_int(bad_int[k], &i));
    assert_true(cs_parse_real("-1.5e-3", &x) && x == -1.5e-3);
    assert_true(cs_parse_real(".5", &x) && x == 0.5);
    assert_true(cs_parse_real("1e-400", &x) && x < 1e-300); /* underflow rounds to zero */
    static const char *const bad_real[] = {"", " 1", "1 ", "1e", "e1", "nan", "-inf", "1.2.3", "1_0.5", "."};
    for (size_t k = 0; k < sizeof bad_real / sizeof *bad_real; k++)
        assert_false(cs_parse_real(bad_real[k], &x));
}

static void write_config(const char *path, const char *text)
{
    cs_error err = {0};
    assert_int_equal(cs_io_write_atomic(path, text, strlen(text), &err), CS_OK);
}

static void test_config_file(void **state)
{
    (void)state;
    fixture f;
    char path[] = "/tmp/cs_optXXXXXX", line[200];
    close(mkstemp(path));
    write_config(path, "{\"count\": 9, \"rate\": 1, \"json_keys\": [\"a\", 2], \"dtype\": \"bf16\", \"use-it\": true, \"path\": null, "
                       "\"distributed-backend\": \"nccl\"}");
    snprintf(line, sizeof line, "--config %s --count 4 --json-keys q --f64", path);
    assert_int_equal(parse(&f, line), CS_OK);
    assert_int_equal(f.c.count, 4);
    assert_true(f.c.rate == 1 && f.c.flag);
    assert_int_equal(f.c.keys.n, 1);
    assert_string_equal(f.c.keys.items[0], "q");
    assert_int_equal(f.c.dtype, 2);
    assert_int_equal(cs_options_given(&f.opt, "rate"), 1);
    assert_int_equal(cs_options_given(&f.opt, "count"), 2);
    done(&f);
    static const char *const bad[] = {"{\"cuont\": 9}", "did you mean", "{\"count\": \"x\"}", "integer", "{\"count\": 1.5}", "integer",
                                      "{\"rate\": true}", "number", "{\"use-it\": 1}", "true or false", "{\"json-keys\": [[1]]}", "strings",
                                      "{\"dtype\": \"int3\"}", "one of", "{\"num-experts\": 2}", "not supported"};
    snprintf(line, sizeof line, "--config=%s", path);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k += 2) {
        write_config(path, bad[k]);
        expect_error(line, bad[k + 1]);
    }
    static const char *const broken[] = {"{\"count\": 1, \"count\": 2}", "[1]", "{", "", "{\"count\": 1} x"};
    for (size_t k = 0; k < sizeof broken / sizeof *broken; k++) {
        write_config(path, broken[k]);
        assert_int_equal(parse(&f, line), CS_E_FORMAT);
        done(&f);
    }
    unlink(path);
    assert_int_equal(parse(&f, line), CS_E_IO);
    done(&f);
}

static void test_json_round_trip(void **state)
{
    (void)state;
    fixture f, g;
    cs_str text = {0}, again = {0};
    char path[] = "/tmp/cs_optXXXXXX", line[200];
    close(mkstemp(path));
    assert_int_equal(parse(&f, "--count 12 --rate 0.1 --path a\"\\\xff\x01\xc3\xa9 --json-keys u v --f64"), CS_OK);
    assert_int_equal(cs_options_to_json(&f.opt, &text, &f.err), CS_OK);
    assert_non_null(strstr(text.data, "\"rate\": 0.1,"));
    assert_non_null(strstr(text.data, "\"dtype\": \"f64\""));
    assert_null(strstr(text.data, "bf16"));
    assert_non_null(strstr(text.data, "a\\\"\\\\\xef\xbf\xbd\\u0001\xc3\xa9"));
    write_config(path, text.data);
    snprintf(line, sizeof line, "--config %s", path);
    assert_int_equal(parse(&g, line), CS_OK);
    assert_int_equal(cs_options_to_json(&g.opt, &again, &g.err), CS_OK);
    assert_string_equal(text.data, again.data);
    unlink(path);
    cs_str_release(&text);
    cs_str_release(&again);
    done(&f);
    done(&g);
}

/* The file goes through the gate of all JSON: depth, exact integers, UTF-8, no repeated key. */
static void config_gate(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {{"{\"count\": 1, \"count\": 2}", ":1:"},          {"{\"count\": 99999999999999999999}", ":1:"}, {"{\"rate\": NaN}", ":1:10: expected"},
                {"{\"path\": \"a\xff\"}", ":1:"},                {"{\"path\": \"a\\u0000b\"}", "without NUL"}, {"[1]", "expected a JSON object"},
                {"{\"count\": 1} x", ":1:"},                      {"", ":1:1: expected a JSON value"}};
    char path[] = "/tmp/cs_test_config_XXXXXX", line[80], deep[2100];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(line, sizeof line, "--config %s", path);
    for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
        fixture f;
        bool last = i == sizeof rows / sizeof *rows;
        memset(deep, '[', sizeof deep - 1);
        deep[sizeof deep - 1] = '\0';
        write_config(path, last ? deep : rows[i].text);
        cs_status s = parse(&f, line);
        if (s == CS_OK || !strstr(f.err.msg, last ? "64" : rows[i].message))
            fail_msg("row %zu: status %d, \"%s\"", i, (int)s, f.err.msg);
        done(&f);
    }
    unlink(path);
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const known[] = {"train", "tokenize", "plot"};
    assert_string_equal(cs_nearest_name("trian", 5, known, 3), "train");
    assert_string_equal(cs_nearest_name("tokenise", 8, known, 3), "tokenize");
    assert_null(cs_nearest_name("xxxxxxxx", 8, known, 3));
    char longer[200]; /* half of its length is more than any distance that is measured */
    memset(longer, 't', sizeof longer);
    assert_null(cs_nearest_name(longer, sizeof longer, known, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_forms),           cmocka_unit_test(test_mistakes), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_config_file), cmocka_unit_test(test_json_round_trip), cmocka_unit_test(config_gate), cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
