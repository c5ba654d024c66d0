/* See csv.h. */
#include "data/csv.h"

#include "base/mem.h"
#include "fmt/limits.h"
#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

enum { FIELD_START, PLAIN, QUOTED, QUOTE_SEEN };

bool cs_csv_cut_row(cs_csv_cut *cut, char delimiter, const char *bytes, size_t n)
{
    size_t i = cut->at;
    int state = cut->state;
    for (; i < n; i++) {
        char c = bytes[i];
        if (state == QUOTED) {
            const char *quote = memchr(bytes + i, '"', n - i);
            i = quote ? (size_t)(quote - bytes) : n - 1;
            state = quote ? QUOTE_SEEN : QUOTED;
        } else if (c == '\n') {
            break;
        } else if (c == delimiter) {
            state = FIELD_START;
        } else if (c == '"' && (state == FIELD_START || state == QUOTE_SEEN)) {
            state = QUOTED;
        } else {
            state = PLAIN;
        }
    }
    cut->at = i;
    cut->state = state;
    return i < n;
}

bool cs_csv_cut_open(const cs_csv_cut *cut)
{
    return cut->state == QUOTED;
}

char cs_csv_guess_delimiter(const char *bytes, size_t n)
{
    char other = '\0';
    bool quoted = false;
    for (size_t i = 0; i < n && (quoted || bytes[i] != '\n'); i++) {
        if (bytes[i] == '"')
            quoted = !quoted;
        if (!quoted && bytes[i] == ',')
            return ',';
        if (!quoted && other == '\0' && (bytes[i] == '\t' || bytes[i] == ';'))
            other = bytes[i];
    }
    return other ? other : ',';
}

void cs_csv_release(cs_csv *csv)
{
    cs_str_release(&csv->keys);
    cs_str_release(&csv->json);
    cs_str_release(&csv->field);
    cs_free(csv->key_end);
    *csv = (cs_csv){0};
}

/* A row on its way: bytes[at..n) are not read yet. */
typedef struct row {
    const char *bytes;
    size_t n, at;
    char delimiter;
    const char *file;
    int64_t line;
} row;

/* "file:line:column: " about the byte at `at`; a column is a character. */
static cs_status fail_at(const row *r, size_t at, const char *what, cs_error *err)
{
    int64_t line = r->line, column = 1;
    for (size_t i = 0; i < at && i < r->n; i++) {
        bool feed = r->bytes[i] == '\n';
        line += feed;
        column = feed ? 1 : column + (((unsigned char)r->bytes[i] & 0xc0) != 0x80);
    }
    return cs_fail(err, CS_E_FORMAT, "%s:%lld:%lld: %s", r->file, (long long)line, (long long)column, what);
}

static cs_status add_text(const row *r, size_t from, size_t end, cs_str *out, cs_error *err)
{
    size_t good = cs_utf8_valid_prefix((const uint8_t *)r->bytes + from, end - from);
    if (good != end - from) {
        char what[80];
        snprintf(what, sizeof what, "expected UTF-8, found byte 0x%02x", (unsigned char)r->bytes[from + good]);
        return fail_at(r, from + good, what, err);
    }
    cs_str_append(out, r->bytes + from, end - from);
    return CS_OK;
}

/* The field at r->at into *out; r->at is then at the delimiter behind it or at the end. */
static cs_status next_field(row *r, cs_str *out, cs_error *err)
{
    size_t open = r->at;
    cs_str_clear(out);
    if (r->at == r->n || r->bytes[r->at] != '"') {
        const char *end = r->at < r->n ? memchr(r->bytes + r->at, r->delimiter, r->n - r->at) : NULL;
        r->at = end ? (size_t)(end - r->bytes) : r->n;
        return add_text(r, open, r->at, out, err);
    }
    for (;;) {
        size_t from = ++r->at;
        const char *quote = from < r->n ? memchr(r->bytes + from, '"', r->n - from) : NULL;
        if (!quote)
            return fail_at(r, open, "expected the quote that opens this field to be closed, found the end of the file", err);
        r->at = (size_t)(quote - r->bytes);
        CS_TRY(add_text(r, from, r->at, out, err));
        if (++r->at == r->n || r->bytes[r->at] != '"')
            break;
        cs_str_putc(out, '"');
    }
    if (r->at < r->n && r->bytes[r->at] != r->delimiter)
        return fail_at(r, r->at, "expected a delimiter or the end of the line behind a closing quote; a quote inside of quotes is written \"\"", err);
    return CS_OK;
}

/* Text as the inside of a JSON string. */
static void put_json(cs_str *out, const cs_str *text)
{
    const char *p = cs_str_cstr(text);
    size_t from = 0;
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        cs_str_append(out, p + from, i - from);
        from = i + 1;
        if (c == '\n')
            cs_str_append(out, "\\n", 2);
        else if (c < 0x20)
            cs_str_printf(out, "\\u%04x", c);
        else
            cs_str_append(out, c == '"' ? "\\\"" : "\\\\", 2);
    }
    cs_str_append(out, p + from, text->len - from);
}

/* Of a row without its line feed; a carriage return in front of that does not belong to it either. */
static row begin_row(const cs_csv *csv, const char *bytes, size_t n, const char *file, int64_t line)
{
    n -= n > 0 && bytes[n - 1] == '\r';
    return (row){bytes, n, 0, csv->delimiter, file, line};
}

/* The name of column n_keys, which stands at `at`. */
static cs_status add_key(cs_csv *csv, const row *r, size_t at, cs_error *err)
{
    if (csv->n_keys == CS_LIMIT_CSV_COLUMNS)
        return fail_at(r, at, "expected fewer columns; this is one too many", err);
    if (csv->n_keys == csv->cap) {
        size_t cap = csv->cap ? csv->cap * 2 : 16;
        size_t *more = cs_realloc_array(csv->key_end, cap, sizeof *more);
        if (!more)
            return cs_fail_nomem(err, cap * sizeof *more, "the columns of a table");
        csv->key_end = more;
        csv->cap = cap;
    }
    if (csv->field.len == 0)
        cs_str_printf(&csv->field, "Unnamed: %zu", csv->n_keys);
    size_t from = csv->keys.len;
    cs_str_putc(&csv->keys, '"');
    put_json(&csv->keys, &csv->field);
    cs_str_puts(&csv->keys, "\": ");
    CS_TRY(cs_str_check(&csv->field, err));
    CS_TRY(cs_str_check(&csv->keys, err));
    for (size_t k = 0, before = 0; k < csv->n_keys; before = csv->key_end[k++])
        if (csv->key_end[k] - before == csv->keys.len - from && memcmp(csv->keys.data + before, csv->keys.data + from, csv->keys.len - from) == 0)
            return fail_at(r, at, "expected every column under another name, found a name again", err);
    csv->key_end[csv->n_keys++] = csv->keys.len;
    return CS_OK;
}

cs_status cs_csv_header(cs_csv *csv, const char *bytes, size_t n, const char *file, int64_t line, cs_error *err)
{
    row r = begin_row(csv, bytes, n, file, line);
    if (r.n == 0)
        return fail_at(&r, 0, "expected the names of the columns, found nothing", err);
    for (;; r.at++) {
        size_t at = r.at;
        CS_TRY(next_field(&r, &csv->field, err));
        CS_TRY(add_key(csv, &r, at, err));
        if (r.at == r.n)
            return CS_OK;
    }
}

cs_status cs_csv_row(cs_csv *csv, const char *bytes, size_t n, const char *file, int64_t line, cs_error *err)
{
    row r = begin_row(csv, bytes, n, file, line);
    size_t fields = 0, surplus = 0, before = 0;
    cs_str_clear(&csv->json);
    for (;; r.at++, fields++) {
        if (fields == csv->n_keys)
            surplus = r.at;
        CS_TRY(next_field(&r, &csv->field, err));
        if (fields < csv->n_keys) {
            cs_str_puts(&csv->json, fields == 0 ? "{" : "\", ");
            cs_str_append(&csv->json, csv->keys.data + before, csv->key_end[fields] - before);
            cs_str_putc(&csv->json, '"');
            put_json(&csv->json, &csv->field);
            before = csv->key_end[fields];
        }
        if (r.at == r.n)
            break;
    }
    if (++fields != csv->n_keys) {
        char what[120];
        snprintf(what, sizeof what, "expected %zu fields as in the first row, found %zu", csv->n_keys, fields);
        return fail_at(&r, fields > csv->n_keys ? surplus : r.n, what, err);
    }
    cs_str_puts(&csv->json, "\"}");
    CS_TRY(cs_str_check(&csv->field, err));
    return cs_str_check(&csv->json, err);
}
