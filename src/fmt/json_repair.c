/* See json_repair.h. Line breaks stay where they are, so that the parser's lines are those of the file. */
#include "fmt/json_repair.h"

#include "fmt/limits.h"

#include <ctype.h>
#include <string.h>

typedef struct repair {
    const char *p;
    size_t len, at;
    const char *name;
    cs_str *out, *notes;
    uint64_t objects; /* bit d: level d is an object */
    int depth;
    char last; /* the last character that is no blank, outside of strings */
} repair;

static void note(repair *r, size_t at, const char *what, const char *text, size_t n)
{
    int64_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        bool feed = r->p[i] == '\n';
        line += feed;
        column = feed ? 1 : column + (((unsigned char)r->p[i] & 0xc0) != 0x80);
    }
    cs_str_printf(r->notes, "%s:%lld:%lld: %s%.*s\n", r->name, (long long)line, (long long)column, what, (int)n, text);
}

static void copy(repair *r, size_t n)
{
    cs_str_append(r->out, r->p + r->at, n);
    r->at += n;
}

/* Length of the string at `at` with its quotes, if it ends on its line; else 0. */
static size_t string_length(const repair *r)
{
    for (size_t i = r->at + 1; i < r->len && r->p[i] != '\n'; i++) {
        if (r->p[i] == '\\')
            i++;
        else if (r->p[i] == '"')
            return i + 1 - r->at;
    }
    return 0;
}

static bool colon_follows(const repair *r, size_t i)
{
    while (i < r->len && (r->p[i] == ' ' || r->p[i] == '\t'))
        i++;
    return i < r->len && r->p[i] == ':';
}

static void take_string(repair *r)
{
    bool is_key = (r->last == '{' || r->last == ',') && r->depth > 0 && (r->objects >> (r->depth - 1) & 1) != 0;
    size_t n = string_length(r), word = 1;
    while (r->at + word < r->len && (isalnum((unsigned char)r->p[r->at + word]) || strchr("_-", r->p[r->at + word])))
        word++;
    if (is_key && word > 1 && (n == 0 || !colon_follows(r, r->at + n)) && colon_follows(r, r->at + word)) {
        note(r, r->at + word, "read with the closing quote that the key lacks: ", r->p + r->at + 1, word - 1);
        copy(r, word);
        cs_str_putc(r->out, '"');
    } else {
        copy(r, n > 0 ? n : r->len - r->at);
    }
    r->last = '"';
}

static void take_word(repair *r)
{
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    size_t n = 0;
    while (r->at + n < r->len && isalnum((unsigned char)r->p[r->at + n]))
        n++;
    r->last = 'w';
    for (size_t i = 0; i < 3; i++) {
        if (n != strlen(words[i][0]) || memcmp(words[i][0], r->p + r->at, n) != 0)
            continue;
        note(r, r->at, "read as JSON's own word: ", r->p + r->at, n);
        cs_str_puts(r->out, words[i][1]);
        r->at += n;
        return;
    }
    copy(r, n);
}

cs_status cs_json_repair(const char *bytes, size_t len, const char *name, cs_str *out, cs_str *notes, cs_error *err)
{
    repair r = {.p = bytes, .len = len, .name = name, .out = out, .notes = notes};
    while (r.at < len) {
        char c = bytes[r.at];
        if (c == '"') {
            take_string(&r);
        } else if (isalnum((unsigned char)c)) {
            take_word(&r);
        } else {
            if ((c == '{' || c == '[') && r.depth < CS_LIMIT_JSON_DEPTH) {
                r.objects = (r.objects & ~(1ull << r.depth)) | (uint64_t)(c == '{') << r.depth;
                r.depth++;
            } else if ((c == '}' || c == ']') && r.depth > 0) {
                r.depth--;
            }
            if (!strchr(" \t\r\n", c))
                r.last = c;
            copy(&r, 1);
        }
    }
    CS_TRY(cs_str_check(notes, err));
    return cs_str_check(out, err);
}
