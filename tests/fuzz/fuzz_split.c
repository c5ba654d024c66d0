/* Word splits by hand against PCRE2 on the pattern that they stand for. The first byte of the input chooses the split; each further byte is a code point:
 * ASCII as it is, the rest of a table of letters, digits, marks, spaces and signs of many scripts (all of them old, so that the Unicode
 * versions of the two libraries do not matter). */
// seeds: tests/fuzz/corpus/split/*
#define PCRE2_CODE_UNIT_WIDTH 8
#include "fuzz/fuzz.h"

#include "text/gpt2_split.h"
#include "text/utf8.h"

#include <pcre2.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { MAX_TEXT = 4096 };

static const struct {
    const char *pattern;
    size_t (*word)(const uint8_t *p, size_t n);
} rows[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", cs_gpt2_word},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const uint32_t points[128] = {
    0x80, 0x85, 0xa0, 0xaa, 0xad, 0xb2, 0xb5, 0xb7, 0xbc, 0xbf, 0xc0, 0xd7, 0xdf, 0xe9, 0x130, 0x131, 0x149, 0x17f, 0x1c5, 0x1f0, 0x2b0, 0x2c6, 0x2ee,
    0x300, 0x301, 0x345, 0x370, 0x375, 0x37e, 0x390, 0x3a9, 0x3c3, 0x410, 0x42f, 0x483, 0x531, 0x559, 0x587, 0x5b0, 0x5d0, 0x5f3, 0x600, 0x627, 0x64b,
    0x660, 0x669, 0x6dd, 0x6f0, 0x710, 0x7c0, 0x901, 0x905, 0x93e, 0x94d, 0x966, 0x9f4, 0xa66, 0xbf0, 0xe01, 0xe33, 0xe50, 0xf20, 0xf2a, 0x1000, 0x1040,
    0x10a0, 0x1100, 0x1161, 0x11a8, 0x1369, 0x1680, 0x16ee, 0x17e0, 0x1810, 0x1e9e, 0x1f88, 0x1fbe, 0x2000, 0x2003, 0x200a, 0x200b, 0x200d, 0x2010,
    0x2019, 0x2028, 0x2029, 0x202f, 0x203f, 0x205f, 0x2070, 0x207f, 0x2080, 0x20ac, 0x20dd, 0x2102, 0x2126, 0x2160, 0x2188, 0x2190, 0x2460, 0x24b6,
    0x2581, 0x2c00, 0x3000, 0x3001, 0x3005, 0x3007, 0x3021, 0x302a, 0x3042, 0x30a2, 0x30fb, 0x3105, 0x3131, 0x3192, 0x3220, 0x4e00, 0x9fa5, 0xa000, 0xac00,
    0xe000, 0xf900, 0xfb01, 0xfeff, 0xff10, 0x10000, 0x1d7ce, 0x1f600,
};

static pcre2_code *code[N_ROWS];
static pcre2_match_data *found;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (size_t i = 0; i < N_ROWS; i++) {
        int error;
        PCRE2_SIZE at;
        code[i] = pcre2_compile((PCRE2_SPTR)rows[i].pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
        FUZZ_CHECK(code[i]);
    }
    found = pcre2_match_data_create(1, NULL);
    FUZZ_CHECK(found);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t text[MAX_TEXT * 4];
    size_t n = 0;
    if (size < 1)
        return 0;
    size_t which = data[0] % N_ROWS;
    for (size_t i = 1; i < size && i < MAX_TEXT; i++)
        n += cs_utf8_encode(data[i] < 0x80 ? data[i] : points[data[i] - 0x80], text + n);
    for (size_t at = 0; at < n;) {
        size_t len = rows[which].word(text + at, n - at);
        FUZZ_CHECK(len > 0 && len <= n - at);
        FUZZ_CHECK(pcre2_match(code[which], text, n, at, PCRE2_NO_UTF_CHECK, found, NULL) == 1);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(found);
        if (range[0] != at || range[1] != at + len)
            fprintf(stderr, "at %zu: %zu bytes by hand, [%zu, %zu) by PCRE2\n", at, len, range[0], range[1]);
        FUZZ_CHECK(range[0] == at && range[1] == at + len);
        at += len;
    }
    return 0;
}
