/* Cutting of texts as Python's str methods do it, for handlers whose rules are written in terms of those. */
#ifndef CS_DATA_HANDLER_TEXT_H
#define CS_DATA_HANDLER_TEXT_H

#include "base/str.h"
#include "text/normalize.h"

static inline void cs_str_put(cs_str *s, cs_bytes b)
{
    cs_str_append(s, b.text, b.len);
}
/* str.strip(): white space of Unicode at both ends. */
cs_bytes cs_text_strip(cs_bytes b);
/* First place of `what` in b, NULL when there is none; `what` is not empty. */
const char *cs_text_find(cs_bytes b, const char *what);
/* Last one. */
const char *cs_text_find_last(cs_bytes b, const char *what);
/* str.split(what): *rest (text NULL at the end) is cut before its first `what`; returns the part in front. */
cs_bytes cs_text_next_part(cs_bytes *rest, const char *what);
/* str.replace(what, ""), appended to *out. */
void cs_text_without(cs_str *out, cs_bytes b, const char *what);

#endif
