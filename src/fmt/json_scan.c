/* Grammar of JSON as a loop over tokens. The stack of open arrays and objects is one 64-bit word. */
#include "fmt/json_scan.h"

#include "fmt/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* What may come next. */
enum { VALUE, VALUE_OR_CLOSE, KEY, KEY_OR_CLOSE, AFTER };

void cs_json_scan_init(cs_json_scan *s, const char *bytes, size_t len, const char *name)
{
    *s = (cs_json_scan){.bytes = bytes, .len = len, .name = name, .line = 1, .surrogate = SIZE_MAX, .state = VALUE};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char at_or_nul(const cs_json_scan *s, size_t at)
{
    return at < s->len ? s->bytes[at] : '\0';
}

void cs_json_scan_place(const cs_json_scan *s, size_t at, char *buf, size_t n)
{
    int64_t line = s->line;
    size_t column = 1;
    if (s->by_offset) {
        snprintf(buf, n, ": byte %zu", s->base + at);
        return;
    }
    for (size_t i = 0; i < at && i < s->len; i++) {
        if (s->bytes[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)s->bytes[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    snprintf(buf, n, ":%lld:%zu", (long long)line, column);
}

/* What a reader of the message sees at `at`: a word or number as far as it goes, a character, or the code of a byte. */
static void found_text(const cs_json_scan *s, size_t at, char *buf, size_t n)
{
    size_t k = at;
    unsigned char c = (unsigned char)at_or_nul(s, at);
    if (at >= s->len) {
        snprintf(buf, n, "the end of the text");
        return;
    }
    if (at == 0 && s->len >= 3 && memcmp(s->bytes, "\xef\xbb\xbf", 3) == 0) {
        snprintf(buf, n, "a byte order mark");
        return;
    }
    for (; k < s->len && k - at < 40; k++) {
        char w = s->bytes[k], small = (char)(w | 32);
        if (!is_digit(w) && w != '+' && w != '-' && w != '.' && (small < 'a' || small > 'z'))
            break;
    }
    if (k > at + 1)
        snprintf(buf, n, "%.*s", (int)(k - at), s->bytes + at);
    else if (c == '"')
        snprintf(buf, n, "a string");
    else if (c > ' ' && c < 0x7f)
        snprintf(buf, n, "'%c'", c);
    else
        snprintf(buf, n, "byte 0x%02X at offset %zu", c, s->base + at);
}

cs_status cs_json_scan_fail(const cs_json_scan *s, size_t at, const char *expected, cs_error *err)
{
    char place[64], found[64];
    cs_json_scan_place(s, at, place, sizeof place);
    found_text(s, at, found, sizeof found);
    return cs_fail(err, CS_E_FORMAT, "%s%s: expected %s, found %s", s->name, place, expected, found);
}

cs_status cs_json_scan_unexpected(const cs_json_scan *s, const char *expected, cs_error *err)
{
    static const char *const what[] = {
        [CS_JSON_END] = "the end of the text", [CS_JSON_OBJECT] = "an object", [CS_JSON_OBJECT_END] = "'}'", [CS_JSON_ARRAY] = "an array",
        [CS_JSON_ARRAY_END] = "']'",           [CS_JSON_KEY] = "a key",        [CS_JSON_STRING] = "a string", [CS_JSON_INTEGER] = "the number",
        [CS_JSON_REAL] = "the number",         [CS_JSON_TRUE] = "true",        [CS_JSON_FALSE] = "false",     [CS_JSON_NULL] = "null"};
    char place[64], token[48] = "";
    cs_json_scan_place(s, s->start, place, sizeof place);
    if (s->event == CS_JSON_INTEGER || s->event == CS_JSON_REAL)
        snprintf(token, sizeof token, " %.*s", s->end - s->start > 40 ? 40 : (int)(s->end - s->start), s->bytes + s->start);
    return cs_fail(err, CS_E_FORMAT, "%s%s: expected %s, found %s%s", s->name, place, expected, what[s->event], token);
}

static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The unit of the escape \uNNNN at `at`, -1 if there is none. */
static int unit_at(const cs_json_scan *s, size_t at)
{
    int v = 0;
    if (s->len - at < 6 || at > s->len || s->bytes[at] != '\\' || s->bytes[at + 1] != 'u')
        return -1;
    for (size_t i = 2; i < 6; i++) {
        int h = hex_value(s->bytes[at + i]);
        if (h < 0)
            return -1;
        v = v << 4 | h;
    }
    return v;
}

/* s->at is on a backslash; moves it behind the escape (behind both of a pair). */
static cs_status scan_escape(cs_json_scan *s, cs_error *err)
{
    char c = at_or_nul(s, s->at + 1);
    s->escaped = true;
    if (c != '\0' && strchr("\"\\/bfnrt", c)) {
        s->at += 2;
        return CS_OK;
    }
    int unit = unit_at(s, s->at);
    if (unit < 0)
        return cs_json_scan_fail(s, s->at, "an escape \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u with four hexadecimal digits", err);
    s->nul |= unit == 0;
    int next = unit >= 0xd800 && unit < 0xdc00 ? unit_at(s, s->at + 6) : -1;
    bool pair = next >= 0xdc00 && next < 0xe000;
    if (unit >= 0xd800 && unit < 0xe000 && !pair && s->surrogate == SIZE_MAX)
        s->surrogate = s->at;
    s->at += pair ? 12 : 6;
    return CS_OK;
}

/* Length of the run of plain characters at p (ASCII without quote, backslash and control characters), in steps of eight: text is mostly that. */
CS_WRAPS static size_t plain_run(const unsigned char *p, size_t left)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t n = 0;
    for (; n + 8 <= left; n += 8) {
        uint64_t v, quote, back;
        memcpy(&v, p + n, 8);
        quote = v ^ ones * '"';
        back = v ^ ones * '\\';
        if (((v - ones * 0x20) | (quote - ones) | (back - ones) | v) & tops)
            break;
    }
    return n;
}

/* s->at is on the opening quote; leaves it behind the closing one. */
static cs_status scan_string(cs_json_scan *s, cs_error *err)
{
    const unsigned char *p = (const unsigned char *)s->bytes;
    s->start = s->at++;
    s->escaped = s->nul = false;
    s->surrogate = SIZE_MAX;
    while (s->at < s->len) {
        unsigned char c = p[s->at];
        if (c == '"') {
            s->end = ++s->at;
            return CS_OK;
        }
        if (c == '\\') {
            CS_TRY(scan_escape(s, err));
        } else if (c < 0x20) {
            return cs_json_scan_fail(s, s->at, "a character or an escape inside a string (control characters are written \\u00XX)", err);
        } else if (c < 0x80) {
            s->at += 1 + plain_run(p + s->at + 1, s->len - s->at - 1);
        } else {
            utf8proc_int32_t code;
            utf8proc_ssize_t n = utf8proc_iterate(p + s->at, (utf8proc_ssize_t)(s->len - s->at), &code);
            if (n <= 0)
                return cs_json_scan_fail(s, s->at, "UTF-8", err);
            s->at += (size_t)n;
        }
    }
    return cs_json_scan_fail(s, s->at, "the quote that ends a string", err);
}

/* Whether the number [from, to) is within the range of a double: judged by its first digits and its exponent, so that a long one costs no more. */
static bool real_fits(const char *from, const char *to)
{
    char text[80];
    size_t n = 0;
    int64_t exponent = 0, shift = 0;
    bool point = false;
    for (; from < to && (*from | 32) != 'e'; from++) {
        if (*from == '.') {
            point = true;
        } else if (is_digit(*from)) {
            bool keep = n < 40 && (n > 0 || *from != '0');
            if (keep)
                text[n++] = *from;
            shift += keep ? -(int64_t)point : !point && n > 0; /* digits dropped before the point count, those behind it do not */
            if (!keep && n == 0 && point)
                shift--; /* a leading zero behind the point */
        }
    }
    if (n == 0)
        return true;
    if (from < to) {
        bool minus = from[1] == '-';
        for (from += from[1] == '-' || from[1] == '+' ? 2 : 1; from < to && exponent < 1000000000; from++)
            exponent = exponent * 10 + (*from - '0');
        exponent = minus ? -exponent : exponent;
    }
    exponent += shift;
    snprintf(text + n, sizeof text - n, "e%lld", (long long)exponent);
    return isfinite(strtod(text, NULL));
}

static cs_status finish_integer(cs_json_scan *s, size_t digits, bool minus, cs_error *err)
{
    int64_t v = 0;
    for (size_t i = digits; i < s->at; i++) {
        int d = s->bytes[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) || (minus ? __builtin_sub_overflow(v, d, &v) : __builtin_add_overflow(v, d, &v))) {
            if (!s->big_integers)
                return cs_json_scan_fail(s, s->start, "an integer from -2^63 to 2^63 - 1", err);
            s->event = CS_JSON_REAL;
            return CS_OK;
        }
    }
    s->integer = v;
    s->event = CS_JSON_INTEGER;
    return CS_OK;
}

static cs_status scan_number(cs_json_scan *s, cs_error *err)
{
    bool real = false, minus = at_or_nul(s, s->at) == '-';
    s->start = s->at;
    s->at += minus;
    size_t digits = s->at;
    if (!is_digit(at_or_nul(s, s->at)))
        return cs_json_scan_fail(s, s->at, "a digit", err);
    if (s->bytes[s->at] == '0')
        s->at++;
    else
        while (is_digit(at_or_nul(s, s->at)))
            s->at++;
    if (s->bytes[s->at - 1] == '0' && s->at - digits == 1 && is_digit(at_or_nul(s, s->at)))
        return cs_json_scan_fail(s, s->start, "a number without leading zeros", err);
    if (at_or_nul(s, s->at) == '.') {
        real = true;
        if (!is_digit(at_or_nul(s, ++s->at)))
            return cs_json_scan_fail(s, s->at, "a digit behind the decimal point", err);
        while (is_digit(at_or_nul(s, s->at)))
            s->at++;
    }
    if ((at_or_nul(s, s->at) | 32) == 'e') {
        real = true;
        s->at++;
        s->at += at_or_nul(s, s->at) == '+' || at_or_nul(s, s->at) == '-';
        if (!is_digit(at_or_nul(s, s->at)))
            return cs_json_scan_fail(s, s->at, "a digit in the exponent", err);
        while (is_digit(at_or_nul(s, s->at)))
            s->at++;
    }
    s->end = s->at;
    s->event = CS_JSON_REAL;
    if (!real)
        CS_TRY(finish_integer(s, digits, minus, err));
    if (s->event == CS_JSON_REAL && !real_fits(s->bytes + digits, s->bytes + s->at))
        return cs_json_scan_fail(s, s->start, "a number within the range of a double", err);
    return CS_OK;
}

static cs_status scan_word(cs_json_scan *s, const char *word, cs_json_event event, const char *expected, cs_error *err)
{
    size_t n = strlen(word);
    if (s->len - s->at < n || memcmp(s->bytes + s->at, word, n) != 0)
        return cs_json_scan_fail(s, s->at, expected, err);
    s->at += n;
    s->end = s->at;
    s->event = event;
    return CS_OK;
}

static cs_status open_level(cs_json_scan *s, bool object, cs_error *err)
{
    char place[64];
    if (s->depth >= CS_LIMIT_JSON_DEPTH) {
        cs_json_scan_place(s, s->at, place, sizeof place);
        return cs_fail(err, CS_E_FORMAT, "%s%s: expected at most %d levels of arrays and objects, found one more", s->name, place,
                       CS_LIMIT_JSON_DEPTH);
    }
    s->objects = object ? s->objects | UINT64_C(1) << s->depth : s->objects & ~(UINT64_C(1) << s->depth);
    s->depth++;
    s->end = ++s->at;
    s->event = object ? CS_JSON_OBJECT : CS_JSON_ARRAY;
    s->state = object ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
    return CS_OK;
}

static void close_level(cs_json_scan *s, bool object)
{
    s->depth--;
    s->end = ++s->at;
    s->event = object ? CS_JSON_OBJECT_END : CS_JSON_ARRAY_END;
    s->state = AFTER;
}

static cs_status scan_value(cs_json_scan *s, const char *expected, cs_error *err)
{
    char c = at_or_nul(s, s->at);
    if (s->at >= s->len)
        return cs_json_scan_fail(s, s->at, expected, err);
    s->state = AFTER;
    if (c == '{' || c == '[')
        return open_level(s, c == '{', err);
    if (c == '"') {
        s->event = CS_JSON_STRING;
        return scan_string(s, err);
    }
    if (c == '-' || is_digit(c))
        return scan_number(s, err);
    if (c == 't')
        return scan_word(s, "true", CS_JSON_TRUE, expected, err);
    if (c == 'f')
        return scan_word(s, "false", CS_JSON_FALSE, expected, err);
    if (c == 'n')
        return scan_word(s, "null", CS_JSON_NULL, expected, err);
    return cs_json_scan_fail(s, s->at, expected, err);
}

static void skip_white(cs_json_scan *s)
{
    while (s->at < s->len && (s->bytes[s->at] == ' ' || s->bytes[s->at] == '\n' || s->bytes[s->at] == '\r' || s->bytes[s->at] == '\t'))
        s->at++;
}

static cs_status scan_key(cs_json_scan *s, const char *expected, cs_error *err)
{
    if (at_or_nul(s, s->at) != '"')
        return cs_json_scan_fail(s, s->at, expected, err);
    CS_TRY(scan_string(s, err));
    skip_white(s);
    if (at_or_nul(s, s->at) != ':')
        return cs_json_scan_fail(s, s->at, "':' behind a key", err);
    s->at++;
    s->event = CS_JSON_KEY;
    s->state = VALUE;
    return CS_OK;
}

/* Behind a value: the end, a comma or what closes the level; a comma changes the state only. */
static cs_status scan_after(cs_json_scan *s, bool *comma, cs_error *err)
{
    bool object = s->depth > 0 && (s->objects >> (s->depth - 1) & 1);
    char c = at_or_nul(s, s->at);
    *comma = false;
    if (s->depth == 0) {
        if (s->at < s->len)
            return cs_json_scan_fail(s, s->at, "the end of the text", err);
        s->end = s->at;
        s->event = CS_JSON_END;
        return CS_OK;
    }
    if (c == (object ? '}' : ']')) {
        close_level(s, object);
        return CS_OK;
    }
    if (c != ',')
        return cs_json_scan_fail(s, s->at, object ? "',' or '}'" : "',' or ']'", err);
    s->at++;
    s->state = object ? KEY : VALUE;
    *comma = true;
    return CS_OK;
}

cs_status cs_json_scan_next(cs_json_scan *s, cs_error *err)
{
    skip_white(s);
    if (s->state == AFTER) {
        bool comma;
        s->start = s->at;
        CS_TRY(scan_after(s, &comma, err));
        if (!comma)
            return CS_OK;
        skip_white(s);
    }
    s->start = s->at;
    char c = at_or_nul(s, s->at);
    switch (s->state) {
    case KEY_OR_CLOSE:
        if (c == '}')
            return close_level(s, true), CS_OK;
        return scan_key(s, "a key in quotes or '}'", err);
    case KEY: return scan_key(s, "a key in quotes", err);
    case VALUE_OR_CLOSE:
        if (c == ']')
            return close_level(s, false), CS_OK;
        return scan_value(s, "a JSON value or ']'", err);
    default: return scan_value(s, "a JSON value", err);
    }
}

cs_status cs_json_scan_skip(cs_json_scan *s, cs_error *err)
{
    int depth = s->depth;
    if (s->event != CS_JSON_OBJECT && s->event != CS_JSON_ARRAY)
        return CS_OK;
    do
        CS_TRY(cs_json_scan_next(s, err));
    while (s->depth >= depth);
    return CS_OK;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

size_t cs_json_scan_text(const cs_json_scan *s, char *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    size_t n = 0;
    for (size_t i = s->start + 1; i + 1 < s->end; i++) {
        if (s->bytes[i] != '\\') {
            out[n++] = s->bytes[i];
            continue;
        }
        char c = s->bytes[++i];
        const char *letter = strchr(from, c);
        if (c != 'u') {
            out[n++] = letter ? to[letter - from] : c;
            continue;
        }
        uint32_t unit = (uint32_t)unit_at(s, i - 1);
        int next = unit >= 0xd800 && unit < 0xdc00 ? unit_at(s, i + 5) : -1;
        i += 4;
        if (next >= 0xdc00 && next < 0xe000) {
            unit = 0x10000 + ((unit & 0x3ff) << 10) + ((uint32_t)next & 0x3ff);
            i += 6;
        } else if (unit >= 0xd800 && unit < 0xe000) {
            unit = 0xfffd;
        }
        n += put_utf8(out + n, unit);
    }
    out[n] = '\0';
    return n;
}

bool cs_json_scan_is(const cs_json_scan *s, const char *text)
{
    char own[160];
    size_t n = strlen(text), raw = s->end - s->start - 2;
    if (!s->escaped)
        return raw == n && memcmp(s->bytes + s->start + 1, text, n) == 0;
    CS_ASSERT(6 * n + 2 <= sizeof own);
    return raw <= 6 * n && cs_json_scan_text(s, own) == n && memcmp(own, text, n) == 0;
}
