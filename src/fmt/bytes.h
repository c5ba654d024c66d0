/* Little-endian words at any address, and the check of text that comes from files. */
#ifndef CS_FMT_BYTES_H
#define CS_FMT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <utf8proc.h>

/* The first n <= 8 bytes as an unsigned number. */
static inline uint64_t cs_le_get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static inline void cs_le_put(uint8_t *p, int n, uint64_t v)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* Valid UTF-8: no surrogates, no overlong forms. */
static inline bool cs_utf8_valid(const void *text, size_t len)
{
    const uint8_t *p = text;
    utf8proc_int32_t cp;
    while (len > 0) {
        utf8proc_ssize_t n = *p < 0x80 ? 1 : utf8proc_iterate(p, (utf8proc_ssize_t)len, &cp);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

#endif
