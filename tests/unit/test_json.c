/* The JSON gate: where each kind of damage is reported and in which words, the two modes, the JSONTestSuite, and the scanner on its own. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/json.h"
#include "fmt/json_scan.h"
#include "fmt/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

/* The same bytes on the heap at their exact size, so that the sanitizer sees a read behind them. */
static cs_status parse_n(const char *text, size_t n, bool lenient, cs_error *err)
{
    json_t *v = NULL;
    char *exact = malloc(n ? n : 1);
    int64_t held = cs_mem_bytes();
    memcpy(exact, text, n);
    cs_status status = (lenient ? cs_json_parse_lenient : cs_json_parse)(exact, n, "t.json", &v, err);
    if (status == CS_OK)
        json_decref(v);
    assert_int_equal(cs_mem_bytes(), held);
    free(exact);
    return status;
}

static cs_status parse(const char *text, cs_error *err)
{
    return parse_n(text, strlen(text), false, err);
}

typedef struct bad_row {
    const char *text;
    const char *message; /* whole */
    size_t len;          /* 0: strlen */
} bad_row;

static const bad_row bad_rows[] = {
    {"", "t.json:1:1: expected a JSON value, found the end of the text", 0},
    {" \n\t", "t.json:2:2: expected a JSON value, found the end of the text", 0},
    {"\xef\xbb\xbf{}", "t.json:1:1: expected a JSON value, found a byte order mark", 0},
    {"\xff\xfe{\0}\0", "t.json:1:1: expected a JSON value, found byte 0xFF at offset 0", 6},
    {"<html>", "t.json:1:1: expected a JSON value, found '<'", 0},
    {"1 2", "t.json:1:3: expected the end of the text, found '2'", 0},
    {"{}\n\n}", "t.json:3:1: expected the end of the text, found '}'", 0},
    {"{}\0", "t.json:1:3: expected the end of the text, found byte 0x00 at offset 2", 3},
    {"\0", "t.json:1:1: expected a JSON value, found byte 0x00 at offset 0", 1},
    {"[1,\n2,\n  x]", "t.json:3:3: expected a JSON value, found 'x'", 0},
    {"[1,]", "t.json:1:4: expected a JSON value, found ']'", 0},
    {"[,1]", "t.json:1:2: expected a JSON value or ']', found ','", 0},
    {"[1 2]", "t.json:1:4: expected ',' or ']', found '2'", 0},
    {"[1", "t.json:1:3: expected ',' or ']', found the end of the text", 0},
    {"[1}", "t.json:1:3: expected ',' or ']', found '}'", 0},
    {"{\"a\" 1}", "t.json:1:6: expected ':' behind a key, found '1'", 0},
    {"{\"a\"", "t.json:1:5: expected ':' behind a key, found the end of the text", 0},
    {"{\"a\":}", "t.json:1:6: expected a JSON value, found '}'", 0},
    {"{\"a\":1 \"b\":2}", "t.json:1:8: expected ',' or '}', found a string", 0},
    {"{\"a\":1,}", "t.json:1:8: expected a key in quotes, found '}'", 0},
    {"{a:1}", "t.json:1:2: expected a key in quotes or '}', found 'a'", 0},
    {"{abc:1}", "t.json:1:2: expected a key in quotes or '}', found abc", 0},
    {"{\"a\":1]", "t.json:1:7: expected ',' or '}', found ']'", 0},
    {"{'a':1}", "t.json:1:2: expected a key in quotes or '}', found '''", 0},
    {"// c\n1", "t.json:1:1: expected a JSON value, found '/'", 0},
    {"True", "t.json:1:1: expected a JSON value, found True", 0},
    {"[nul]", "t.json:1:2: expected a JSON value or ']', found nul", 0},
    {"NaN", "t.json:1:1: expected a JSON value, found NaN", 0},
    {"[Infinity]", "t.json:1:2: expected a JSON value or ']', found Infinity", 0},
    {"[-Infinity]", "t.json:1:3: expected a digit, found Infinity", 0},
    {"[+1]", "t.json:1:2: expected a JSON value or ']', found +1", 0},
    {"[.5]", "t.json:1:2: expected a JSON value or ']', found .5", 0},
    {"[01]", "t.json:1:2: expected a number without leading zeros, found 01", 0},
    {"[1.]", "t.json:1:4: expected a digit behind the decimal point, found ']'", 0},
    {"[1e+]", "t.json:1:5: expected a digit in the exponent, found ']'", 0},
    {"[0x10]", "t.json:1:3: expected ',' or ']', found x10", 0},
    {"9223372036854775808", "t.json:1:1: expected an integer from -2^63 to 2^63 - 1, found 9223372036854775808", 0},
    {"{\"n\": -9223372036854775809}", "t.json:1:7: expected an integer from -2^63 to 2^63 - 1, found -9223372036854775809", 0},
    {"[1e999]", "t.json:1:2: expected a number within the range of a double, found 1e999", 0},
    {"[\n-2e308]", "t.json:2:1: expected a number within the range of a double, found -2e308", 0},
    {"\"abc", "t.json:1:5: expected the quote that ends a string, found the end of the text", 0},
    {"\"abc\\\"", "t.json:1:7: expected the quote that ends a string, found the end of the text", 0},
    {"\"a\nb\"",
     "t.json:1:3: expected a character or an escape inside a string (control characters are written \\u00XX), found byte 0x0A at offset 2", 0},
    {"\"\\x\"", "t.json:1:2: expected an escape \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u with four hexadecimal digits, found '\\'", 0},
    {"\"\\u12g4\"", "t.json:1:2: expected an escape \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u with four hexadecimal digits, found '\\'", 0},
    {"\"\\u12", "t.json:1:2: expected an escape \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u with four hexadecimal digits, found '\\'", 0},
    {"\"\xff\"", "t.json:1:2: expected UTF-8, found byte 0xFF at offset 1", 0},
    {"[\"\xc3\xa9\xc3\xa9\xc0\xaf\"]", "t.json:1:5: expected UTF-8, found byte 0xC0 at offset 6", 0},
    {"\"\xed\xa0\x80\"", "t.json:1:2: expected UTF-8, found byte 0xED at offset 1", 0},
    {"\"\xf4\x90\x80\x80\"", "t.json:1:2: expected UTF-8, found byte 0xF4 at offset 1", 0},
    {"\"\xe2\x82", "t.json:1:2: expected UTF-8, found byte 0xE2 at offset 1", 0},
};

static const bad_row strict_rows[] = {
    {"{\"a\": 1,\n  \"a\": 2}", "t.json:2:3: expected every key of an object once, found \"a\" again", 0},
    {"{\"a\":{\"\\u0062\":1,\"b\":2}}", "t.json:1:18: expected every key of an object once, found \"b\" again", 0},
    {"\"\\ud800\"", "t.json:1:2: expected surrogate escapes in pairs, \\ud8XX\\udcXX, found '\\'", 0},
    {"\"x\\udc00\\ud800\"", "t.json:1:3: expected surrogate escapes in pairs, \\ud8XX\\udcXX, found '\\'", 0},
    {"{\"\\ud800\\ud800\\udc00\":1}", "t.json:1:3: expected surrogate escapes in pairs, \\ud8XX\\udcXX, found '\\'", 0},
};

static void expect_message(const bad_row *row, bool lenient)
{
    cs_error err = {0};
    cs_status s = parse_n(row->text, row->len ? row->len : strlen(row->text), lenient, &err);
    if (s != CS_E_FORMAT || err.status != CS_E_FORMAT || strcmp(err.msg, row->message) != 0)
        fail_msg("%s: status %d, message \"%s\" instead of \"%s\"", row->text, s, err.msg, row->message);
}

static void every_kind_of_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
        expect_message(&bad_rows[i], false);
        expect_message(&bad_rows[i], true);
    }
    for (size_t i = 0; i < sizeof strict_rows / sizeof *strict_rows; i++) {
        cs_error err = {0};
        expect_message(&strict_rows[i], false);
        assert_int_equal(parse_n(strict_rows[i].text, strlen(strict_rows[i].text), true, &err), CS_OK);
    }
}

/* Ten megabytes that would be ten million levels for a recursive reader. */
static void depth(void **state)
{
    (void)state;
    enum { HUGE = 10000000 };
    cs_error err = {0};
    char *deep = malloc(HUGE);
    assert_int_equal(CS_LIMIT_JSON_DEPTH, 64);
    for (int k = 0; k < 2; k++) {
        memset(deep, k ? '[' : ' ', HUGE);
        for (int i = 0; k == 0 && i < HUGE / 5; i++)
            memcpy(deep + 5 * i, "{\"a\":", 5);
        assert_int_equal(parse_n(deep, HUGE, false, &err), CS_E_FORMAT);
        assert_string_equal(err.msg, k ? "t.json:1:65: expected at most 64 levels of arrays and objects, found one more"
                                       : "t.json:1:321: expected at most 64 levels of arrays and objects, found one more");
    }
    memset(deep + 64, ']', 64);
    assert_int_equal(parse_n(deep, 128, false, &err), CS_OK);
    assert_int_equal(parse(" \"[[[[\" ", &err), CS_OK);
    free(deep);
}

/* Long strings, long numbers and many keys cost what their bytes cost: no limit but the size. */
static void large_texts(void **state)
{
    (void)state;
    enum { HUGE = 10000000, KEYS = 200000 };
    cs_error err = {0};
    char *text = malloc(HUGE);
    size_t n = 0;
    memset(text, 'a', HUGE);
    text[0] = text[HUGE - 1] = '"';
    assert_int_equal(parse_n(text, HUGE, false, &err), CS_OK);
    memset(text, '7', HUGE);
    memcpy(text + HUGE - 2, ".5", 2);
    assert_int_equal(parse_n(text, HUGE, false, &err), CS_E_FORMAT); /* beyond a double */
    text[0] = '0', text[1] = '.';
    text[HUGE - 2] = '7';
    assert_int_equal(parse_n(text, HUGE, false, &err), CS_OK);
    for (int i = 0; i < KEYS; i++)
        n += (size_t)sprintf(text + n, "%c\"k%d\":%d", i ? ',' : '{', i, i);
    text[n++] = '}';
    assert_int_equal(parse_n(text, n, false, &err), CS_OK);
    char *big = calloc(1, (size_t)CS_LIMIT_JSON_BYTES + 1); /* untouched pages */
    json_t *v;
    assert_int_equal(cs_json_parse(big, (size_t)CS_LIMIT_JSON_BYTES + 1, "big", &v, &err), CS_E_FORMAT);
    assert_string_equal(err.msg, "big: expected a JSON text of at most 268435456 bytes, found 268435457");
    free(big);
    free(text);
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t integer;
        double real;
    } rows[] = {{"9223372036854775807", INT64_MAX, 0}, {"-9223372036854775808", INT64_MIN, 0}, {"9007199254740993", 9007199254740993, 0}, {"-0", 0, 0},
                {"1.7976931348623157e308", 0, 1.7976931348623157e308}, {"-0.0000001e-400", 0, -0.0}, {"0e999999999999", 0, 0},
                {"123456789012345678901234567890.0", 0, 123456789012345678901234567890.0}, {"0.000001e314", 0, 1e308}, {"1E0", 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_error err = {0};
        json_t *v;
        if (cs_json_parse(rows[i].text, strlen(rows[i].text), "t", &v, &err) != CS_OK)
            fail_msg("%s", err.msg);
        if (json_is_integer(v) ? json_integer_value(v) != rows[i].integer : json_real_value(v) != rows[i].real)
            fail_msg("%s is read as something else", rows[i].text);
        json_decref(v);
    }
}

static void keys_and_modes(void **state)
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
    const char *cut = "{\"a\":\n\n 1,}";
    assert_int_equal(cs_json_parse_record(cut, strlen(cut), "f.jsonl", 40, &v, &err), CS_E_FORMAT);
    assert_string_equal(err.msg, "f.jsonl:42:4: expected a key in quotes, found '}'");
    const char *lone = "[\"\\ud83d\\u0041\\\\ud800\\ud83d\\ude00\\ude00\"]";
    assert_int_equal(cs_json_parse_lenient(lone, strlen(lone), "t", &v, &err), CS_OK);
    assert_string_equal(json_string_value(json_array_get(v, 0)), "\xef\xbf\xbd" "A\\ud800\xf0\x9f\x98\x80\xef\xbf\xbd");
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

/* Events, token ranges and decoded texts of the scanner. */
static void scanner(void **state)
{
    (void)state;
    static const struct {
        cs_json_event event;
        size_t start, end;
    } want[] = {{CS_JSON_OBJECT, 0, 1}, {CS_JSON_KEY, 1, 4},   {CS_JSON_ARRAY, 5, 6},      {CS_JSON_INTEGER, 6, 8}, {CS_JSON_REAL, 9, 12},
                {CS_JSON_ARRAY_END, 12, 13}, {CS_JSON_KEY, 14, 24}, {CS_JSON_STRING, 25, 39}, {CS_JSON_KEY, 40, 43}, {CS_JSON_NULL, 44, 48},
                {CS_JSON_OBJECT_END, 49, 50}, {CS_JSON_END, 50, 50}, {CS_JSON_END, 50, 50}};
    const char *text = "{\"a\":[-7,2.5],\"\\u0062\\n\":\"\\ud83d\\ude00\",\"c\":null }";
    char buf[64];
    cs_json_scan s;
    cs_error err = {0};
    cs_json_scan_init(&s, text, strlen(text), "t");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(cs_json_scan_next(&s, &err), CS_OK);
        assert_int_equal(s.event, want[i].event);
        assert_int_equal(s.start, want[i].start);
        assert_int_equal(s.end, want[i].end);
        if (i == 3)
            assert_int_equal(s.integer, -7);
        if (i == 6)
            assert_true(cs_json_scan_is(&s, "b\n") && !cs_json_scan_is(&s, "b"));
        if (i == 7) {
            assert_int_equal(cs_json_scan_text(&s, buf), 4);
            assert_string_equal(buf, "\xf0\x9f\x98\x80");
        }
        if (i == 8)
            assert_true(cs_json_scan_is(&s, "c") && !cs_json_scan_is(&s, "cc"));
    }
    cs_json_scan_init(&s, text, strlen(text), "t");
    assert_int_equal(cs_json_scan_next(&s, &err), CS_OK);
    assert_int_equal(cs_json_scan_skip(&s, &err), CS_OK);
    assert_int_equal(s.end, strlen(text));
    s.base = 8;
    s.by_offset = true;
    assert_int_equal(cs_json_scan_unexpected(&s, "more", &err), CS_E_FORMAT);
    assert_string_equal(err.msg, "t: byte 57: expected more, found '}'");
}

/* The decision about each file on which RFC 8259 leaves the choice; the lenient gate differs on the lone surrogates only. */
static bool accepted_by_choice(const char *name, bool lenient)
{
    static const char *const yes[] = {"i_number_double_huge_neg_exp.json", "i_number_real_underflow.json"};
    static const char *const surrogate[] = {"i_object_key_lone_2nd_surrogate.json", "i_string_1st_surrogate_but_2nd_missing.json",
                                            "i_string_1st_valid_surrogate_2nd_invalid.json", "i_string_incomplete_surrogate_and_escape_valid.json",
                                            "i_string_incomplete_surrogate_pair.json", "i_string_incomplete_surrogates_escape_valid.json",
                                            "i_string_invalid_lonely_surrogate.json", "i_string_invalid_surrogate.json",
                                            "i_string_inverted_surrogates_U+1D11E.json", "i_string_lone_second_surrogate.json"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (strcmp(name, yes[i]) == 0)
            return true;
    for (size_t i = 0; lenient && i < sizeof surrogate / sizeof *surrogate; i++)
        if (strcmp(name, surrogate[i]) == 0)
            return true;
    return false;
}

/* y_ files pass the lenient gate, all but those with a repeated key the strict one too; n_ files pass none; of the i_ files the list above. */
static void run_suite(const char *where, size_t want_y, size_t want_n, size_t want_i)
{
    char **names, dir[400];
    size_t n, y = 0, no = 0, choice = 0, repeated = 0;
    cs_error err = {0};
    snprintf(dir, sizeof dir, "%s", where); /* test_path has few buffers */
    assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
    for (size_t i = 0; i < n; i++) {
        uint8_t *data;
        size_t size;
        cs_error why = {0};
        assert_int_equal(cs_io_read_all(test_path(dir, names[i]), 1 << 20, &data, &size, &err), CS_OK);
        cs_status strict = parse_n((char *)data, size, false, &why), lenient = parse_n((char *)data, size, true, &why);
        bool twice = strstr(names[i], "duplicated_key") != NULL, ok = false;
        if (names[i][0] == 'y')
            ok = lenient == CS_OK && strict == (twice ? CS_E_FORMAT : CS_OK);
        else if (names[i][0] == 'n')
            ok = lenient == CS_E_FORMAT && strict == CS_E_FORMAT;
        else
            ok = strict == (accepted_by_choice(names[i], false) ? CS_OK : CS_E_FORMAT) &&
                 lenient == (accepted_by_choice(names[i], true) ? CS_OK : CS_E_FORMAT);
        if (!ok)
            fail_msg("%s: strict %d, lenient %d: %s", names[i], strict, lenient, why.msg);
        repeated += twice && names[i][0] == 'y';
        y += names[i][0] == 'y';
        no += names[i][0] == 'n';
        choice += names[i][0] == 'i';
        cs_free(data);
    }
    assert_int_equal(repeated, 2);
    assert_int_equal(y, want_y);
    assert_int_equal(no, want_n);
    assert_int_equal(choice, want_i);
    cs_io_list_free(names, n);
}

static void suite_sample(void **state)
{
    (void)state;
    run_suite(test_path(TEST_DATA, "json"), 63, 64, 24);
}

static void suite_whole(void **state)
{
    (void)state;
    const char *root = getenv("CS_SHARED_DATA");
    if (!root) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    run_suite(test_path(root, "json/test_parsing"), 63, 125, 24);
}

/* Integers that int64 cannot hold are reals behind the gate of tokenizer_config.json only. */
static void big_integers(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": 1000000000000000019884624838656, \"b\": -9223372036854775809, \"c\": 9223372036854775807, \"\\u0000\": [1e30]}";
    json_t *v;
    cs_error err = {0};
    assert_int_equal(cs_json_parse(text, sizeof text - 1, "t", &v, &err), CS_E_FORMAT);
    assert_int_equal(cs_json_parse_config(text, sizeof text - 1, "t", &v, &err), CS_OK);
    assert_true(json_is_real(json_object_get(v, "a")) && json_is_real(json_object_get(v, "b")));
    double a = json_real_value(json_object_get(v, "a")), b = json_real_value(json_object_get(v, "b"));
    assert_true(a > 0.99999999999e30 && a < 1.00000000001e30);
    assert_true(b > -9.22337203686e18 && b < -9.22337203684e18);
    assert_int_equal(json_integer_value(json_object_get(v, "c")), INT64_MAX);
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_damage), cmocka_unit_test(depth),    cmocka_unit_test(large_texts),  cmocka_unit_test(numbers),
        cmocka_unit_test(keys_and_modes),       cmocka_unit_test(members),  cmocka_unit_test(scanner),      cmocka_unit_test(suite_sample),
        cmocka_unit_test(suite_whole), cmocka_unit_test(big_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
