/* UTF-8 code points (Unicode 15, table 3-7). */
#include "text/utf8.h"

/* Length by first byte (0 = cannot start a code point) and the legal range of the second byte. */
static size_t lead(uint8_t c, uint8_t *lo, uint8_t *hi)
{
    *lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    *hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
}

/* Number of bytes at p that are a good beginning; *want gets the full length (0 = bad first byte). */
static size_t good_bytes(const uint8_t *p, size_t n, size_t *want)
{
    uint8_t lo, hi;
    *want = lead(p[0], &lo, &hi);
    size_t i = 1;
    while (i < *want && i < n && p[i] >= lo && p[i] <= hi) {
        lo = 0x80;
        hi = 0xbf;
        i++;
    }
    return i;
}

size_t cs_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp)
{
    static const uint8_t mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t want;
    if (p[0] < 0x80) {
        if (cp)
            *cp = p[0];
        return 1;
    }
    if (good_bytes(p, n, &want) < want || want == 0)
        return 0;
    if (cp) {
        *cp = p[0] & mask[want];
        for (size_t i = 1; i < want; i++)
            *cp = *cp << 6 | (p[i] & 0x3f);
    }
    return want;
}

size_t cs_utf8_last(const uint8_t *p, size_t n, uint32_t *cp)
{
    size_t k = 1;
    while (k < n && k < 4 && (p[n - k] & 0xc0) == 0x80)
        k++;
    return n > 0 && cs_utf8_decode(p + n - k, k, cp) == k ? k : 0;
}

size_t cs_utf8_bad_length(const uint8_t *p, size_t n)
{
    size_t want;
    return good_bytes(p, n, &want);
}

bool cs_utf8_incomplete(const uint8_t *p, size_t n)
{
    size_t want;
    return n > 0 && good_bytes(p, n, &want) == n && n < want;
}

size_t cs_utf8_valid_prefix(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t k = cs_utf8_decode(p + i, n - i, NULL);
        if (k == 0)
            break;
        i += k;
    }
    return i;
}

size_t cs_utf8_encode(uint32_t cp, uint8_t *out)
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t first[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3f));
    out[0] = (uint8_t)(first[n] | cp);
    return n;
}
