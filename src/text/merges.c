/* Reader of merges.txt. */
#include "text/merges.h"

#include "text/utf8.h"

#include <string.h>

enum { PROBE = 400, FEWEST = 4 }; /* rules that are looked at, rules without which a text is none */

cs_status cs_merges_next(cs_merges *m, cs_bytes *left, cs_bytes *right, bool *more, cs_error *err)
{
    while (m->at < m->len) {
        const char *line = m->text + m->at, *stop = memchr(line, '\n', m->len - m->at);
        size_t n = stop ? (size_t)(stop - line) : m->len - m->at;
        m->at += n + (stop != NULL);
        m->line++;
        n -= n > 0 && line[n - 1] == '\r';
        if (n == 0 || (m->line == 1 && n >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        const char *space = memchr(line, ' ', n);
        size_t first = space ? (size_t)(space - line) : 0;
        if (first == 0 || first + 1 == n || memchr(space + 1, ' ', n - first - 1))
            return cs_fail(err, CS_E_FORMAT, "%s:%zu: expected two pieces with a blank between them", m->name, m->line);
        *left = (cs_bytes){line, first};
        *right = (cs_bytes){space + 1, n - first - 1};
        return *more = true, CS_OK;
    }
    *more = false;
    return CS_OK;
}

/* Every backslash stands before a quote or a backslash, every quote behind one. */
static bool is_escaped(const char *text, size_t len)
{
    bool quotes = false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            return false;
        if (text[i] != '\\')
            continue;
        if (++i == len || (text[i] != '"' && text[i] != '\\'))
            return false;
        quotes |= text[i] == '"';
    }
    return quotes;
}

size_t cs_merges_unescape(char *text, size_t len)
{
    size_t n = 0;
    if (!is_escaped(text, len))
        return len;
    for (size_t i = 0; i < len; i++) {
        i += text[i] == '\\';
        text[n++] = text[i];
    }
    return n;
}

size_t cs_merges_most(const char *text, size_t len)
{
    size_t n = 1;
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    return n;
}

/* One code point, or the two sides of an earlier rule put together; escapes are not looked into. */
static bool is_known(cs_bytes side, const cs_bytes (*rules)[2], size_t n)
{
    if (cs_utf8_decode((const uint8_t *)side.text, side.len, NULL) == side.len || memchr(side.text, '\\', side.len))
        return true;
    for (size_t i = 0; i < n; i++) {
        const cs_bytes *a = &rules[i][0], *b = &rules[i][1];
        if (a->len + b->len == side.len && memcmp(a->text, side.text, a->len) == 0 && memcmp(b->text, side.text + a->len, b->len) == 0)
            return true;
    }
    return false;
}

bool cs_merges_detect(const char *text, size_t len)
{
    cs_merges m = {.text = text, .len = len, .name = ""};
    cs_bytes rules[PROBE][2];
    size_t n = 0;
    bool more = true, versioned = len >= 8 && memcmp(text, "#version", 8) == 0;
    for (; n < PROBE; n++) {
        if (cs_merges_next(&m, &rules[n][0], &rules[n][1], &more, NULL) != CS_OK)
            return versioned;
        if (!more)
            break;
        if (!versioned && (!is_known(rules[n][0], rules, n) || !is_known(rules[n][1], rules, n)))
            return false;
    }
    return versioned || n >= FEWEST;
}
