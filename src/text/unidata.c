/* Code point classes: libutf8proc and the differences from it. */
#include "text/unidata.h"

#include <string.h>

typedef struct cs_uni_range {
    uint32_t first, last;
} cs_uni_range;

typedef struct cs_uni_addition {
    uint32_t first, last;
    uint8_t category;
} cs_uni_addition;

#include "text/unidata_tables.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool is_in(const cs_uni_range *r, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > r[mid].last)
            lo = mid + 1;
        else if (c < r[mid].first)
            hi = mid;
        else
            return true;
    }
    return false;
}

utf8proc_category_t cs_uni_category(uint32_t c)
{
    utf8proc_category_t known = utf8proc_category((utf8proc_int32_t)c);
    if (known != UTF8PROC_CATEGORY_CN)
        return known;
    size_t lo = 0, hi = COUNT(additions);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > additions[mid].last)
            lo = mid + 1;
        else if (c < additions[mid].first)
            hi = mid;
        else
            return (utf8proc_category_t)additions[mid].category;
    }
    return UTF8PROC_CATEGORY_CN;
}

cs_uni_class cs_uni_class_of(uint32_t c)
{
    if (c < 0x80) {
        if (c == ' ' || (c >= 9 && c <= 13))
            return CS_UNI_SPACE;
        return (c | 32) >= 'a' && (c | 32) <= 'z' ? CS_UNI_LETTER : c >= '0' && c <= '9' ? CS_UNI_NUMBER : CS_UNI_OTHER;
    }
    switch (cs_uni_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CS_UNI_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return CS_UNI_NUMBER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return CS_UNI_MARK;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return CS_UNI_SPACE;
    default: return c == 0x85 ? CS_UNI_SPACE : CS_UNI_OTHER;
    }
}

bool cs_uni_is_space(uint32_t c)
{
    return cs_uni_class_of(c) == CS_UNI_SPACE;
}

bool cs_uni_is_word(uint32_t c)
{
    /* letter-like symbols with the property Alphabetic */
    static const cs_uni_range alphabetic[] = {{0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
    cs_uni_class k = cs_uni_class_of(c);
    if (k == CS_UNI_LETTER || k == CS_UNI_MARK || c == 0x200c || c == 0x200d)
        return true;
    utf8proc_category_t cat = cs_uni_category(c);
    return cat == UTF8PROC_CATEGORY_ND || cat == UTF8PROC_CATEGORY_NL || cat == UTF8PROC_CATEGORY_PC || is_in(alphabetic, COUNT(alphabetic), c);
}

bool cs_uni_is_numeric(uint32_t c)
{
    return cs_uni_class_of(c) == CS_UNI_NUMBER || is_in(newest_numbers, COUNT(newest_numbers), c);
}

static bool category_is(uint32_t c, utf8proc_category_t lo, utf8proc_category_t hi)
{
    utf8proc_category_t cat = utf8proc_category((utf8proc_int32_t)c);
    return cat >= lo && cat <= hi;
}

bool cs_uni_is_punctuation(uint32_t c)
{
    if (category_is(c, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO))
        return !is_in(not_punctuation, COUNT(not_punctuation), c);
    return is_in(also_punctuation, COUNT(also_punctuation), c);
}

bool cs_uni_is_mark(uint32_t c)
{
    if (category_is(c, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME))
        return !is_in(not_marks, COUNT(not_marks), c);
    return is_in(also_marks, COUNT(also_marks), c);
}

size_t cs_uni_lower(uint32_t c, uint32_t out[2])
{
    out[0] = c;
    if (c < 0x80) {
        if (c >= 'A' && c <= 'Z')
            out[0] = c | 32;
        return 1;
    }
    if (c == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    for (size_t i = 0; i < COUNT(new_lower); i++)
        if (c >= new_lower[i].first && c <= new_lower[i].last && (c - new_lower[i].first) % new_lower[i].step == 0) {
            out[0] = (uint32_t)((int32_t)c + new_lower[i].up);
            return 1;
        }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

static bool is_plain(uint32_t c)
{
    return is_in(plain, COUNT(plain), c);
}

uint8_t cs_uni_combining(uint32_t c)
{
    utf8proc_propval_t ccc = c < 0x300 ? 0 : utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
    return ccc == 0 || is_plain(c) ? 0 : (uint8_t)ccc;
}

size_t cs_uni_decompose(uint32_t c, bool compat, uint32_t out[CS_UNI_MAX_DECOMPOSED])
{
    out[0] = c;
    if (c < 0xa0 || is_plain(c))
        return 1;
    int last = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, (utf8proc_int32_t *)out, CS_UNI_MAX_DECOMPOSED,
                                                 compat ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE, &last);
    if (n < 1 || n > CS_UNI_MAX_DECOMPOSED) {
        out[0] = c;
        return 1;
    }
    return (size_t)n;
}

uint32_t cs_uni_compose(uint32_t a, uint32_t b)
{
    if (b == 0x11a7) /* no trailing consonant, only the number before the first; libutf8proc 2.8 takes it for one */
        return 0;
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b};
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1 || is_plain((uint32_t)pair[0]))
        return 0;
    return (uint32_t)pair[0];
}

void cs_uni_put_newer(const char *name, cs_str *out)
{
    static const char *const names[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No",
                                        "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So"}; /* by utf8proc_category_t */
    if (strcmp(name, "Han") == 0) {
        for (size_t i = 0; i < COUNT(new_han); i++)
            cs_str_printf(out, "\\x{%x}-\\x{%x}", new_han[i].first, new_han[i].last);
        return;
    }
    for (size_t i = 0; i < COUNT(additions); i++) {
        const char *cat = names[additions[i].category];
        if (cat[0] == name[0] && (name[1] == '\0' || cat[1] == name[1]))
            cs_str_printf(out, "\\x{%x}-\\x{%x}", additions[i].first, additions[i].last);
    }
}
