/* UTF-8 against a decoder written from the table of the standard in another way; encode is its inverse; and a text cut at any place is
 * continued, so that a stream of pieces gives what the whole gives. The first byte of the input says where to cut. */
// seeds: tests/data/ref_prompt.txt
#include "fuzz/fuzz.h"

#include "text/utf8.h"

#include <string.h>

/* Length of the code point at p by its value: the shortest form of a scalar value, 0 = none. */
static size_t slow_decode(const uint8_t *p, size_t n, uint32_t *cp)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t want = p[0] >> 7 == 0 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (want == 0 || want > n)
        return 0;
    uint32_t v = want == 1 ? p[0] : p[0] & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        v = v << 6 | (p[i] & 63u);
    }
    if (v < least[want] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return 0;
    *cp = v;
    return want;
}

/* True when some bytes behind p[0..n) would make a code point of it. */
static bool slow_incomplete(const uint8_t *p, size_t n)
{
    static const uint8_t tails[] = {0x80, 0x90, 0x9f, 0xa0, 0xbf};
    uint8_t buf[8];
    uint32_t cp;
    if (n == 0 || n > 3 || slow_decode(p, n, &cp) != 0)
        return false;
    memcpy(buf, p, n);
    for (size_t a = 0; a < sizeof tails; a++) {
        buf[n] = tails[a];
        buf[n + 1] = buf[n + 2] = 0x80;
        for (size_t k = n + 1; k <= 4; k++)
            if (slow_decode(buf, k, &cp) == k)
                return true;
    }
    return false;
}

static void walk(const uint8_t *p, size_t n)
{
    size_t good = 0;
    bool all = true;
    for (size_t i = 0; i < n;) {
        uint32_t fast = 0, slow = 0;
        size_t k = cs_utf8_decode(p + i, n - i, &fast), want = slow_decode(p + i, n - i, &slow);
        FUZZ_CHECK(k == want && fast == slow);
        FUZZ_CHECK(cs_utf8_incomplete(p + i, n - i) == slow_incomplete(p + i, n - i));
        if (k > 0) {
            uint8_t back[4];
            FUZZ_CHECK(cs_utf8_encode(fast, back) == k && memcmp(back, p + i, k) == 0);
        } else {
            all = false;
            k = cs_utf8_bad_length(p + i, n - i);
            FUZZ_CHECK(k >= 1 && k <= 3 && k <= n - i);
            FUZZ_CHECK(k == 1 || slow_incomplete(p + i, k));
            FUZZ_CHECK(k == n - i || !slow_incomplete(p + i, k + 1));
        }
        good += all ? k : 0;
        i += k;
    }
    FUZZ_CHECK(cs_utf8_valid_prefix(p, n) == good);
}

/* Bytes are taken in two pieces; the end of the first is held back when it is the beginning of a code point. */
static void cut(const uint8_t *p, size_t n, size_t at)
{
    size_t first = cs_utf8_valid_prefix(p, at), whole = cs_utf8_valid_prefix(p, n);
    if (first == at || cs_utf8_incomplete(p + first, at - first))
        FUZZ_CHECK(whole >= first && first + cs_utf8_valid_prefix(p + first, n - first) == whole);
    else
        FUZZ_CHECK(whole == first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    walk(data + 1, size - 1);
    cut(data + 1, size - 1, data[0] % size);
    return 0;
}
