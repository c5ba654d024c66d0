/* The JSON gate: grammar over the JSONTestSuite files when they are there, and the limits and messages of our own. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cs_status parse(const char *text, cs_error *err)
{
    json_t *v = NULL;
    cs_status status = cs_json_parse(text, strlen(text), "t.json", &v, err);
    if (status == CS_OK)
        json_decref(v);
    return status;
}

static void assert_bad(const char *text, const char *in_message)
{
    cs_error err = {0};
    assert_int_equal(parse(text, &err), CS_E_FORMAT);
    if (!strstr(err.msg, in_message))
        fail_msg("message \"%s\" lacks \"%s\"", err.msg, in_message);
    assert_null(strchr(err.msg, '\n'));
}

static void limits_and_messages(void **state)
{
    (void)state;
    cs_error err = {0};
    char deep[131];
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    deep[130] = '\0';
    assert_bad(deep, "t.json:1:65:");
    deep[129] = '\0';
    assert_int_equal(parse(deep + 1, &err), CS_OK);
    assert_bad("{\"a\": 1,\n \"a\": 2}", "t.json:2:");
    assert_bad("[1,\n2,\n  x]", "t.json:3:");
    assert_bad("9223372036854775808", "t.json:1:");
    assert_int_equal(parse("-9223372036854775808", &err), CS_OK);
    assert_bad("NaN", "t.json:1:");
    assert_bad("1e999", "t.json:1:");
    assert_bad("\"\\ud800\"", "t.json:1:");
    assert_bad("\"\xff\"", "t.json:1:");
    assert_bad("\"\x01\n\"", "t.json:");
    assert_bad("", "t.json:1:");
    assert_bad("1 2", "t.json:1:");
    assert_int_equal(parse(" \"[[[[\" ", &err), CS_OK);
}

static void keys(void **state)
{
    (void)state;
    cs_error err = {0};
    json_t *v = NULL;
    const char *nul = "{\"a\\u0000b\\\\u0000\" : \"x\\u0000y\"}";
    assert_int_equal(cs_json_parse(nul, strlen(nul), "t", &v, &err), CS_OK);
    const json_t *x = json_object_get(v, "a\xef\xbf\xbd"
                                         "b\\u0000");
    assert_non_null(x);
    assert_int_equal(json_string_length(x), 3);
    json_decref(v);
    const char *twice = "{\"a\":1,\"a\":2}";
    assert_int_equal(cs_json_parse_lenient(twice, strlen(twice), "t", &v, &err), CS_OK);
    int64_t a = 0;
    assert_int_equal(cs_json_get_int(v, "a", "t", &a, &err), CS_OK);
    assert_int_equal(a, 2);
    json_decref(v);
}

static void members(void **state)
{
    (void)state;
    cs_error err = {0};
    json_t *v = NULL;
    const char *text = "{\"i\":-3,\"r\":0.5,\"b\":true,\"s\":\"x\",\"z\":\"a\\u0000\",\"n\":null}";
    assert_int_equal(cs_json_parse(text, strlen(text), "t", &v, &err), CS_OK);
    int64_t i = 7;
    double r = 7;
    bool b = false;
    const char *s = "keep";
    assert_int_equal(cs_json_get_int(v, "i", "t", &i, &err), CS_OK);
    assert_int_equal(cs_json_get_real(v, "r", "t", &r, &err), CS_OK);
    assert_int_equal(cs_json_get_bool(v, "b", "t", &b, &err), CS_OK);
    assert_true(i == -3 && r == 0.5 && b);
    assert_int_equal(cs_json_get_real(v, "i", "t", &r, &err), CS_OK);
    assert_true(r == -3);
    assert_int_equal(cs_json_get_str(v, "n", "t", &s, &err), CS_OK);
    assert_int_equal(cs_json_get_str(v, "missing", "t", &s, &err), CS_OK);
    assert_string_equal(s, "keep");
    assert_int_equal(cs_json_get_str(v, "s", "t", &s, &err), CS_OK);
    assert_string_equal(s, "x");
    assert_int_equal(cs_json_get_str(v, "z", "t", &s, &err), CS_E_FORMAT);
    assert_int_equal(cs_json_get_int(v, "r", "t", &i, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "\"r\""));
    cs_str out = {0};
    assert_int_equal(cs_json_dump(v, 0, &out, &err), CS_OK);
    assert_string_equal(out.data, "{\"i\": -3, \"r\": 0.5, \"b\": true, \"s\": \"x\", \"z\": \"a\\u0000\", \"n\": null}");
    cs_str_release(&out);
    json_decref(v);
}

static void json_test_suite(void **state)
{
    (void)state;
    const char *root = getenv("CS_SHARED_DATA");
    if (!root) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    char dir[600], path[1200];
    cs_error err = {0};
    char **names;
    size_t n, seen = 0;
    snprintf(dir, sizeof dir, "%s/json/test_parsing", root);
    assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
    for (size_t i = 0; i < n; i++) {
        uint8_t *data;
        size_t size;
        json_t *v = NULL;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(cs_io_read_all(path, 1 << 20, &data, &size, &err), CS_OK);
        cs_status strict = cs_json_parse((char *)data, size, names[i], &v, &err);
        if (strict == CS_OK)
            json_decref(v);
        cs_status lenient = cs_json_parse_lenient((char *)data, size, names[i], &v, &err);
        if (lenient == CS_OK)
            json_decref(v);
        bool duplicate = strstr(names[i], "duplicated_key") != NULL;
        if (names[i][0] == 'y' && (lenient != CS_OK || strict != (duplicate ? CS_E_FORMAT : CS_OK)))
            fail_msg("%s: strict %d, lenient %d: %s", names[i], strict, lenient, err.msg);
        if (names[i][0] == 'n' && (lenient != CS_E_FORMAT || strict != CS_E_FORMAT))
            fail_msg("%s: strict %d, lenient %d", names[i], strict, lenient);
        seen++;
        cs_free(data);
    }
    assert_true(seen > 100);
    cs_io_list_free(names, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_and_messages),
        cmocka_unit_test(keys),
        cmocka_unit_test(members),
        cmocka_unit_test(json_test_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
