/* Oniguruma's syntax to PCRE2's. The two agree on most; what differs is rewritten here: \h, \v, \w, \s, \b and properties (tables of another age),
 * (?m), options in the middle of a group, {n,m}+ and {n}?, {,n}, \uHHHH, classes within classes. */
#include "text/regex.h"

#include "text/regex_class.h"
#include "text/utf8.h"

#include <string.h>

enum { MAX_GROUPS = 100, NONE = -1 };

typedef struct translation {
    cs_regex_in in;
    cs_str *out;
    int64_t atom; /* where in the output the last thing begins that can be repeated, NONE */
    int depth;
    struct {
        size_t begin; /* of the group in the output */
        int closes;   /* ) that its end needs besides its own */
    } group[MAX_GROUPS + 1];
} translation;

static bool next_is(const translation *t, char c)
{
    return t->in.i < t->in.n && t->in.p[t->in.i] == c;
}

static cs_status unsupported(translation *t, const char *what)
{
    return cs_fail(t->in.why, CS_E_FORMAT, "%s at byte %zu of the pattern is not supported", what, t->in.i);
}

static void begin_atom(translation *t)
{
    t->atom = (int64_t)t->out->len;
}

static void put_literal(translation *t, uint32_t cp)
{
    begin_atom(t);
    if ((cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z'))
        cs_str_putc(t->out, (char)cp);
    else
        cs_str_printf(t->out, "\\x{%x}", cp);
}

/* (?<=w)(?!w)|(?<!w)(?=w) with Oniguruma's w; `inside` is \B. */
static cs_status word_border(translation *t, bool inside)
{
    cs_str w = {0};
    CS_TRY(cs_regex_put_escape_class(&t->in, 'w', &w));
    const char *s = cs_str_cstr(&w);
    begin_atom(t);
    if (inside)
        cs_str_printf(t->out, "(?:(?<=%s)(?=%s)|(?<!%s)(?!%s))", s, s, s, s);
    else
        cs_str_printf(t->out, "(?:(?<=%s)(?!%s)|(?<!%s)(?=%s))", s, s, s, s);
    t->out->failed |= w.failed;
    cs_str_release(&w);
    return CS_OK;
}

static cs_status escape(translation *t)
{
    if (t->in.i >= t->in.n)
        return unsupported(t, "a backslash");
    char c = t->in.p[t->in.i];
    if (cs_regex_is_class_letter(c)) {
        begin_atom(t);
        t->in.i++;
        return cs_regex_put_escape_class(&t->in, c, t->out);
    }
    switch (c) {
    case 'b':
    case 'B':
        t->in.i++;
        return word_border(t, c == 'B');
    case 'A':
    case 'Z':
    case 'z':
    case 'X':
        begin_atom(t);
        cs_str_printf(t->out, "\\%c", c);
        t->in.i++;
        return CS_OK;
    case 'R':
    case 'N':
    case 'O':
        begin_atom(t);
        cs_str_puts(t->out, c == 'R' ? "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])" : c == 'N' ? "[^\\n]" : "(?s:.)");
        t->in.i++;
        return CS_OK;
    case 'G':
    case 'K':
    case 'k':
    case 'g':
    case 'y':
    case 'Y': return unsupported(t, (char[]){'\\', c, '\0'});
    default: break;
    }
    if (c >= '1' && c <= '9')
        return unsupported(t, "a back reference"); /* its steps cannot be bounded */
    uint32_t cp;
    CS_TRY(cs_regex_escape_cp(&t->in, &cp));
    put_literal(t, cp);
    return CS_OK;
}

/* Options of (?imx-imx: and (?imx-imx) behind the question mark. */
static cs_status options(translation *t)
{
    cs_str text = {0};
    size_t i = t->in.i;
    for (; i < t->in.n && strchr("im-", t->in.p[i]) && t->in.p[i] != '\0'; i++)
        cs_str_putc(&text, t->in.p[i] == 'm' ? 's' : t->in.p[i]);
    bool group = i < t->in.n && t->in.p[i] == ':', alone = i < t->in.n && t->in.p[i] == ')';
    if (group || alone) {
        cs_str_printf(t->out, "(?%s:", cs_str_cstr(&text));
        t->in.i = i + 1;
    }
    if (alone) { /* up to the end of the group that it stands in, alternatives included */
        t->depth--;
        t->group[t->depth].closes++;
        t->atom = NONE;
    }
    t->out->failed |= text.failed;
    cs_str_release(&text);
    return group || alone ? CS_OK : unsupported(t, "this kind of group");
}

static cs_status open_group(translation *t)
{
    static const char *const heads[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};
    if (t->depth == MAX_GROUPS)
        return unsupported(t, "so deep a nest of groups");
    const char *p = t->in.p + t->in.i;
    size_t left = t->in.n - t->in.i;
    if (left >= 2 && p[0] == '?' && p[1] == '#') {
        const char *stop = memchr(p, ')', left);
        if (!stop)
            return unsupported(t, "a comment without an end");
        t->in.i += (size_t)(stop - p) + 1;
        return CS_OK;
    }
    t->depth++;
    t->group[t->depth].begin = t->out->len;
    t->group[t->depth].closes = 0;
    t->atom = NONE;
    if (left == 0 || p[0] != '?') {
        if (left > 0 && p[0] == '*')
            return unsupported(t, "(*");
        cs_str_putc(t->out, '(');
        return CS_OK;
    }
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) {
        size_t n = strlen(heads[k]);
        if (left >= n && memcmp(p, heads[k], n) == 0) {
            cs_str_printf(t->out, "(%s", heads[k]);
            t->in.i += n;
            return CS_OK;
        }
    }
    t->in.i++;
    return options(t);
}

static cs_status close_group(translation *t)
{
    if (t->depth == 0)
        return unsupported(t, "a ) too many");
    for (int k = t->group[t->depth].closes; k >= 0; k--)
        cs_str_putc(t->out, ')');
    t->atom = (int64_t)t->group[t->depth].begin;
    t->depth--;
    return CS_OK;
}

/* Puts the last atom with its quantifier into a group, so that a further quantifier is for all of it. */
static void wrap_atom(translation *t)
{
    size_t at = (size_t)t->atom;
    cs_str tail = {0};
    cs_str_append(&tail, t->out->data + at, t->out->len - at);
    t->out->len = at;
    cs_str_printf(t->out, "(?:%s)", cs_str_cstr(&tail));
    t->out->failed |= tail.failed;
    cs_str_release(&tail);
}

static bool number(translation *t, size_t *i, uint32_t *v)
{
    size_t start = *i;
    *v = 0;
    while (*i < t->in.n && t->in.p[*i] >= '0' && t->in.p[*i] <= '9' && *v < 100000)
        *v = *v * 10 + (uint32_t)(t->in.p[(*i)++] - '0');
    return *i > start;
}

/* {n}, {n,}, {,m}, {n,m}; anything else is a brace. `in` stands behind it. */
static cs_status interval(translation *t)
{
    size_t i = t->in.i;
    uint32_t low = 0, high = 0;
    bool has_low = number(t, &i, &low), comma = i < t->in.n && t->in.p[i] == ',';
    i += comma;
    bool has_high = comma && number(t, &i, &high);
    if (t->atom == NONE || i >= t->in.n || t->in.p[i] != '}' || !(has_low || has_high)) {
        put_literal(t, '{');
        return CS_OK;
    }
    t->in.i = i + 1;
    if (!comma)
        cs_str_printf(t->out, "{%u}", low);
    else if (has_high)
        cs_str_printf(t->out, "{%u,%u}", low, high);
    else
        cs_str_printf(t->out, "{%u,}", low);
    if (next_is(t, '+') || (next_is(t, '?') && !comma)) {
        wrap_atom(t);
    } else if (next_is(t, '?')) {
        cs_str_putc(t->out, '?');
        t->in.i++;
    }
    return CS_OK;
}

static cs_status one_step(translation *t)
{
    char c = t->in.p[t->in.i];
    if (c == '*' || c == '+' || c == '?') {
        cs_str_putc(t->out, c);
        t->in.i++;
        if (next_is(t, '?') || next_is(t, '+'))
            cs_str_putc(t->out, t->in.p[t->in.i++]);
        return CS_OK;
    }
    if (c == '|' || c == '^' || c == '$') {
        cs_str_putc(t->out, c);
        t->in.i++;
        t->atom = NONE;
        return CS_OK;
    }
    if (c == '.') {
        begin_atom(t);
        cs_str_putc(t->out, c);
        t->in.i++;
        return CS_OK;
    }
    if (strchr("\\[(){", c) && c != '\0') {
        t->in.i++;
        switch (c) {
        case '\\': return escape(t);
        case '[': begin_atom(t); return cs_regex_put_class(&t->in, t->out);
        case '(': return open_group(t);
        case ')': return close_group(t);
        default: return interval(t);
        }
    }
    uint32_t cp;
    size_t k = cs_utf8_decode((const uint8_t *)t->in.p + t->in.i, t->in.n - t->in.i, &cp);
    if (k == 0)
        return unsupported(t, "bad UTF-8");
    t->in.i += k;
    put_literal(t, cp);
    return CS_OK;
}

cs_status cs_regex_translate(const char *pattern, size_t len, cs_str *out, cs_error *why)
{
    translation t = {.in = {pattern, len, 0, why}, .out = out, .atom = NONE};
    while (t.in.i < len && !out->failed)
        CS_TRY(one_step(&t));
    CS_TRY(cs_str_check(out, why));
    if (t.depth > 0)
        return cs_fail(why, CS_E_FORMAT, "a group without ) in the pattern");
    for (int k = t.group[0].closes; k > 0; k--)
        cs_str_putc(out, ')');
    return CS_OK;
}
