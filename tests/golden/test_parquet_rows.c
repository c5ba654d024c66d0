/* Parquet files of pyarrow (tests/golden/parquet: codecs x encodings x page versions x kinds of tables) read as records: the lines that pyarrow's own
 * reading gives, byte for byte. With CS_SHARED_DATA: GSM8K against its own JSON lines, the sample files, and the malformed ones, which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/records.h"
#include "data_path.h"
#include "fmt/json.h"
#include "fmt/limits.h"

/* Text of a whole file. */
static char *slurp(const char *path)
{
    uint8_t *data;
    size_t n;
    cs_error err = {0};
    assert_int_equal(cs_io_read_all(path, CS_LIMIT_RECORD_BYTES, &data, &n, &err), CS_OK);
    return (char *)data;
}

static cs_records *open_records(const char *path)
{
    cs_records *r;
    cs_error err = {0};
    if (cs_records_create(path, CS_RECORD_AUTO, &r, &err) != CS_OK)
        fail_msg("%s", err.msg);
    return r;
}

/* The records of `path` are the lines of `expected`. */
static int64_t compare(const char *path, const char *expected)
{
    cs_records *r = open_records(path);
    cs_error err = {0};
    const char *text;
    size_t len;
    int64_t row, n = 0;
    assert_int_equal(cs_records_kind(r), CS_RECORD_PARQUET);
    for (;;) {
        if (cs_records_next(r, &text, &len, &row, &err) != CS_OK)
            fail_msg("%s", err.msg);
        if (!text)
            break;
        const char *end = strchr(expected, '\n');
        if (!end || (size_t)(end - expected) != len || memcmp(expected, text, len) != 0)
            fail_msg("%s: row %lld: %.*s", path, (long long)row, (int)len, text);
        assert_int_equal(row, ++n);
        expected = end + 1;
    }
    assert_string_equal(expected, "");
    cs_records_destroy(r);
    return n;
}

static void files_of_pyarrow(void **state)
{
    (void)state;
    char dir[256], **names, expected[64];
    snprintf(dir, sizeof dir, "%s/../golden/parquet", test_data_dir());
    size_t n, files = 0;
    cs_error err = {0};
    assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
    for (size_t i = 0; i < n; i++) {
        if (!cs_str_ends_with(names[i], ".parquet"))
            continue;
        const char *kind = strrchr(names[i], '_') + 1;
        snprintf(expected, sizeof expected, "%.*s.jsonl", (int)(strlen(kind) - strlen(".parquet")), kind);
        char *lines = slurp(test_path(dir, expected));
        compare(test_path(dir, names[i]), lines);
        cs_free(lines);
        files++;
    }
    cs_io_list_free(names, n);
    assert_int_equal(files, 176);
}

/* Only the wanted members, and no others are decoded: a damaged page of another column does no harm. */
static void wanted_columns(void **state)
{
    (void)state;
    static const char *const keys[] = {"answer", "nothing"};
    const char *path = test_path(test_data_dir(), "../golden/parquet/v1_snappy_plain_nulls.parquet");
    char copy[300];
    const char *text;
    cs_error err = {0};
    size_t len;
    int64_t row;
    uint8_t *data;
    snprintf(copy, sizeof copy, "%s/copy.parquet", test_make_dir());
    assert_int_equal(cs_io_read_all(path, CS_LIMIT_RECORD_BYTES, &data, &len, &err), CS_OK);
    uint8_t *first = memmem(data, len, "eins3", 5); /* of the first column */
    assert_non_null(first);
    first[0] ^= 1;
    assert_int_equal(cs_io_write_atomic(copy, data, len, &err), CS_OK);
    cs_free(data);
    cs_records *r = open_records(copy);
    assert_int_equal(cs_records_next(r, &text, &len, &row, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "copy.parquet: offset 4: row group 0, column question, page 0: the page's checksum"));
    assert_int_equal(cs_records_next(r, &text, &len, &row, &err), CS_OK);
    assert_null(text);
    cs_records_destroy(r);
    r = open_records(copy);
    cs_records_want(r, keys, 2);
    assert_int_equal(cs_records_next(r, &text, &len, &row, &err), CS_OK);
    assert_string_equal(text, "{\"answer\":\"три\"}");
    for (int i = 1; i < 6; i++)
        assert_int_equal(cs_records_next(r, &text, &len, &row, &err), CS_OK);
    assert_int_equal(row, 6);
    assert_int_equal(cs_records_consumed(r), cs_io_kind(copy, &row) == CS_FILE_REGULAR ? row : 0);
    cs_records_destroy(r);
    *strrchr(copy, '/') = '\0';
    assert_int_equal(cs_io_remove_tree(copy, &err), CS_OK);
}

static void gsm8k(void **state)
{
    (void)state;
    const char *root = getenv("CS_SHARED_DATA"), *text, *line;
    if (!root) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    cs_records *a = open_records(test_path(root, "parquet/gsm8k_train-00000-of-00001.parquet"));
    cs_records *b = open_records(test_path(root, "datasets/gsm8k/train.jsonl"));
    cs_error err = {0};
    size_t n, m;
    int64_t row, at, rows = 0;
    for (;; rows++) {
        json_t *x, *y;
        assert_int_equal(cs_records_next(a, &text, &n, &row, &err), CS_OK);
        assert_int_equal(cs_records_next(b, &line, &m, &at, &err), CS_OK);
        assert_int_equal(!text, !line);
        if (!text)
            break;
        assert_int_equal(cs_json_parse(text, n, "parquet", &x, &err), CS_OK);
        assert_int_equal(cs_json_parse(line, m, "jsonl", &y, &err), CS_OK);
        assert_true(json_equal(x, y));
        json_decref(x);
        json_decref(y);
    }
    assert_int_equal(rows, 7473);
    cs_records_destroy(a);
    cs_records_destroy(b);
}

/* Reads to the end or the first error. */
static cs_status read_all(const char *path, int64_t *rows, cs_error *err)
{
    cs_records *r;
    const char *text = "";
    size_t len;
    int64_t row;
    cs_status s = cs_records_create(path, CS_RECORD_PARQUET, &r, err);
    for (*rows = 0; s == CS_OK && text; *rows += text != NULL)
        if ((s = cs_records_next(r, &text, &len, &row, err)) != CS_OK)
            break;
    cs_records_destroy(r);
    return s;
}

static void sample_files(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        size_t files;
    } rows[] = {{"parquet/bad_data", 6}, {"parquet/parquet-testing", 18}};
    const char *root = getenv("CS_SHARED_DATA");
    if (!root) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    for (size_t k = 0; k < 2; k++) {
        char dir[256], **names, place[80];
        snprintf(dir, sizeof dir, "%s/%s", root, rows[k].folder);
        size_t n, files = 0;
        int64_t got;
        cs_error err = {0};
        assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
        for (size_t i = 0; i < n; i++) {
            if (!cs_str_ends_with(names[i], ".parquet"))
                continue;
            bool bad = k == 0 || strstr(names[i], "corrupt-checksum") || strstr(names[i], "binary_truncated");
            snprintf(place, sizeof place, "%s: offset ", names[i]);
            cs_status s = read_all(test_path(dir, names[i]), &got, &err);
            if (s != (bad ? CS_E_FORMAT : CS_OK))
                fail_msg("%s: %d %s", names[i], s, err.msg);
            assert_true(!bad || strstr(err.msg, place));
            files++;
        }
        cs_io_list_free(names, n);
        assert_int_equal(files, rows[k].files);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_of_pyarrow), cmocka_unit_test(wanted_columns), cmocka_unit_test(gsm8k),
                                       cmocka_unit_test(sample_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
