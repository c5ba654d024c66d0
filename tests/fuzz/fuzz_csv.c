/* Tables: what is written comes back. Byte 0 of the input chooses how. Half of the inputs are fields (each ends at a byte 0x1f), which are written as
 * a table with and without quotes: every row read is the fields written, or is refused because a field is no UTF-8. The other half are tables as they
 * stand: rows cut in pieces of any size are those cut at once, and every row becomes one JSON object with the columns' names, or is refused. */
// options: -max_len=4096
#include "fuzz/fuzz.h"

#include "data/csv.h"
#include "fmt/json.h"
#include "text/utf8.h"

#include <string.h>

enum { ALWAYS_QUOTED = 1, TABS = 2, CARRIAGE_RETURNS = 4, AS_IT_STANDS = 8 };

typedef struct span {
    const char *text;
    size_t n;
} span;

static void put_field(cs_str *out, span f, uint8_t how)
{
    bool quoted = (how & ALWAYS_QUOTED) != 0 || f.n == 0;
    for (size_t i = 0; i < f.n; i++)
        quoted |= strchr("\",\t\r\n", f.text[i]) != NULL;
    if (quoted)
        cs_str_putc(out, '"');
    for (size_t i = 0; i < f.n; i++) {
        if (f.text[i] == '"')
            cs_str_putc(out, '"');
        cs_str_putc(out, f.text[i]);
    }
    if (quoted)
        cs_str_putc(out, '"');
}

/* Cuts the row at p, pieces of `step` bytes at a time. */
static size_t cut(const cs_csv *csv, const char *p, size_t n, size_t step)
{
    cs_csv_cut c = {0};
    size_t given = 0;
    do {
        given = n - given < step ? n : given + step;
        if (cs_csv_cut_row(&c, csv->delimiter, p, given))
            break;
        FUZZ_CHECK(c.at == given);
    } while (given < n);
    return c.at;
}

static json_t *object(const cs_csv *csv)
{
    json_t *v = NULL;
    cs_error err = {0};
    FUZZ_CHECK(cs_json_parse(csv->json.data, csv->json.len, "row", &v, &err) == CS_OK);
    FUZZ_CHECK(json_is_object(v) && json_object_size(v) == csv->n_keys);
    return v;
}

static void check_row(const cs_csv *csv, const span *f)
{
    static const char *const keys[] = {"a", "b\"", "c,", "d"};
    json_t *v = object(csv);
    for (size_t i = 0; i < csv->n_keys; i++) {
        const json_t *text = json_object_get(v, keys[i]);
        FUZZ_CHECK(json_is_string(text) && json_string_length(text) == f[i].n && memcmp(json_string_value(text), f[i].text, f[i].n) == 0);
    }
    json_decref(v);
}

static void written(const char *p, size_t n, uint8_t how, size_t columns)
{
    static const span names[] = {{"a", 1}, {"b\"", 2}, {"c,", 2}, {"d", 1}};
    cs_csv csv = {.delimiter = how & TABS ? '\t' : ','};
    cs_str row = {0};
    cs_error err = {0};
    for (bool header = true; header || n > 0; header = false) {
        span f[4] = {0};
        bool utf8 = true;
        cs_str_clear(&row);
        for (size_t i = 0; i < columns; i++) {
            const char *end = n > 0 ? memchr(p, 0x1f, n) : NULL;
            f[i] = header ? names[i] : (span){p, end ? (size_t)(end - p) : n};
            if (!header) {
                p += f[i].n + (end != NULL);
                n -= f[i].n + (end != NULL);
            }
            utf8 &= cs_utf8_valid_prefix((const uint8_t *)f[i].text, f[i].n) == f[i].n;
            if (i > 0)
                cs_str_putc(&row, csv.delimiter);
            put_field(&row, f[i], how);
        }
        if (how & CARRIAGE_RETURNS)
            cs_str_putc(&row, '\r');
        size_t len = row.len;
        cs_str_puts(&row, "\nnext");
        FUZZ_CHECK(cut(&csv, row.data, row.len, row.len) == len);
        cs_status s = header ? cs_csv_header(&csv, row.data, len, "f", 1, &err) : cs_csv_row(&csv, row.data, len, "f", 1, &err);
        FUZZ_CHECK(utf8 ? s == CS_OK : fuzz_refused(s, CS_E_FORMAT, &err));
        if (!header && utf8)
            check_row(&csv, f);
    }
    cs_str_release(&row);
    cs_csv_release(&csv);
}

static void as_it_stands(const char *p, size_t n, uint8_t how)
{
    cs_csv csv = {.delimiter = cs_csv_guess_delimiter(p, n)};
    cs_error err = {0};
    for (size_t line = 1; n > 0; line++) {
        size_t len = cut(&csv, p, n, n);
        FUZZ_CHECK(len <= n && len == cut(&csv, p, n, 1 + (how >> 4)));
        cs_status s = csv.n_keys == 0 ? cs_csv_header(&csv, p, len, "f", 1, &err) : cs_csv_row(&csv, p, len, "f", (int64_t)line, &err);
        FUZZ_CHECK(s == CS_OK || fuzz_refused(s, CS_E_FORMAT, &err));
        if (csv.n_keys == 0 || (s != CS_OK && line == 1))
            break;
        if (s == CS_OK && line > 1)
            json_decref(object(&csv));
        len += len < n;
        p += len;
        n -= len;
    }
    cs_csv_release(&csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] & AS_IT_STANDS)
        as_it_stands((const char *)data + 1, size - 1, data[0]);
    else
        written((const char *)data + 1, size - 1, data[0], 1 + (data[0] >> 4) % 4);
    return 0;
}
