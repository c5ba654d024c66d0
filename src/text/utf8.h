/* UTF-8 code points. Strict: no overlong forms, surrogates or values above U+10FFFF. */
#ifndef CS_TEXT_UTF8_H
#define CS_TEXT_UTF8_H

#include "base/str.h"

#define CS_UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the code point at p (n >= 1 bytes there), 0 when it is malformed; *cp (may be NULL) gets its value. */
size_t cs_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp);
/* As cs_utf8_decode for malformed input: the bytes that one U+FFFD stands for (the maximal valid prefix of a code point, at least 1). */
size_t cs_utf8_bad_length(const uint8_t *p, size_t n);
/* True when p[0..n) is a proper beginning of some code point, so that more bytes could complete it. */
bool cs_utf8_incomplete(const uint8_t *p, size_t n);
/* Length of the longest well-formed prefix. */
size_t cs_utf8_valid_prefix(const uint8_t *p, size_t n);
/* Writes cp to out[4], returns the length. */
size_t cs_utf8_encode(uint32_t cp, uint8_t *out);

#endif
