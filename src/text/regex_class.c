/* Classes become PCRE2 classes where they are a union of plain members; other ones become groups with lookahead: a|b for a union, (?=a)b for an
 * intersection, (?!a). for a complement. */
#include "text/regex_class.h"

#include "text/unidata.h"
#include "text/utf8.h"

#include <string.h>

enum { MAX_NESTED = 20 };

/* A union: `set` is the inside of a PCRE2 class, `rest` more alternatives "|...". */
typedef struct members {
    cs_str set, rest;
} members;

static void release(members *m)
{
    cs_str_release(&m->set);
    cs_str_release(&m->rest);
}

/* An expression for the union. Of no members: one that never matches. */
static void put_union(const members *m, cs_str *out)
{
    if (m->rest.len == 0 && m->set.len > 0) {
        cs_str_printf(out, "[%s]", cs_str_cstr(&m->set));
        return;
    }
    cs_str_puts(out, "(?:");
    if (m->set.len > 0)
        cs_str_printf(out, "[%s]", cs_str_cstr(&m->set));
    else
        cs_str_puts(out, "(*F)");
    cs_str_append(out, cs_str_cstr(&m->rest), m->rest.len);
    cs_str_putc(out, ')');
}

static void put_category(const char *name, cs_str *set)
{
    cs_str_printf(set, "\\p{%s}", name);
    if (strcmp(name, "Alphabetic") == 0) {
        cs_uni_put_newer("L", set);
        cs_uni_put_newer("Nl", set);
    } else if (strlen(name) <= 2 || strcmp(name, "Han") == 0) {
        cs_uni_put_newer(name, set);
    }
}

static void put_words(cs_str *set)
{
    static const char *const categories[] = {"L", "M", "Nd", "Nl", "Pc"};
    for (size_t i = 0; i < 5; i++)
        put_category(categories[i], set);
    cs_str_puts(set, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}");
}

#define SPACES "\\x{9}-\\x{d}\\x{20}\\x{85}\\p{Z}"

/* Lower case without blanks, underscores and hyphens. */
static bool simple_name(const char *from, size_t n, char *to, size_t cap)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        char c = from[i];
        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) || k + 1 >= cap)
            return false;
        to[k++] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
    }
    to[k] = '\0';
    return k > 0;
}

/* Appends the members of a named set; true when the name is known. */
static bool put_named(const char *name, cs_str *set)
{
    static const struct {
        const char *name, *as;
    } rows[] = {
        {"alpha", "Alphabetic"}, {"alphabetic", "Alphabetic"}, {"digit", "Nd"}, {"upper", "Uppercase"}, {"uppercase", "Uppercase"},
        {"lower", "Lowercase"}, {"lowercase", "Lowercase"}, {"cntrl", "Cc"}, {"letter", "L"}, {"uppercaseletter", "Lu"},
        {"lowercaseletter", "Ll"}, {"titlecaseletter", "Lt"}, {"modifierletter", "Lm"}, {"otherletter", "Lo"}, {"mark", "M"},
        {"number", "N"}, {"decimalnumber", "Nd"}, {"letternumber", "Nl"}, {"othernumber", "No"}, {"punctuation", "P"},
        {"connectorpunctuation", "Pc"}, {"dashpunctuation", "Pd"}, {"openpunctuation", "Ps"}, {"closepunctuation", "Pe"},
        {"initialpunctuation", "Pi"}, {"finalpunctuation", "Pf"}, {"otherpunctuation", "Po"}, {"symbol", "S"}, {"mathsymbol", "Sm"},
        {"currencysymbol", "Sc"}, {"modifiersymbol", "Sk"}, {"othersymbol", "So"}, {"separator", "Z"}, {"spaceseparator", "Zs"},
        {"lineseparator", "Zl"}, {"paragraphseparator", "Zp"}, {"other", "C"}, {"control", "Cc"}, {"format", "Cf"}, {"privateuse", "Co"},
        {"han", "Han"}, {"any", "Any"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) {
            put_category(rows[i].as, set);
            return true;
        }
    if (strcmp(name, "alnum") == 0) {
        put_category("Alphabetic", set);
        put_category("Nd", set);
    } else if (strcmp(name, "punct") == 0) {
        put_category("P", set);
        put_category("S", set);
    } else if (strcmp(name, "space") == 0 || strcmp(name, "whitespace") == 0) {
        cs_str_puts(set, SPACES);
    } else if (strcmp(name, "blank") == 0) {
        cs_str_puts(set, "\\x{9}\\p{Zs}");
    } else if (strcmp(name, "word") == 0) {
        put_words(set);
    } else if (strcmp(name, "xdigit") == 0) {
        cs_str_puts(set, "0-9A-Fa-f");
    } else if (strcmp(name, "ascii") == 0) {
        cs_str_puts(set, "\\x{0}-\\x{7f}");
    } else {
        return false;
    }
    return true;
}

/* {name} or {^name} of \p; *negated is turned over by ^. */
static cs_status property(cs_regex_in *in, bool *negated, cs_str *set)
{
    const char *stop = in->i < in->n && in->p[in->i] == '{' ? memchr(in->p + in->i, '}', in->n - in->i) : NULL;
    if (!stop)
        return cs_fail(in->why, CS_E_FORMAT, "\\p without {name} at byte %zu", in->i);
    const char *name = in->p + in->i + 1;
    char simple[64];
    if (*name == '^') {
        name++;
        *negated = !*negated;
    }
    size_t len = (size_t)(stop - name);
    in->i = (size_t)(stop - in->p) + 1;
    if (!simple_name(name, len, simple, sizeof simple))
        return cs_fail(in->why, CS_E_FORMAT, "the property \\p{%.*s} is not supported", (int)(len < 60 ? len : 60), name);
    if (put_named(simple, set))
        return CS_OK;
    if (strlen(simple) <= 2) {
        simple[0] = (char)(simple[0] - 32);
        put_category(simple, set);
    } else {
        cs_str_printf(set, "\\p{%.*s}", (int)len, name); /* a script; PCRE2 says whether it knows it */
    }
    return CS_OK;
}

bool cs_regex_is_class_letter(char c)
{
    return c != '\0' && strchr("dDwWsShHpP", c) != NULL;
}

/* Members of an escape; *negated tells that the complement is meant. */
static cs_status escape_set(cs_regex_in *in, char letter, bool *negated, cs_str *set)
{
    *negated = letter < 'a';
    switch (letter | 32) {
    case 'd': put_category("Nd", set); break;
    case 'w': put_words(set); break;
    case 's': cs_str_puts(set, SPACES); break;
    case 'h': cs_str_puts(set, "0-9A-Fa-f"); break;
    default: return property(in, negated, set);
    }
    return CS_OK;
}

cs_status cs_regex_put_escape_class(cs_regex_in *in, char letter, cs_str *out)
{
    cs_str set = {0};
    bool negated;
    cs_status status = escape_set(in, letter, &negated, &set);
    cs_str_printf(out, "[%s%s]", negated ? "^" : "", cs_str_cstr(&set));
    out->failed |= set.failed;
    cs_str_release(&set);
    return status;
}

/* Hexadecimal digits at in->i, at most `max`. */
static bool hex(cs_regex_in *in, size_t max, uint32_t *cp)
{
    size_t k = 0;
    *cp = 0;
    for (; k < max && in->i < in->n; k++, in->i++) {
        char c = in->p[in->i];
        int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (v < 0)
            break;
        *cp = *cp << 4 | (uint32_t)v;
    }
    return k > 0;
}

cs_status cs_regex_escape_cp(cs_regex_in *in, uint32_t *cp)
{
    static const char letters[] = "tnrfaev", values[] = "\t\n\r\f\a\x1b\v";
    const char *at;
    if (in->i >= in->n)
        return cs_fail(in->why, CS_E_FORMAT, "a backslash at the end");
    char c = in->p[in->i];
    size_t start = in->i;
    if (c != '\0' && (at = strchr(letters, c)) != NULL) {
        in->i++;
        *cp = (uint32_t)values[at - letters];
        return CS_OK;
    }
    if (c == 'x' || c == 'u') {
        bool braced = c == 'x' && in->i + 1 < in->n && in->p[in->i + 1] == '{', ok;
        in->i += braced ? 2 : 1;
        ok = hex(in, braced ? 8 : c == 'x' ? 2 : 4, cp);
        if (braced)
            ok = ok && in->i < in->n && in->p[in->i++] == '}';
        else
            ok = ok && (c == 'u' ? in->i == start + 5 : *cp < 0x80);
        if (!ok || *cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000))
            return cs_fail(in->why, CS_E_FORMAT, "the escape at byte %zu is not supported", start);
        return CS_OK;
    }
    if (c >= '0' && c <= '7') { /* octal; back references are not asked for here */
        *cp = 0;
        for (size_t k = 0; k < 3 && in->i < in->n && in->p[in->i] >= '0' && in->p[in->i] <= '7'; k++)
            *cp = *cp * 8 + (uint32_t)(in->p[in->i++] - '0');
        return *cp < 0x80 ? CS_OK : cs_fail(in->why, CS_E_FORMAT, "the escape at byte %zu is not supported", start);
    }
    if (c == 'c' || c == 'C' || c == 'M')
        return cs_fail(in->why, CS_E_FORMAT, "the escape \\%c is not supported", c);
    in->i += cs_utf8_decode((const uint8_t *)in->p + in->i, in->n - in->i, cp);
    return in->i > start ? CS_OK : cs_fail(in->why, CS_E_FORMAT, "bad UTF-8 at byte %zu", start);
}

/* [:name:] or [:^name:]; false when it is none. */
static bool posix(cs_regex_in *in, members *m)
{
    size_t i = in->i + 1;
    bool negated = i < in->n && in->p[i] == '^';
    char name[16];
    size_t begin = i + negated, end = begin;
    while (end < in->n && in->p[end] >= 'a' && in->p[end] <= 'z')
        end++;
    if (end + 1 >= in->n || in->p[end] != ':' || in->p[end + 1] != ']' || !simple_name(in->p + begin, end - begin, name, sizeof name))
        return false;
    cs_str set = {0};
    bool known = put_named(name, &set);
    if (known && negated)
        cs_str_printf(&m->rest, "|[^%s]", cs_str_cstr(&set));
    else if (known)
        cs_str_append(&m->set, set.data, set.len);
    m->set.failed |= set.failed;
    cs_str_release(&set);
    in->i = known ? end + 2 : in->i;
    return known;
}

static cs_status class_body(cs_regex_in *in, int depth, bool *negated, members *out);

/* A member that is a class of its own. */
static cs_status nested(cs_regex_in *in, int depth, members *m)
{
    members inner = {{0}, {0}};
    bool negated;
    cs_status status = class_body(in, depth + 1, &negated, &inner);
    if (status == CS_OK && negated) {
        cs_str_puts(&m->rest, "|(?!");
        put_union(&inner, &m->rest);
        cs_str_puts(&m->rest, ")(?s:.)");
    } else if (status == CS_OK) {
        cs_str_append(&m->set, cs_str_cstr(&inner.set), inner.set.len);
        cs_str_append(&m->rest, cs_str_cstr(&inner.rest), inner.rest.len);
    }
    m->set.failed |= inner.set.failed | inner.rest.failed;
    release(&inner);
    return status;
}

/* A code point inside a class, escaped or not. */
static cs_status class_cp(cs_regex_in *in, uint32_t *cp)
{
    if (in->p[in->i] == '\\') {
        in->i++;
        if (in->i < in->n && in->p[in->i] == 'b') {
            in->i++;
            *cp = 8;
            return CS_OK;
        }
        return cs_regex_escape_cp(in, cp);
    }
    size_t k = cs_utf8_decode((const uint8_t *)in->p + in->i, in->n - in->i, cp);
    in->i += k;
    return k > 0 ? CS_OK : cs_fail(in->why, CS_E_FORMAT, "bad UTF-8 at byte %zu", in->i);
}

static bool at_class_escape(const cs_regex_in *in, size_t i)
{
    return i + 1 < in->n && in->p[i] == '\\' && cs_regex_is_class_letter(in->p[i + 1]);
}

static cs_status one_member(cs_regex_in *in, members *m)
{
    uint32_t a, b;
    if (at_class_escape(in, in->i)) {
        cs_str set = {0};
        bool negated;
        char letter = in->p[in->i + 1];
        in->i += 2;
        cs_status status = escape_set(in, letter, &negated, &set);
        if (negated)
            cs_str_printf(&m->rest, "|[^%s]", cs_str_cstr(&set));
        else
            cs_str_append(&m->set, cs_str_cstr(&set), set.len);
        m->set.failed |= set.failed;
        cs_str_release(&set);
        return status;
    }
    CS_TRY(class_cp(in, &a));
    bool range = in->i + 1 < in->n && in->p[in->i] == '-' && in->p[in->i + 1] != ']' && in->p[in->i + 1] != '[' && !at_class_escape(in, in->i + 1);
    if (!range) {
        cs_str_printf(&m->set, "\\x{%x}", a);
        return CS_OK;
    }
    in->i++;
    CS_TRY(class_cp(in, &b));
    if (b < a)
        return cs_fail(in->why, CS_E_FORMAT, "a range that goes down before byte %zu", in->i);
    cs_str_printf(&m->set, "\\x{%x}-\\x{%x}", a, b);
    return CS_OK;
}

/* Makes the union so far one of the things that are intersected. */
static void close_operand(members *m, cs_str *all)
{
    cs_str_puts(all, "(?=");
    put_union(m, all);
    cs_str_putc(all, ')');
    all->failed |= m->set.failed | m->rest.failed;
    cs_str_clear(&m->set);
    cs_str_clear(&m->rest);
}

static cs_status class_body(cs_regex_in *in, int depth, bool *negated, members *out)
{
    cs_str all = {0};
    cs_status status = CS_OK;
    if (depth > MAX_NESTED)
        return cs_fail(in->why, CS_E_FORMAT, "classes nested deeper than %d", MAX_NESTED);
    *negated = in->i < in->n && in->p[in->i] == '^';
    in->i += *negated;
    bool first = in->i < in->n && in->p[in->i] == ']' && memchr(in->p + in->i + 1, ']', in->n - in->i - 1);
    for (; status == CS_OK; first = false) {
        if (in->i >= in->n) {
            status = cs_fail(in->why, CS_E_FORMAT, "a character class without ]");
        } else if (in->p[in->i] == ']' && !first) {
            in->i++;
            break;
        } else if (in->p[in->i] == '[') {
            in->i++;
            if (!(in->i < in->n && in->p[in->i] == ':' && posix(in, out)))
                status = nested(in, depth, out);
        } else if (in->p[in->i] == '&' && in->i + 1 < in->n && in->p[in->i + 1] == '&') {
            in->i += 2;
            close_operand(out, &all);
        } else {
            status = one_member(in, out);
        }
    }
    if (all.len > 0) { /* the last operand takes the code point */
        close_operand(out, &all);
        cs_str_printf(&out->rest, "|%s(?s:.)", cs_str_cstr(&all));
        out->rest.failed |= all.failed;
    }
    cs_str_release(&all);
    return status;
}

cs_status cs_regex_put_class(cs_regex_in *in, cs_str *out)
{
    members m = {{0}, {0}};
    bool negated;
    cs_status status = class_body(in, 0, &negated, &m);
    if (!negated) {
        put_union(&m, out);
    } else if (m.rest.len == 0 && m.set.len > 0) {
        cs_str_printf(out, "[^%s]", cs_str_cstr(&m.set));
    } else {
        cs_str_puts(out, "(?:(?!");
        put_union(&m, out);
        cs_str_puts(out, ")(?s:.))");
    }
    out->failed |= m.set.failed | m.rest.failed;
    release(&m);
    return status;
}
