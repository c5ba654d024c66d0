/* UTF-8 code points. Strict: no overlong forms, surrogates or values above U+10FFFF. */
#ifndef CS_TEXT_UTF8_H
#define CS_TEXT_UTF8_H

#include "base/str.h"

#define CS_UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the code point at p (n >= 1 bytes there), 0 when it is malformed; *cp (may be NULL) gets its value. */
size_t cs_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp);
/* The code point that p[0..3) is, 0 when those bytes are not one code point of three bytes. */
static inline uint32_t cs_utf8_three(const uint8_t *p)
{
    if ((p[0] & 0xf0) != 0xe0 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
        return 0;
    uint32_t cp = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    return cp >= 0x800 && (cp & 0xf800) != 0xd800 ? cp : 0;
}

/* Bytes of the code point that p[0..n) ends with, and itself; 0 when n is 0 or it is malformed. */
size_t cs_utf8_last(const uint8_t *p, size_t n, uint32_t *cp);
/* As cs_utf8_decode for malformed input: the bytes that one U+FFFD stands for (the maximal valid prefix of a code point, at least 1). */
size_t cs_utf8_bad_length(const uint8_t *p, size_t n);
/* True when p[0..n) is a proper beginning of some code point, so that more bytes could complete it. */
bool cs_utf8_incomplete(const uint8_t *p, size_t n);
/* Length of the longest well-formed prefix. */
size_t cs_utf8_valid_prefix(const uint8_t *p, size_t n);
/* Writes cp to out[4], returns the length. */
size_t cs_utf8_encode(uint32_t cp, uint8_t *out);

#endif
