/* See records.h. Invariant: buf[at..len) is input not yet handed out; `line` is the line number of buf[at]. */
#include "data/records.h"

#include "base/mem.h"
#include "fmt/limits.h"
#include "data/inputs.h"
#include "data/stream.h"
#include "fmt/json.h"

#include <string.h>

enum { CHUNK = 1 << 17 };

struct cs_records {
    cs_stream *stream;
    cs_record_kind kind;
    char *buf;
    size_t at, len, cap;
    int64_t line;
    bool ended, opened, closed; /* opened, closed: the array's brackets */
};

/* At least one more byte behind buf[at..len), or `ended`. `keep` bytes from `at` stay; they are moved to the front. */
static cs_status more(cs_records *r, cs_error *err)
{
    if (r->at > 0) {
        memmove(r->buf, r->buf + r->at, r->len - r->at);
        r->len -= r->at;
        r->at = 0;
    }
    if (r->len > CS_LIMIT_RECORD_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s:%lld: a record of more than %d bytes; split it, or set line breaks", cs_stream_name(r->stream),
                       (long long)r->line, CS_LIMIT_RECORD_BYTES);
    if (r->cap - r->len < CHUNK) {
        size_t cap = r->cap * 2 > r->len + CHUNK ? r->cap * 2 : r->len + CHUNK;
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
    if (first == '{')
        return first_line_is_object(r) ? CS_RECORD_JSON : CS_RECORD_LINES;
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
    if (r->kind != CS_RECORD_JSON)
        return CS_OK;
    CS_TRY(skip_blanks(r, &found, err));
    if (found && r->buf[r->at] == '[')
        r->kind = CS_RECORD_JSON_ARRAY;
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
    cs_status s = cs_stream_create(path, &r->stream, err);
    if (s == CS_OK)
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
    cs_free(r->buf);
    cs_free(r);
}

cs_record_kind cs_records_kind(const cs_records *r)
{
    return r->kind;
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

cs_status cs_records_next(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err)
{
    *text = NULL;
    *len = 0;
    *line = r->line;
    switch (r->kind) {
    case CS_RECORD_WHOLE: return whole(r, text, len, line, err);
    case CS_RECORD_JSON: return next_json_line(r, text, len, line, err);
    case CS_RECORD_JSON_ARRAY: return next_element(r, text, len, line, err);
    default: return next_line(r, text, len, line, err);
    }
}

int64_t cs_records_consumed(const cs_records *r)
{
    return cs_stream_consumed(r->stream);
}

const char *cs_records_name(const cs_records *r)
{
    return cs_stream_name(r->stream);
}
