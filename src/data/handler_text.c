/* See handler_text.h. */
#include "data/handler_text.h"

#include "text/utf8.h"

#include <string.h>

/* What str.isspace() holds for: category Zs, or a bidirectional class of B, S or WS. */
static bool is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a)
           || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

cs_bytes cs_text_strip(cs_bytes b)
{
    uint32_t cp;
    size_t n;
    while (b.len > 0 && (n = cs_utf8_decode((const uint8_t *)b.text, b.len, &cp)) > 0 && is_space(cp)) {
        b.text += n;
        b.len -= n;
    }
    while (b.len > 0 && (n = cs_utf8_last((const uint8_t *)b.text, b.len, &cp)) > 0 && is_space(cp))
        b.len -= n;
    return b;
}

const char *cs_text_find(cs_bytes b, const char *what)
{
    return b.len > 0 ? memmem(b.text, b.len, what, strlen(what)) : NULL;
}

const char *cs_text_find_last(cs_bytes b, const char *what)
{
    size_t n = strlen(what);
    for (size_t at = b.len; at >= n; at--)
        if (b.text[at - n] == what[0] && memcmp(b.text + at - n, what, n) == 0)
            return b.text + at - n;
    return NULL;
}

cs_bytes cs_text_next_part(cs_bytes *rest, const char *what)
{
    cs_bytes part = *rest;
    const char *end = cs_text_find(part, what);
    if (!end) {
        *rest = (cs_bytes){NULL, 0};
        return part;
    }
    part.len = (size_t)(end - part.text);
    size_t used = part.len + strlen(what);
    *rest = (cs_bytes){rest->text + used, rest->len - used};
    return part;
}

void cs_text_without(cs_str *out, cs_bytes b, const char *what)
{
    while (b.text)
        cs_str_put(out, cs_text_next_part(&b, what));
}
