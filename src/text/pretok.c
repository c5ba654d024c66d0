/* Pre-tokenizer steps. */
#include "text/pretok.h"

#include "text/byte_level.h"
#include "text/utf8.h"

#include <string.h>

typedef struct run {
    const cs_pretok *p;
    cs_pretok_work *w;
    cs_word_fn *fn;
    void *context;
    cs_error *err;
} run;

static cs_status step_from(const run *r, size_t step, cs_view v, bool first);

static bool begins_with(cs_view v, cs_bytes b)
{
    return v.len >= b.len && memcmp(v.text, b.text, b.len) == 0;
}

static cs_status metaspace(const run *r, size_t i, cs_view v, bool first)
{
    const cs_pretok_step *s = &r->p->steps[i];
    cs_mapped *m = &r->w->made[i];
    cs_mapped_clear(m);
    bool has = v.text[0] == ' ' || begins_with(v, s->meta);
    if (!has && (s->prefix == CS_PREFIX_ALWAYS || (s->prefix == CS_PREFIX_FIRST && first)))
        cs_mapped_put(m, s->meta.text, s->meta.len, cs_view_at(v, 0));
    for (size_t at = 0, n; at < v.len; at += n) {
        const char *blank = memchr(v.text + at, ' ', v.len - at);
        n = blank ? (size_t)(blank - v.text) - at : v.len - at;
        cs_mapped_copy(m, cs_view_part(v, at, n));
        if (blank) {
            cs_mapped_put(m, s->meta.text, s->meta.len, cs_view_at(v, at + n));
            n++;
        }
    }
    CS_TRY(cs_str_check(&m->text, r->err));
    v = cs_mapped_view(m);
    if (!s->split)
        return step_from(r, i + 1, v, first);
    for (size_t at = 0, end; at < v.len; at = end) {
        size_t from = begins_with(cs_view_part(v, at, v.len - at), s->meta) ? at + s->meta.len : at;
        const char *next = memmem(v.text + from, v.len - from, s->meta.text, s->meta.len);
        end = next ? (size_t)(next - v.text) : v.len;
        CS_TRY(step_from(r, i + 1, cs_view_part(v, at, end - at), first && at == 0));
    }
    return CS_OK;
}

static cs_status byte_map(const run *r, size_t i, cs_view v, bool first)
{
    cs_mapped *m = &r->w->made[i];
    cs_mapped_clear(m);
    cs_byte_level_put(v, m);
    CS_TRY(cs_str_check(&m->text, r->err));
    return step_from(r, i + 1, cs_mapped_view(m), first);
}

static cs_status byte_level(const run *r, size_t i, cs_view v, bool first)
{
    const cs_pretok_step *s = &r->p->steps[i];
    if (s->prefix == CS_PREFIX_ALWAYS && v.text[0] != ' ') {
        cs_mapped *m = &r->w->made[i];
        cs_mapped_clear(m);
        cs_mapped_put(m, " ", 1, cs_view_at(v, 0));
        cs_mapped_copy(m, v);
        CS_TRY(cs_str_check(&m->text, r->err));
        v = cs_mapped_view(m);
    }
    if (!s->split)
        return step_from(r, i + 1, v, first);
    for (size_t at = 0, n; at < v.len; at += n) {
        bool match;
        n = cs_split_gpt2((const uint8_t *)v.text + at, v.len - at, &match);
        CS_TRY(step_from(r, i + 1, cs_view_part(v, at, n), first && at == 0));
    }
    return CS_OK;
}

static cs_status fixed(const run *r, size_t i, cs_view v, bool first)
{
    for (size_t at = 0, end; at < v.len; at = end) {
        end = at;
        for (size_t k = 0; k < r->p->steps[i].length && end < v.len; k++) {
            size_t n = cs_utf8_decode((const uint8_t *)v.text + end, v.len - end, NULL);
            end += n ? n : 1;
        }
        CS_TRY(step_from(r, i + 1, cs_view_part(v, at, end - at), first && at == 0));
    }
    return CS_OK;
}

/* ---- matches and what lies between them, in order ---- */

typedef struct part {
    size_t begin, end;
    bool match;
} part;

typedef struct part_scan {
    const cs_finder *f;
    cs_view v;
    size_t at;
    part held; /* a match that was found behind a gap */
    bool has_held;
    cs_regex_scan re;
} part_scan;

static cs_status find_match(part_scan *s, bool *found, cs_error *err)
{
    if (s->f->re)
        return cs_regex_next(&s->re, &s->held.begin, &s->held.end, found, err);
    const char *hit = memmem(s->v.text + s->at, s->v.len - s->at, s->f->literal.text, s->f->literal.len);
    *found = hit != NULL;
    if (hit) {
        s->held.begin = (size_t)(hit - s->v.text);
        s->held.end = s->held.begin + s->f->literal.len;
    }
    return CS_OK;
}

static bool one_is(const part_scan *s, size_t at, size_t *n)
{
    uint32_t cp;
    *n = cs_utf8_decode((const uint8_t *)s->v.text + at, s->v.len - at, &cp);
    if (*n > 0)
        return s->f->is(cp);
    *n = 1;
    return false;
}

/* The next part, *more = false at the end. Only matches of a regular expression can be empty. */
static cs_status next_part(part_scan *s, part *out, bool *more, cs_error *err)
{
    size_t n;
    *more = true;
    out->begin = s->at;
    out->match = false;
    if (s->f->scan || s->f->is) {
        *more = s->at < s->v.len;
        if (*more && s->f->scan) {
            s->at += s->f->scan((const uint8_t *)s->v.text + s->at, s->v.len - s->at, &out->match);
        } else if (*more) {
            out->match = one_is(s, s->at, &n);
            s->at += n;
            while (!out->match && s->at < s->v.len && !one_is(s, s->at, &n))
                s->at += n;
        }
        out->end = s->at;
        return CS_OK;
    }
    if (!s->has_held)
        CS_TRY(find_match(s, &s->has_held, err));
    if (!s->has_held) {
        *more = s->at < s->v.len;
        out->end = s->at = s->v.len;
    } else if (s->held.begin > s->at) {
        out->end = s->at = s->held.begin;
    } else {
        *out = (part){s->held.begin, s->held.end, true};
        s->at = s->held.end;
        s->has_held = false;
    }
    return CS_OK;
}

/* Sends a part on, unless it is empty. */
static cs_status send(const run *r, size_t i, cs_view v, part p, bool first)
{
    return p.end > p.begin ? step_from(r, i + 1, cs_view_part(v, p.begin, p.end - p.begin), first && p.begin == 0) : CS_OK;
}

static cs_status split(const run *r, size_t i, cs_view v, bool first)
{
    const cs_pretok_step *s = &r->p->steps[i];
    part_scan scan = {.f = &s->find, .v = v, .held = {.match = true}, .re = {s->find.re, &r->w->regex, v.text, v.len, 0, SIZE_MAX}};
    part word = {0, 0, false}, p;
    bool before = false, open = false; /* before: was the last part a match; open: a word waits for what comes */
    for (;;) {
        bool more, joins = false;
        CS_TRY(next_part(&scan, &p, &more, r->err));
        if (!more)
            break;
        p.match ^= s->invert;
        switch (s->behavior) {
        case CS_SPLIT_REMOVED:
            if (!p.match)
                CS_TRY(send(r, i, v, p, first));
            continue;
        case CS_SPLIT_ISOLATED: CS_TRY(send(r, i, v, p, first)); continue;
        case CS_SPLIT_PREVIOUS: joins = open && p.match && !before; break;
        case CS_SPLIT_NEXT: joins = open && before && !p.match; break;
        default: joins = open && p.match == before; break;
        }
        before = p.match;
        if (joins) {
            word.end = p.end;
            continue;
        }
        if (open)
            CS_TRY(send(r, i, v, word, first));
        word = p;
        open = true;
    }
    return open ? send(r, i, v, word, first) : CS_OK;
}

/* `first`: v begins the input; where the ranges are known they tell better, because text in front may have been dropped. */
static cs_status step_from(const run *r, size_t i, cs_view v, bool first)
{
    if (v.len == 0)
        return CS_OK;
    if (v.from)
        first = v.from[0].begin == 0;
    if (i == r->p->n_steps)
        return r->fn(r->context, v, r->err);
    switch (r->p->steps[i].kind) {
    case CS_PRETOK_METASPACE: return metaspace(r, i, v, first);
    case CS_PRETOK_BYTE_LEVEL: return byte_level(r, i, v, first);
    case CS_PRETOK_BYTE_MAP: return byte_map(r, i, v, first);
    case CS_PRETOK_FIXED: return fixed(r, i, v, first);
    default: return split(r, i, v, first);
    }
}

cs_status cs_pretok_run(const cs_pretok *p, cs_pretok_work *w, cs_view text, bool first, cs_word_fn *fn, void *context, cs_error *err)
{
    run r = {p, w, fn, context, err};
    return step_from(&r, 0, text, first);
}

void cs_pretok_work_release(cs_pretok_work *w)
{
    for (size_t i = 0; i < CS_MAX_PRETOK_STEPS; i++)
        cs_mapped_release(&w->made[i]);
    cs_regex_work_release(&w->regex);
}
