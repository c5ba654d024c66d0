/* Parquet from any bytes: an error with an offset, or rows that are JSON of one line each, as many as the footer says unless reading ends with an
 * error. The first column alone gives as many rows, and no error that reading all columns would not give. */
// seeds: tests/golden/parquet/*.parquet
#include "fuzz/fuzz.h"

#include "fmt/json_scan.h"
#include "fmt/parquet.h"

#include <string.h>

enum { ROW_BYTES = 1 << 18, MOST_ROWS = 500, MOST_BYTES = 1 << 20 };

static void check_json(const char *text, size_t len)
{
    cs_json_scan s;
    cs_error err = {0};
    FUZZ_CHECK(!memchr(text, '\n', len) && text[0] == '{');
    cs_json_scan_init(&s, text, len, "row");
    s.big_integers = true;
    do {
        if (cs_json_scan_next(&s, &err) != CS_OK) {
            fprintf(stderr, "%s\n%.*s\n", err.msg, (int)len, text);
            abort();
        }
    } while (s.event != CS_JSON_END);
}

/* Rows until the end, an error or enough of them; *whole when the end came. */
static int64_t read_rows(const cs_parquet *p, const char *const *keys, bool *whole)
{
    cs_parquet_rows *r = NULL;
    cs_error err = {0};
    const char *text = NULL;
    size_t len = 0, bytes = 0;
    int64_t row = 0, n = 0;
    FUZZ_CHECK(cs_parquet_rows_create(p, ROW_BYTES, &r, &err) == CS_OK);
    if (keys)
        cs_parquet_rows_want(r, keys, 1);
    *whole = false;
    while (n < MOST_ROWS && bytes < MOST_BYTES) {
        cs_status s = cs_parquet_rows_next(r, &text, &len, &row, &err);
        FUZZ_CHECK(s == CS_OK || (fuzz_refused(s, CS_E_FORMAT, &err) && strstr(err.msg, "f: offset ")));
        *whole = s == CS_OK && !text;
        if (!text)
            break;
        FUZZ_CHECK(row == ++n && len <= 2 * ROW_BYTES);
        check_json(text, len);
        bytes += len + 8;
    }
    FUZZ_CHECK(!*whole || n == p->n_rows);
    cs_parquet_rows_destroy(r);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_parquet p;
    cs_error err = {0};
    char path[100], key[100];
    bool whole, part;
    if (cs_parquet_init(&p, data, size, "f", &err) != CS_OK) {
        FUZZ_CHECK(fuzz_refused(err.status, CS_E_FORMAT, &err) && strstr(err.msg, "f: offset "));
        return 0;
    }
    for (size_t i = 0; i < p.n_leaves; i += 1 + i / 4) {
        cs_parquet_path(&p, i, path, sizeof path);
        FUZZ_CHECK(strlen(path) < sizeof path);
    }
    int64_t n = read_rows(&p, NULL, &whole);
    if (p.n_nodes > 1 && p.nodes[1].name_len < sizeof key) {
        const char *keys[] = {key};
        memcpy(key, p.nodes[1].name, p.nodes[1].name_len);
        key[p.nodes[1].name_len] = '\0';
        FUZZ_CHECK(read_rows(&p, keys, &part) >= n && (part || !whole));
    }
    cs_parquet_release(&p);
    return 0;
}
