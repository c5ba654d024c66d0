/* The hand-written word scanners against PCRE2 running the same pattern, on random strings of all of Unicode: white space of every kind, digits,
 * contractions in any case (U+017F and U+212A too), and code points younger than PCRE2's tables. */
#include "text/regex.h"
#include "text/utf8.h"
#include "text/wordsplit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *const patterns[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
};

static uint32_t next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*x >> 33);
}

static uint32_t random_cp(uint64_t *x)
{
    static const uint32_t picked[] = {' ', ' ', '\n', '\r', '\t', 0x85, 0xa0, 0x180e, 0x1680, 0x2003, 0x2028, 0x202f, 0x205f, 0x3000, 0x200b, 0x200d,
                                      '\'', '\'', 's', 'S', 0x17f, 't', 'T', 'r', 'e', 'R', 'E', 'v', 'V', 'm', 'l', 'L', 'd', 'D', 0x212a, 'k',
                                      '0', '9', '5', 0x661, 0xb2, 0x2167, 0x3007, 0x1d7d8, '.', ',', '!', '(', ')', '|', '?', 0x2026, 0x3002, 0xff0c,
                                      0x301, 0x327, 0xe9, 0x4f60, 0x1f600, 0x1ccf0, 0x31350, 0x1c89, 0x10d4e, 0x11de0, 0x24b6, 0x378, 0x10ffff, '_'};
    uint32_t c;
    switch (next(x) % 8) {
    case 0:
        do
            c = next(x) % 0x110000;
        while (c >= 0xd800 && c < 0xe000);
        return c;
    case 1: return next(x) % 0x3000 % 0xd800;
    case 2: return 0x20 + next(x) % 0x60;
    default: return picked[next(x) % (sizeof picked / sizeof *picked)];
    }
}

static size_t random_text(uint64_t *x, uint8_t out[400])
{
    size_t n = 0;
    uint32_t count = 1 + next(x) % 40, c = 'a';
    for (uint32_t i = 0; i < count; i++) {
        c = next(x) % 3 ? random_cp(x) : c; /* runs */
        n += cs_utf8_encode(c, out + n);
    }
    return n;
}

static void compare(const cs_regex *re, cs_regex_work *work, cs_split_fn *scan, const uint8_t *text, size_t n)
{
    cs_regex_scan s = {re, work, (const char *)text, n, 0, SIZE_MAX};
    cs_error err = {0};
    for (size_t at = 0, begin, end; at < n;) {
        bool found, match;
        assert_int_equal(cs_regex_next(&s, &begin, &end, &found, &err), CS_OK);
        begin = found ? begin : n;
        if (begin > at) { /* between matches */
            size_t k = scan(text + at, n - at, &match);
            if (match || at + k != begin)
                fail_msg("a gap of \"%.*s\" from %zu to %zu is %zu long", (int)n, text, at, begin, k);
            at = begin;
        }
        if (found) {
            size_t k = scan(text + at, n - at, &match);
            if (!match || at + k != end)
                fail_msg("the word of \"%.*s\" from %zu to %zu is %zu long", (int)n, text, at, end, k);
            at = end;
        }
    }
}

static void scanners(void **state)
{
    (void)state;
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        cs_regex *re = NULL;
        cs_regex_work work = {0};
        cs_error err = {0};
        uint64_t x = 1234 + p;
        uint8_t text[400];
        cs_split_fn *scan = cs_split_find(patterns[p], strlen(patterns[p]));
        assert_non_null(scan);
        if (cs_regex_create(patterns[p], strlen(patterns[p]), &re, &err) != CS_OK)
            fail_msg("%s", err.msg);
        for (int round = 0; round < 20000; round++) {
            size_t n = random_text(&x, text);
            compare(re, &work, scan, text, n);
        }
        cs_regex_work_release(&work);
        cs_regex_destroy(re);
    }
    assert_null(cs_split_find("\\p{L}+", 6));
}

/* What Oniguruma means, in PCRE2's words. */
static void dialect(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"a{2}+b{1,2}?c{3}?", "(?:a{2})+b{1,2}?(?:c{3})?"},
        {"a{,3}{x", "a{0,3}\\x{7b}x"},
        {"(?m:.)$^", "(?s:.)$^"},
        {"a(?i)b|c", "a(?i:b|c)"},
        {"(?<=a)(?!b)(?>c)", "(?<=a)(?!b)(?>c)"},
        {"[a[bc]]", "[\\x{61}\\x{62}\\x{63}]"},
        {"[a-c&&[^b]]", "(?:(*F)|(?=[\\x{61}-\\x{63}])(?=(?:(*F)|(?![\\x{62}])(?s:.)))(?s:.))"},
        {"\\h\\x41\\u00e9\\v\\e", "[0-9A-Fa-f]A\\x{e9}\\x{b}\\x{1b}"},
        {"[^]x]", "[^\\x{5d}\\x{78}]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_str out = {0};
        cs_error err = {0};
        assert_int_equal(cs_regex_translate(rows[i].from, strlen(rows[i].from), &out, &err), CS_OK);
        assert_string_equal(cs_str_cstr(&out), rows[i].to);
        cs_str_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanners),
        cmocka_unit_test(dialect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
