/* Text on its way through the tokenizer: bytes and, when somebody asked for them, the range of the input that each byte stands for. All bytes of
 * one code point stand for the same range; ranges never go back. */
#ifndef CS_TEXT_MAPPED_H
#define CS_TEXT_MAPPED_H

#include "base/str.h"

/* Bytes [begin, end) of the input. */
typedef struct cs_span {
    uint32_t begin, end;
} cs_span;

/* A part of some text, borrowed. */
typedef struct cs_view {
    const char *text;
    size_t len;
    const cs_span *from; /* [len], NULL = nobody asked */
} cs_view;

/* Growable; zero-initialise (and set `track` to keep ranges). Out of memory sets text.failed. */
typedef struct cs_mapped {
    cs_str text;
    cs_span *from;
    size_t cap;
    bool track;
} cs_mapped;

void cs_mapped_clear(cs_mapped *m); /* memory and `track` are kept */
void cs_mapped_release(cs_mapped *m);
/* Appends n bytes that all stand for `at`, which counts only when ranges are kept. */
void cs_mapped_put(cs_mapped *m, const void *bytes, size_t n, cs_span at);
/* Appends a whole view with its ranges. */
void cs_mapped_copy(cs_mapped *m, cs_view v);
cs_view cs_mapped_view(const cs_mapped *m);
/* v[at, at + n). */
static inline cs_view cs_view_part(cs_view v, size_t at, size_t n)
{
    return (cs_view){v.text + at, n, v.from ? v.from + at : NULL};
}
/* What byte i of the view stands for; nothing in particular when ranges are not kept. */
static inline cs_span cs_view_at(cs_view v, size_t i)
{
    return v.from ? v.from[i] : (cs_span){0, 0};
}

#endif
