/* Word scanners by hand against PCRE2 on the pattern that they stand for. The first byte of the input chooses the pattern; each further byte is a code
 * point: ASCII as it is, the rest of a table of letters, digits, marks, spaces and signs of many scripts. */
// seeds: tests/fuzz/corpus/split/*
// options: -max_len=4096
#include "fuzz/fuzz.h"

#include "text/regex.h"
#include "text/utf8.h"
#include "text/wordsplit.h"

#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { MAX_TEXT = 4096 };

static const char *const patterns[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};
enum { N_PATTERNS = sizeof patterns / sizeof *patterns };

static const uint32_t points[128] = {
    0x80, 0x85, 0xa0, 0xaa, 0xad, 0xb2, 0xb5, 0xb7, 0xbc, 0xbf, 0xc0, 0xd7, 0xdf, 0xe9, 0x130, 0x131, 0x149, 0x17f, 0x1c5, 0x1f0, 0x2b0, 0x2c6, 0x2ee,
    0x300, 0x301, 0x345, 0x370, 0x375, 0x37e, 0x390, 0x3a9, 0x3c3, 0x410, 0x42f, 0x483, 0x531, 0x559, 0x587, 0x5b0, 0x5d0, 0x5f3, 0x600, 0x60c, 0x627,
    0x64b, 0x660, 0x669, 0x6d4, 0x6dd, 0x6f0, 0x710, 0x7c0, 0x901, 0x905, 0x93e, 0x94d, 0x964, 0x966, 0x9f4, 0xa66, 0xbf0, 0xe01, 0xe33, 0xe50, 0xf20,
    0xf2a, 0x1000, 0x1040, 0x10a0, 0x1100, 0x1161, 0x11a8, 0x1369, 0x1680, 0x16ee, 0x17e0, 0x180e, 0x1810, 0x1e9e, 0x1f88, 0x2000, 0x2003, 0x200b, 0x200d,
    0x2019, 0x2026, 0x2028, 0x2029, 0x202f, 0x203f, 0x205f, 0x2070, 0x207f, 0x20ac, 0x20dd, 0x2126, 0x212a, 0x2160, 0x2188, 0x2190, 0x2460, 0x24b6,
    0x2581, 0x2c00, 0x3000, 0x3001, 0x3002, 0x3005, 0x3007, 0x3021, 0x302a, 0x3042, 0x30fb, 0x3131, 0x3192, 0x3220, 0x4e00, 0x9fa5, 0xac00, 0xe000, 0xf900,
    0xfb01, 0xfeff, 0xff0c, 0xff10, 0x10000, 0x1d7ce, 0x1f600,
};

static cs_regex *regex[N_PATTERNS];
static cs_split_fn *scanner[N_PATTERNS];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (size_t i = 0; i < N_PATTERNS; i++) {
        FUZZ_CHECK(cs_regex_create(patterns[i], strlen(patterns[i]), &regex[i], NULL) == CS_OK);
        scanner[i] = cs_split_find(patterns[i], strlen(patterns[i]));
        FUZZ_CHECK(scanner[i]);
    }
    return 0;
}

/* The scanner's next part is text[at, end), a match or what lies before one. */
static void expect(cs_split_fn *scan, const uint8_t *text, size_t n, size_t at, size_t end, bool match)
{
    bool got;
    size_t len = scan(text + at, n - at, &got);
    if (len != end - at || got != match)
        fprintf(stderr, "at %zu: by hand %zu bytes, %d; by PCRE2 %zu bytes, %d\n", at, len, got, end - at, match);
    FUZZ_CHECK(len == end - at && got == match);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t text[MAX_TEXT * 4];
    size_t n = 0, at = 0;
    cs_regex_work work = {0};
    cs_error err = {0};
    if (size < 1)
        return 0;
    size_t which = data[0] % N_PATTERNS;
    for (size_t i = 1; i < size && i < MAX_TEXT; i++)
        n += cs_utf8_encode(data[i] < 0x80 ? data[i] : points[data[i] - 0x80], text + n);
    cs_regex_scan s = {regex[which], &work, (const char *)text, n, 0, SIZE_MAX};
    while (at < n) {
        size_t begin, end;
        bool found;
        FUZZ_CHECK(cs_regex_next(&s, &begin, &end, &found, &err) == CS_OK);
        if (!found)
            begin = n;
        if (begin > at)
            expect(scanner[which], text, n, at, begin, false);
        if (found)
            expect(scanner[which], text, n, begin, end, true);
        at = found ? end : n;
    }
    cs_regex_work_release(&work);
    return 0;
}
