/* Text with the ranges it stands for. */
#include "text/mapped.h"

#include "base/mem.h"

#include <string.h>

void cs_mapped_clear(cs_mapped *m)
{
    cs_str_clear(&m->text);
}

void cs_mapped_release(cs_mapped *m)
{
    cs_str_release(&m->text);
    cs_free(m->from);
    m->from = NULL;
    m->cap = 0;
}

/* Room for the ranges of n more bytes. */
static bool grow(cs_mapped *m, size_t n)
{
    size_t need = m->text.len + n, cap = m->cap ? m->cap : 256;
    if (need <= m->cap)
        return true;
    while (cap < need)
        cap *= 2;
    cs_span *more = cap > SIZE_MAX / 2 / sizeof *more ? NULL : cs_realloc(m->from, cap * sizeof *more);
    if (!more) {
        m->text.failed = true;
        return false;
    }
    m->from = more;
    m->cap = cap;
    return true;
}

void cs_mapped_put(cs_mapped *m, const void *bytes, size_t n, cs_span at)
{
    if (m->track) {
        if (!grow(m, n))
            return;
        for (size_t i = 0; i < n; i++)
            m->from[m->text.len + i] = at;
    }
    cs_str_append(&m->text, bytes, n);
}

void cs_mapped_copy(cs_mapped *m, cs_view v)
{
    if (v.len == 0)
        return;
    if (m->track) {
        if (!grow(m, v.len))
            return;
        memcpy(m->from + m->text.len, v.from, v.len * sizeof *v.from);
    }
    cs_str_append(&m->text, v.text, v.len);
}

cs_view cs_mapped_view(const cs_mapped *m)
{
    return (cs_view){cs_str_cstr(&m->text), m->text.len, m->track ? m->from : NULL};
}
