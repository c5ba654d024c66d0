/* GPT-2's word pattern by hand: a regular expression engine would be slower and could not be bounded. */
#include "text/gpt2_split.h"

#include "text/utf8.h"

#include <utf8proc.h>

#include <string.h>

typedef enum char_class { SPACE, LETTER, NUMBER, OTHER } char_class;

/* Class of the code point at p; *len its bytes. */
static char_class class_at(const uint8_t *p, size_t n, size_t *len)
{
    uint32_t c;
    *len = cs_utf8_decode(p, n, &c);
    if (*len == 0) {
        *len = 1;
        return OTHER;
    }
    if (c < 0x80) {
        if (c == ' ' || (c >= 9 && c <= 13))
            return SPACE;
        return (c | 32) >= 'a' && (c | 32) <= 'z' ? LETTER : c >= '0' && c <= '9' ? NUMBER : OTHER;
    }
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return SPACE;
    default: return c == 0x85 ? SPACE : OTHER;
    }
}

/* Bytes of 's 't 're 've 'm 'll 'd at p, 0 = none. */
static size_t contraction(const uint8_t *p, size_t n)
{
    static const char *const tails[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    for (size_t i = 0; p[0] == '\'' && i < sizeof tails / sizeof *tails; i++) {
        size_t k = strlen(tails[i]);
        if (n > k && memcmp(p + 1, tails[i], k) == 0)
            return k + 1;
    }
    return 0;
}

size_t cs_gpt2_word(const uint8_t *p, size_t n)
{
    size_t len, at = contraction(p, n);
    if (at > 0)
        return at;
    char_class c = class_at(p, n, &len);
    if (p[0] == ' ' && n > 1) {
        size_t next_len;
        char_class next = class_at(p + 1, n - 1, &next_len);
        if (next != SPACE) { /* the blank belongs to the word behind it */
            c = next;
            at = 1;
        }
    }
    if (c != SPACE) {
        while (at < n && class_at(p + at, n - at, &len) == c)
            at += len;
        return at;
    }
    size_t last = 0;
    while (at < n && class_at(p + at, n - at, &len) == SPACE) {
        last = at;
        at += len;
    }
    return at == n || last == 0 ? at : last; /* the last space before a word is left to it */
}
