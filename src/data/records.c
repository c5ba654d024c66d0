/* See records.h. Invariant: buf[at..len) is input not yet handed out; `line` is the line number of buf[at]. */
#include "data/records.h"

#include "base/mem.h"
#include "fmt/limits.h"
#include "data/csv.h"
#include "data/inputs.h"
#include "data/parquet_file.h"
#include "data/stream.h"
#include "fmt/json.h"

#include <string.h>

enum { CHUNK = 1 << 17 };

struct cs_records {
    const char *path;
    cs_stream *stream;        /* NULL for Parquet */
    cs_parquet_file *parquet; /* NULL for all others */
    cs_record_kind kind;
    char *buf;
    size_t at, len, cap;
    int64_t line;
    bool ended, opened, closed; /* opened, closed: the array's brackets */
    bool behind; /* the error in hand is about one record; what follows it can be read */
    bool drop;   /* the line at hand is too long and is passed over by the next call */
    bool lost;   /* an error ended the file */
    bool spread; /* objects of JSON over several lines, one behind the other */
    cs_csv csv;
};

static size_t limit(const cs_records *r)
{
    return r->kind == CS_RECORD_WHOLE ? CS_LIMIT_DOCUMENT_BYTES : CS_LIMIT_RECORD_BYTES;
}

/* At least one more byte behind buf[at..len), or `ended`. `keep` bytes from `at` stay; they are moved to the front. */
static cs_status more(cs_records *r, cs_error *err)
{
    if (r->at > 0) {
        memmove(r->buf, r->buf + r->at, r->len - r->at);
        r->len -= r->at;
        r->at = 0;
    }
    if (r->len > limit(r)) {
        r->behind = r->drop = r->kind != CS_RECORD_WHOLE && r->kind != CS_RECORD_JSON_ARRAY && !r->spread;
        return cs_fail(err, CS_E_FORMAT, "%s:%lld:1: a record of more than %zu bytes starts here; split it, or set line breaks",
                       cs_stream_name(r->stream), (long long)r->line, limit(r));
    }
    if (r->cap - r->len < CHUNK) {
        size_t cap = r->cap * 2 < limit(r) ? r->cap * 2 : limit(r) + 2 * CHUNK;
        cap = cap > r->len + CHUNK ? cap : r->len + CHUNK;
        char *bigger = cs_realloc(r->buf, cap);
        if (!bigger)
            return cs_fail_nomem(err, cap, cs_stream_name(r->stream));
        r->buf = bigger;
        r->cap = cap;
    }
    size_t got = 0;
    CS_TRY(cs_stream_read(r->stream, r->buf + r->len, r->cap - r->len, &got, err));
    r->len += got;
    r->ended = got == 0;
    return CS_OK;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Moves `at` over blanks; false at the end of the file. */
static cs_status skip_blanks(cs_records *r, bool *found, cs_error *err)
{
    for (;;) {
        while (r->at < r->len && blank(r->buf[r->at]))
            r->line += r->buf[r->at++] == '\n';
        *found = r->at < r->len;
        if (*found || r->ended)
            return CS_OK;
        CS_TRY(more(r, err));
    }
}

/* The first line as far as it is in the first chunk, for guessing only. */
static bool first_line_is_object(const cs_records *r)
{
    const char *from = r->buf + r->at, *end = memchr(from, '\n', r->len - r->at);
    json_t *v = NULL;
    if (!end && !r->ended)
        return false;
    bool yes = cs_json_parse(from, end ? (size_t)(end - from) : r->len - r->at, "guess", &v, NULL) == CS_OK && json_is_object(v);
    json_decref(v);
    return yes;
}

/* An object that goes on behind the first line, as it does where JSON is written for people; a line that was cut ends otherwise. */
static bool first_line_is_open(const cs_records *r)
{
    const char *from = r->buf + r->at, *end = memchr(from, '\n', r->len - r->at);
    size_t n = end ? (size_t)(end - from) : 0;
    while (n > 0 && blank(from[n - 1]))
        n--;
    return n > 0 && from[0] == '{' && (n == 1 || from[n - 1] == ',' || from[n - 1] == '{' || from[n - 1] == '[');
}

static cs_record_kind guess(const cs_records *r, const char *path)
{
    cs_input_kind named = cs_input_kind_of(path);
    size_t i = r->at;
    while (i < r->len && blank(r->buf[i]))
        i++;
    char first = i < r->len ? r->buf[i] : '\0';
    if (named == CS_INPUT_JSON || named == CS_INPUT_JSONL)
        return CS_RECORD_JSON;
    if (named == CS_INPUT_TXT)
        return CS_RECORD_LINES;
    if (named == CS_INPUT_CSV || named == CS_INPUT_TSV)
        return named == CS_INPUT_CSV ? CS_RECORD_CSV : CS_RECORD_TSV;
    if (first == '{')
        return first_line_is_object(r) || (i == r->at && first_line_is_open(r)) ? CS_RECORD_JSON : CS_RECORD_LINES;
    if (first == '[') {
        for (i++; i < r->len && blank(r->buf[i]); i++)
            ;
        return i < r->len && r->buf[i] == '{' ? CS_RECORD_JSON : CS_RECORD_LINES;
    }
    return CS_RECORD_LINES;
}

static cs_status begin(cs_records *r, const char *path, cs_error *err)
{
    bool found = false;
    while (r->len < CHUNK && !r->ended)
        CS_TRY(more(r, err));
    if (r->len >= 3 && memcmp(r->buf, "\xef\xbb\xbf", 3) == 0)
        r->at = 3;
    if (r->kind == CS_RECORD_AUTO)
        r->kind = guess(r, path);
    if (r->kind == CS_RECORD_CSV || r->kind == CS_RECORD_TSV)
        r->csv.delimiter = r->kind == CS_RECORD_TSV ? '\t' : cs_csv_guess_delimiter(r->buf + r->at, r->len - r->at);
    if (r->kind != CS_RECORD_JSON)
        return CS_OK;
    CS_TRY(skip_blanks(r, &found, err));
    if (found && r->buf[r->at] == '[')
        r->kind = CS_RECORD_JSON_ARRAY;
    r->spread = found && first_line_is_open(r);
    return CS_OK;
}

cs_status cs_records_create(const char *path, cs_record_kind kind, cs_records **out, cs_error *err)
{
    *out = NULL;
    cs_records *r = cs_calloc(1, sizeof *r);
    if (!r)
        return cs_fail_nomem(err, sizeof *r, path);
    r->kind = kind;
    r->line = 1;
    r->path = path;
    cs_status s = CS_OK;
    if (kind == CS_RECORD_AUTO || kind == CS_RECORD_PARQUET)
        s = cs_parquet_file_create(path, kind == CS_RECORD_PARQUET, &r->parquet, err);
    if (r->parquet)
        r->kind = CS_RECORD_PARQUET;
    else if (s == CS_OK)
        s = cs_stream_create(path, &r->stream, err);
    if (s == CS_OK && r->stream)
        s = begin(r, path, err);
    if (s != CS_OK)
        cs_records_destroy(r);
    else
        *out = r;
    return s;
}

void cs_records_destroy(cs_records *r)
{
    if (!r)
        return;
    cs_stream_destroy(r->stream);
    cs_csv_release(&r->csv);
    cs_parquet_file_destroy(r->parquet);
    cs_free(r->buf);
    cs_free(r);
}

void cs_records_want(cs_records *r, const char *const *keys, size_t n_keys)
{
    if (r->parquet)
        cs_parquet_file_want(r->parquet, keys, n_keys);
}

cs_record_kind cs_records_kind(const cs_records *r)
{
    return r->kind;
}

bool cs_records_are_json(const cs_records *r)
{
    return r->kind != CS_RECORD_LINES && r->kind != CS_RECORD_WHOLE;
}

bool cs_records_lost(const cs_records *r)
{
    return r->lost;
}

bool cs_records_empty(const cs_records *r)
{
    return r->len == 0 && r->ended;
}

/* Passes over the rest of a line that is too long, in the memory that is there. */
static cs_status drop_line(cs_records *r, cs_error *err)
{
    const char *end;
    while (!(end = memchr(r->buf + r->at, '\n', r->len - r->at))) {
        r->at = r->len;
        if (r->ended)
            return CS_OK;
        CS_TRY(more(r, err));
    }
    r->at = (size_t)(end + 1 - r->buf);
    r->line++;
    return CS_OK;
}

static cs_status next_line(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    size_t seen = 0;
    for (;;) {
        const char *from = r->buf + r->at, *end = memchr(from + seen, '\n', r->len - r->at - seen);
        size_t n = end ? (size_t)(end - from) : r->len - r->at;
        if (!end && !r->ended) {
            seen = n;
            CS_TRY(more(r, err));
            continue;
        }
        if (!end && n == 0)
            return CS_OK;
        *text = from;
        *line = r->line;
        *len = n > 0 && from[n - 1] == '\r' ? n - 1 : n;
        r->at += n + (end != NULL);
        r->line++;
        return CS_OK;
    }
}

static cs_status next_json_line(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    for (;;) {
        *text = NULL;
        CS_TRY(next_line(r, text, len, line, err));
        if (!*text)
            return CS_OK;
        for (size_t i = 0; i < *len; i++)
            if (!blank((*text)[i]))
                return CS_OK;
    }
}

/* The next row that is not blank, as it stands in the file; *row = NULL at the end. Of a row whose quote is open at the end of the file only the
 * first line is used up: once per file, as the quotes behind it then pair. */
static cs_status cut_row(cs_records *r, const char **row, size_t *n, int64_t *line, cs_error *err)
{
    bool is_blank = true;
    while (is_blank) {
        cs_csv_cut cut = {0};
        while (!cs_csv_cut_row(&cut, r->csv.delimiter, r->buf + r->at, r->len - r->at) && !r->ended)
            CS_TRY(more(r, err));
        *row = r->buf + r->at;
        *n = cut.at;
        *line = r->line;
        if (r->at + cut.at == r->len && cut.at == 0) {
            *row = NULL;
            return CS_OK;
        }
        if (cs_csv_cut_open(&cut)) {
            r->drop = true;
            return CS_OK;
        }
        for (size_t i = 0; i < *n; i++) {
            is_blank &= blank((*row)[i]) && (*row)[i] != r->csv.delimiter;
            r->line += (*row)[i] == '\n';
        }
        r->line += r->at + *n < r->len;
        r->at += *n + (r->at + *n < r->len);
    }
    return CS_OK;
}

static cs_status next_row(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    const char *row;
    size_t n;
    CS_TRY(cut_row(r, &row, &n, line, err));
    if (row && r->csv.n_keys == 0) {
        CS_TRY(cs_csv_header(&r->csv, row, n, cs_stream_name(r->stream), *line, err));
        CS_TRY(cut_row(r, &row, &n, line, err));
    }
    if (!row)
        return CS_OK;
    r->behind = true;
    CS_TRY(cs_csv_row(&r->csv, row, n, cs_stream_name(r->stream), *line, err));
    *text = cs_str_cstr(&r->csv.json);
    *len = r->csv.json.len;
    return CS_OK;
}

/* How far an element of an array reaches. */
typedef struct scan {
    int64_t depth;
    bool quoted, escaped;
} scan;

/* True when `c` ends the element in front of it. */
static bool scan_ends(scan *s, char c)
{
    if (s->quoted) {
        s->quoted = s->escaped || c != '"';
        s->escaped = !s->escaped && c == '\\';
        return false;
    }
    if (s->depth == 0 && (c == ',' || c == ']'))
        return true;
    s->quoted = c == '"';
    s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    return false;
}

/* The next of several objects, up to the bracket that closes it or to the end of the file. */
static cs_status next_object(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    scan s = {0};
    bool found;
    size_t n = 0;
    int64_t lines = 0;
    CS_TRY(skip_blanks(r, &found, err));
    *line = r->line;
    if (!found)
        return CS_OK;
    if (r->buf[r->at] != '{')
        return next_line(r, text, len, line, err);
    do {
        while (r->at + n == r->len && !r->ended)
            CS_TRY(more(r, err));
        if (r->at + n == r->len)
            break;
        scan_ends(&s, r->buf[r->at + n]);
        lines += r->buf[r->at + n++] == '\n';
    } while (s.depth > 0 || s.quoted);
    *text = r->buf + r->at;
    *len = n;
    r->at += n;
    r->line += lines;
    return CS_OK;
}

/* Behind '[' or ',': the element up to the next ',' or ']' of the array. */
static cs_status array_element(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    scan s = {0};
    size_t n = 0;
    int64_t lines = 0;
    *line = r->line;
    for (;; n++) {
        while (r->at + n == r->len && !r->ended)
            CS_TRY(more(r, err));
        if (r->at + n == r->len)
            return cs_fail(err, CS_E_FORMAT, "%s:%lld: the file ends inside the array; the element that starts here has no end",
                           cs_stream_name(r->stream), (long long)r->line);
        char c = r->buf[r->at + n];
        if (scan_ends(&s, c))
            break;
        lines += c == '\n';
    }
    r->closed = r->buf[r->at + n] == ']';
    *text = r->buf + r->at;
    *len = n;
    while (*len > 0 && blank((*text)[*len - 1]))
        --*len;
    r->at += n + 1;
    r->line += lines;
    return CS_OK;
}

static cs_status next_element(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    bool found, first = !r->opened;
    if (first) {
        CS_TRY(skip_blanks(r, &found, err));
        if (!found || r->buf[r->at] != '[')
            return cs_fail(err, CS_E_FORMAT, "%s:%lld: expected a JSON array", cs_stream_name(r->stream), (long long)r->line);
        r->opened = true;
        r->at++;
    }
    CS_TRY(skip_blanks(r, &found, err));
    if (first && found && r->buf[r->at] == ']') {
        r->closed = true;
        r->at++;
        CS_TRY(skip_blanks(r, &found, err));
    } else if (!r->closed) {
        return array_element(r, text, len, line, err);
    }
    if (found)
        return cs_fail(err, CS_E_FORMAT, "%s:%lld: text behind the end of the array", cs_stream_name(r->stream), (long long)r->line);
    return CS_OK;
}

static cs_status whole(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    while (!r->ended)
        CS_TRY(more(r, err));
    if (r->closed)
        return CS_OK;
    r->closed = true;
    *text = r->buf + r->at;
    *len = r->len - r->at;
    *line = 1;
    return CS_OK;
}

static cs_status next(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    if (r->drop) {
        CS_TRY(drop_line(r, err));
        r->drop = false;
    }
    switch (r->kind) {
    case CS_RECORD_WHOLE: return whole(r, text, len, line, err);
    case CS_RECORD_JSON: return r->spread ? next_object(r, text, len, line, err) : next_json_line(r, text, len, line, err);
    case CS_RECORD_JSON_ARRAY: return next_element(r, text, len, line, err);
    case CS_RECORD_PARQUET: return cs_parquet_file_next(r->parquet, text, len, line, err);
    case CS_RECORD_CSV: case CS_RECORD_TSV: return next_row(r, text, len, line, err);
    default: return next_line(r, text, len, line, err);
    }
}

cs_status cs_records_next(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    *text = NULL;
    *len = 0;
    *line = r->line;
    if (r->lost)
        return CS_OK;
    r->behind = false;
    cs_status s = next(r, text, len, line, err);
    if (s != CS_OK) {
        *text = NULL;
        r->lost = !r->behind;
    }
    return s;
}

int64_t cs_records_consumed(const cs_records *r)
{
    return r->parquet ? cs_parquet_file_consumed(r->parquet) : cs_stream_consumed(r->stream);
}

const char *cs_records_name(const cs_records *r)
{
    return r->parquet ? r->path : cs_stream_name(r->stream);
}
