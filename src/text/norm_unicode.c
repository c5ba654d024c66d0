/* Both kinds first make a list of changes, from which the new text and the source of its bytes follow. */
#include "text/norm_unicode.h"

#include "base/mem.h"
#include "text/unidata.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static void push(cs_norm_changes *w, uint32_t cp, int32_t change, uint8_t combining)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 256;
        cs_norm_change *more = cap > SIZE_MAX / sizeof *more ? NULL : cs_realloc(w->list, cap * sizeof *more);
        if (!more) {
            w->failed = true;
            return;
        }
        w->list = more;
        w->cap = cap;
    }
    w->list[w->n++] = (cs_norm_change){cp, change, combining};
}

/* Writes the list out: what is put in stands for what is left of it, everything else for the old code point where it is. */
static void apply(const cs_norm_changes *w, cs_view in, uint32_t base, cs_mapped *out)
{
    size_t at = 0; /* in the old text */
    for (size_t i = 0; i < w->n; i++) {
        uint8_t utf8[4];
        cs_span s = {base, base};
        if (in.from) {
            size_t k = w->list[i].change > 0 ? at : at + 1;
            s = k == 0 ? s : in.from[k <= in.len ? k - 1 : in.len - 1];
        }
        cs_mapped_put(out, utf8, cs_utf8_encode(w->list[i].cp, utf8), s);
        for (int32_t k = w->list[i].change; k <= 0 && at < in.len; k++) {
            size_t n = cs_utf8_decode((const uint8_t *)in.text + at, in.len - at, NULL);
            at += n ? n : 1;
        }
    }
}

/* ---- normalisation forms ---- */

typedef struct mark {
    cs_norm_change c;
    size_t at;
} mark;

static int by_class(const void *a, const void *b)
{
    const mark *x = a, *y = b;
    if (x->c.combining != y->c.combining)
        return x->c.combining < y->c.combining ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Orders a run of marks by class; those of one class stay in order. Runs of a few are the rule. */
static void order_marks(cs_norm_changes *w, size_t begin, size_t end)
{
    size_t n = end - begin;
    if (n > 16) {
        mark *m = cs_malloc(n * sizeof *m);
        w->failed |= !m;
        for (size_t i = 0; m && i < n; i++)
            m[i] = (mark){w->list[begin + i], i};
        if (m)
            qsort(m, n, sizeof *m, by_class);
        for (size_t i = 0; m && i < n; i++)
            w->list[begin + i] = m[i].c;
        cs_free(m);
        return;
    }
    for (size_t i = begin + 1; i < end; i++) {
        cs_norm_change c = w->list[i];
        size_t k = i;
        for (; k > begin && w->list[k - 1].combining > c.combining; k--)
            w->list[k] = w->list[k - 1];
        w->list[k] = c;
    }
}

static void decompose(bool compat, cs_view in, cs_norm_changes *w)
{
    for (size_t i = 0, n; i < in.len; i += n) {
        uint32_t cp, parts[CS_UNI_MAX_DECOMPOSED];
        n = cs_utf8_decode((const uint8_t *)in.text + i, in.len - i, &cp);
        if (n == 0) {
            n = 1;
            cp = 0xfffd;
        }
        size_t count = cs_uni_decompose(cp, compat, parts);
        for (size_t k = 0; k < count; k++)
            push(w, parts[k], k > 0, cs_uni_combining(parts[k]));
    }
    for (size_t i = 0, end; i < w->n; i = end) {
        for (end = i; end < w->n && w->list[end].combining != 0; end++)
            ;
        if (end > i + 1)
            order_marks(w, i, end);
        end += end == i;
    }
}

static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    return b < 0x300 ? 0 : cs_uni_compose(a, b);
}

/* Joins marks to the starter before them where nothing of their class is between; in place. */
static void recompose(cs_norm_changes *w)
{
    size_t n = w->n, starter = SIZE_MAX;
    int last = -1; /* class of the last mark kept behind the starter */
    w->n = 0;
    for (size_t i = 0; i < n; i++) {
        cs_norm_change c = w->list[i];
        if (starter != SIZE_MAX && last < c.combining) { /* not blocked; last is -1 right behind the starter */
            uint32_t joined = compose_pair(w->list[starter].cp, c.cp);
            if (joined != 0) {
                w->list[starter].cp = joined;
                w->list[starter].change += c.change - 1;
                continue;
            }
        }
        w->list[w->n++] = c;
        if (c.combining == 0) {
            starter = w->n - 1;
            last = -1;
        } else if (starter != SIZE_MAX) {
            last = c.combining;
        }
    }
}

void cs_norm_form(bool compat, bool compose, cs_view in, uint32_t base, cs_norm_changes *work, cs_mapped *out)
{
    size_t plain = 0;
    while (plain < in.len && (uint8_t)in.text[plain] < 0x80)
        plain++;
    if (plain == in.len) {
        cs_mapped_copy(out, in);
        return;
    }
    work->n = 0;
    decompose(compat, in, work);
    if (compose && !work->failed)
        recompose(work);
    if (!work->failed)
        apply(work, in, base, out);
}

/* ---- character map ---- */

/* Puts the replacement of one part of `old` code points. */
static void replace_part(cs_norm_changes *w, size_t old, const char *to)
{
    size_t count = 0, before = w->n, len = strlen(to);
    uint32_t cp;
    for (size_t i = 0; i < len; count++) {
        i += cs_utf8_decode((const uint8_t *)to + i, len - i, &cp);
        push(w, cp, 0, 0);
    }
    if (w->failed)
        return;
    for (size_t k = old < count ? old : count; k < count; k++)
        w->list[before + k].change = 1;
    if (count < old && w->n > 0)
        w->list[w->n - 1].change += (int32_t)count - (int32_t)old;
}

/* The rule for a part, which tokenizers takes from the shortest key that the part begins with; false = none. */
static bool rule(const cs_charsmap *map, const char *text, size_t n, const char **to)
{
    if (cs_charsmap_shortest(map, text, n, to) == 0)
        return false;
    size_t len = strlen(*to);
    return cs_utf8_valid_prefix((const uint8_t *)*to, len) == len;
}

static size_t count_cps(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((uint8_t)text[i] & 0xc0) != 0x80;
    return count;
}

/* A code point that libutf8proc knows and that clusters as cp does: its tables lack the newest marks, those of Unicode 16 and of 17. */
static utf8proc_int32_t known_as(uint32_t cp)
{
    if ((cp >= 0x1acf && cp <= 0x1add) || (cp >= 0x1ae0 && cp <= 0x1aeb))
        return 0x300;
    if (utf8proc_category((utf8proc_int32_t)cp) != UTF8PROC_CATEGORY_CN)
        return (utf8proc_int32_t)cp;
    utf8proc_category_t category = cs_uni_category(cp);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ? 0x300
           : category == UTF8PROC_CATEGORY_MC                                   ? 0x903
                                                                                : (utf8proc_int32_t)cp;
}

/* End of the grapheme cluster that begins at `at`. */
static size_t cluster_end(cs_view in, size_t at)
{
    utf8proc_int32_t state = 0;
    uint32_t before, cp;
    at += cs_utf8_decode((const uint8_t *)in.text + at, in.len - at, &before);
    for (size_t n; at < in.len; at += n, before = cp) {
        n = cs_utf8_decode((const uint8_t *)in.text + at, in.len - at, &cp);
        if (utf8proc_grapheme_break_stateful(known_as(before), known_as(cp), &state))
            break;
    }
    return at;
}

void cs_norm_precompiled(const cs_charsmap *map, cs_view in, uint32_t base, cs_norm_changes *work, cs_mapped *out)
{
    const char *to;
    bool changed = false;
    work->n = 0;
    for (size_t at = 0, end; at < in.len && !work->failed; at = end) {
        end = cluster_end(in, at);
        if (end - at < 6 && rule(map, in.text + at, end - at, &to)) {
            replace_part(work, count_cps(in.text + at, end - at), to);
            changed = true;
            continue;
        }
        for (size_t i = at, n; i < end; i += n) {
            uint32_t cp;
            n = cs_utf8_decode((const uint8_t *)in.text + i, end - i, &cp);
            if (rule(map, in.text + i, n, &to)) {
                replace_part(work, 1, to);
                changed = true;
            } else {
                push(work, cp, 0, 0);
            }
        }
    }
    if (work->failed)
        return;
    if (changed)
        apply(work, in, base, out);
    else
        cs_mapped_copy(out, in);
}
