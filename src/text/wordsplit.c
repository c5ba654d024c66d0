/* Hand-written scanners. Each looks at the first code points, decides which alternative of the pattern matches, and runs to its end. */
#include "text/wordsplit.h"

#include "text/unidata.h"
#include "text/utf8.h"

#include <string.h>

/* Of a code point, as the patterns see it; marks are in no class. */
typedef struct char_at {
    uint32_t cp;
    size_t len;
    cs_uni_class k;
} char_at;

#define S CS_UNI_SPACE
#define L CS_UNI_LETTER
#define N CS_UNI_NUMBER
static const uint8_t ascii[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, S, S, S, S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    N, N, N, N, N, N, N, N, N, N, 0, 0, 0, 0, 0, 0, 0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
};
#undef S
#undef L
#undef N

static inline char_at look(const uint8_t *p, size_t n, size_t at)
{
    char_at c = {0, 0, CS_UNI_OTHER};
    if (at >= n)
        return c;
    if (p[at] < 0x80)
        return (char_at){p[at], 1, (cs_uni_class)ascii[p[at]]};
    c.len = cs_utf8_decode(p + at, n - at, &c.cp);
    if (c.len == 0) {
        c.len = 1;
        return c;
    }
    c.k = cs_uni_class_of(c.cp);
    if (c.k == CS_UNI_MARK)
        c.k = CS_UNI_OTHER;
    return c;
}

/* End of the run of class k that goes on at `at`. */
static size_t run_of(const uint8_t *p, size_t n, size_t at, cs_uni_class k)
{
    for (;;) {
        while (at < n && p[at] < 0x80 && ascii[p[at]] == k)
            at++;
        if (at >= n || p[at] < 0x80)
            return at;
        char_at c = look(p, n, at);
        if (c.k != k)
            return at;
        at += c.len;
    }
}

/* \s+(?!\S)|\s+ where p begins with white space: the last space before a word is left to it. */
static size_t spaces(const uint8_t *p, size_t n)
{
    size_t at = 0, last = 0;
    for (char_at c; (c = look(p, n, at)).len > 0 && c.k == CS_UNI_SPACE;) {
        last = at;
        at += c.len;
    }
    return at == n || last == 0 ? at : last;
}

/* Length of 's 't 're 've 'm 'll 'd at p, 0 = none; any_case as (?i:) has it, where U+017F is an s. */
static size_t contraction(const uint8_t *p, size_t n, bool any_case)
{
    static const char *const tails[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    char low[2] = {0, 0};
    if (p[0] != '\'' || n < 2)
        return 0;
    if (any_case && n >= 3 && p[1] == 0xc5 && p[2] == 0xbf)
        return 3;
    for (size_t i = 0; i < 2 && i + 1 < n; i++)
        low[i] = (char)(any_case && p[i + 1] >= 'A' && p[i + 1] <= 'Z' ? p[i + 1] | 32 : p[i + 1]);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        size_t k = strlen(tails[i]);
        if (n > k && memcmp(low, tails[i], k) == 0)
            return k + 1;
    }
    return 0;
}

size_t cs_split_gpt2(const uint8_t *p, size_t n, bool *match)
{
    *match = true;
    size_t at = contraction(p, n, false);
    if (at > 0)
        return at;
    char_at c = look(p, n, 0), next = look(p, n, c.len);
    if (p[0] == ' ' && next.len > 0 && next.k != CS_UNI_SPACE)
        return run_of(p, n, 1, next.k); /* the blank belongs to the word behind it */
    return c.k == CS_UNI_SPACE ? spaces(p, n) : run_of(p, n, c.len, c.k);
}

/* LLaMA-3's pattern with at most `digits` numbers in a word. */
static size_t modern(const uint8_t *p, size_t n, size_t digits)
{
    size_t at = contraction(p, n, true);
    if (at > 0)
        return at;
    char_at c = look(p, n, 0), next = look(p, n, c.len);
    bool line_end = c.cp == '\r' || c.cp == '\n';
    if (c.k == CS_UNI_LETTER || (!line_end && c.k != CS_UNI_NUMBER && next.k == CS_UNI_LETTER))
        return run_of(p, n, c.len, CS_UNI_LETTER);
    if (c.k == CS_UNI_NUMBER) {
        for (at = c.len; --digits > 0 && (next = look(p, n, at)).k == CS_UNI_NUMBER; at += next.len)
            ;
        return at;
    }
    if (c.k == CS_UNI_OTHER || (p[0] == ' ' && next.len > 0 && next.k == CS_UNI_OTHER)) {
        at = run_of(p, n, c.len, CS_UNI_OTHER);
        while (at < n && (p[at] == '\r' || p[at] == '\n'))
            at++;
        return at;
    }
    size_t after_line = 0;
    for (at = 0; (c = look(p, n, at)).len > 0 && c.k == CS_UNI_SPACE; at += c.len)
        if (c.cp == '\r' || c.cp == '\n')
            after_line = at + 1;
    return after_line > 0 ? after_line : spaces(p, n);
}

static size_t split_llama3(const uint8_t *p, size_t n, bool *match)
{
    *match = true;
    return modern(p, n, 3);
}

static size_t split_qwen2(const uint8_t *p, size_t n, bool *match)
{
    *match = true;
    return modern(p, n, 1);
}

/* True for what Bloom's words hold: not white space, not one of ( ) | and the full stops and commas of some scripts. */
static bool bloom_word(char_at c)
{
    switch (c.cp) {
    case '(': case ')': case '|': case '.': case ',': case '!': case '?':
    case 0x2026: case 0x3002: case 0xff0c: case 0x3001: case 0x964: case 0x6d4: case 0x60c: return false;
    default: return c.len > 0 && c.k != CS_UNI_SPACE;
    }
}

static size_t split_bloom(const uint8_t *p, size_t n, bool *match)
{
    char_at c = look(p, n, 0), next = look(p, n, c.len);
    size_t at = c.len;
    *match = bloom_word(c) || (p[0] == ' ' && bloom_word(next));
    if (*match) {
        while (bloom_word(c = look(p, n, at)))
            at += c.len;
        return at;
    }
    for (; (c = look(p, n, at)).len > 0 && !bloom_word(c); at += c.len)
        if (c.cp == ' ' && bloom_word(look(p, n, at + 1)))
            break;
    return at;
}

static int word_kind(char_at c)
{
    return c.len == 0 ? -1 : c.k == CS_UNI_SPACE ? 0 : cs_uni_is_word(c.cp) ? 1 : 2;
}

size_t cs_split_words(const uint8_t *p, size_t n, bool *match)
{
    char_at c = look(p, n, 0);
    int kind = word_kind(c);
    size_t at = c.len;
    for (; word_kind(c = look(p, n, at)) == kind; at += c.len)
        ;
    *match = kind != 0;
    return at;
}

cs_split_fn *cs_split_find(const char *pattern, size_t len)
{
    static const struct {
        const char *pattern;
        cs_split_fn *fn;
    } rows[] = {
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", cs_split_gpt2},
        {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", cs_split_gpt2},
        {" ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+", split_bloom},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         split_llama3},
        {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
         split_llama3},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         split_qwen2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].pattern) == len && memcmp(rows[i].pattern, pattern, len) == 0)
            return rows[i].fn;
    return NULL;
}
