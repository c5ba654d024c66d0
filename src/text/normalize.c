/* Normaliser steps. Which part of the input a byte of the result stands for follows tokenizers' NormalizedString: what is put in stands for what
 * it replaces, or for its left neighbour; SentencePiece's normaliser has a rule of its own. */
#include "text/normalize.h"

#include "text/byte_level.h"
#include "text/norm_unicode.h"
#include "text/unidata.h"
#include "text/utf8.h"

#include <string.h>

void cs_replace_all(const char *text, size_t len, cs_bytes from, cs_bytes to, cs_str *out)
{
    size_t done = 0;
    for (;;) {
        const char *hit = memmem(text + done, len - done, from.text, from.len);
        if (!hit)
            break;
        cs_str_append(out, text + done, (size_t)(hit - text) - done);
        cs_str_append(out, to.text, to.len);
        done = (size_t)(hit - text) + from.len;
    }
    cs_str_append(out, text + done, len - done);
}

/* The normal form of what text[0..n) begins with; returns the bytes consumed. */
static size_t spm_prefix(const cs_norm_spm *s, const char *text, size_t n, cs_bytes *to)
{
    int32_t id;
    size_t used = s->user ? cs_trie_longest(s->user, text, n, &id) : 0;
    if (used == 0) {
        used = cs_charsmap_match(&s->map, text, n, &to->text);
        if (used > 0) {
            to->len = strlen(to->text);
            return used;
        }
        used = cs_utf8_decode((const uint8_t *)text, n, NULL);
    }
    if (used == 0) {
        *to = (cs_bytes){CS_UTF8_REPLACEMENT, 3};
        return 1;
    }
    *to = (cs_bytes){text, used};
    return used;
}

/* SentencePiece notes where the source of a byte begins; it ends where that of the next different one begins. `end`: of the last. */
static void close_ranges(cs_mapped *out, uint32_t end)
{
    uint32_t next = end;
    for (size_t i = out->track && !out->text.failed ? out->text.len : 0; i > 0; i--) {
        out->from[i - 1].end = next;
        if (i > 1 && out->from[i - 2].begin != out->from[i - 1].begin)
            next = out->from[i - 1].begin;
    }
}

void cs_norm_spm_finish(cs_norm_spm *s)
{
    for (int c = 0; c < 256; c++)
        s->free[c] = !(s->user && s->user->first[c]) && !cs_charsmap_begins(&s->map, (char[]){(char)c}, 1);
    for (int c = 0; c < 128; c++) {
        const char *to;
        char text[2] = {(char)c};
        s->plain[c] = !(s->user && s->user->first[c]) && cs_charsmap_match(&s->map, text, 1, &to) == 0;
        for (int next = 0; next < 128 && s->plain[c]; next++) {
            text[1] = (char)next;
            s->plain[c] = !cs_charsmap_begins(&s->map, text, 2);
        }
    }
}

/* Bytes of the code point that text[0..n) begins with when no rule changes it, else 0. */
static inline size_t unchanged(const cs_norm_spm *s, const char *text, size_t n)
{
    uint8_t c = (uint8_t)text[0];
    const char *to;
    if (c < 0x80 && (s->free[c] || (s->plain[c] && n > 1 && !(text[1] & 0x80))))
        return 1;
    if (s->free[c] && n >= 3 && cs_utf8_three((const uint8_t *)text))
        return 3;
    if ((s->user && s->user->first[c]) || cs_charsmap_match(&s->map, text, n, &to) > 0)
        return 0;
    return cs_utf8_decode((const uint8_t *)text, n, NULL);
}

/* What text[0..n) begins with as far as no rule changes it but that for spaces, written to `out`; returns the bytes consumed. */
static size_t put_plain(const cs_norm_spm *s, cs_bytes space, const char *text, size_t n, bool *after_space, cs_mapped *out)
{
    char buffer[512];
    size_t i = 0, filled = 0;
    bool after = *after_space;
    for (size_t used; i < n && (used = unchanged(s, text + i, n - i)) > 0; i += used) {
        if (text[i] == ' ') {
            memcpy(buffer + filled, space.text, 3);
            filled += after ? 0 : space.len;
            after = s->remove_extra;
        } else { /* four bytes at once where there are as many; the next code point goes over what is too much */
            if (n - i >= 4)
                memcpy(buffer + filled, text + i, 4);
            else
                memcpy(buffer + filled, text + i, used);
            filled += used;
            after = false;
        }
        if (filled > sizeof buffer - 4) {
            cs_mapped_put(out, buffer, filled, (cs_span){0, 0});
            filled = 0;
        }
    }
    if (filled > 0)
        cs_mapped_put(out, buffer, filled, (cs_span){0, 0});
    *after_space = after;
    return i;
}

static void normalize_spm(const cs_norm_spm *s, cs_view in, bool first, uint32_t base, cs_mapped *out)
{
    static const cs_bytes meta = {CS_META, 3}, blank = {" \0\0", 1};
    cs_bytes space = s->escape ? meta : blank, to;
    bool prefix = s->dummy_prefix && (first || !s->first_only), after_space = s->remove_extra;
    size_t i = 0, used;
    for (; s->remove_extra && i < in.len; i += used) {
        used = spm_prefix(s, in.text + i, in.len - i, &to);
        if (to.len != 1 || to.text[0] != ' ')
            break;
    }
    if (i == in.len)
        return;
    cs_span at = {in.from ? in.from[i].begin : base, 0};
    if (prefix && !s->suffix)
        cs_mapped_put(out, space.text, space.len, at);
    for (; i < in.len; i += used) {
        if (!out->track && (used = put_plain(s, space, in.text + i, in.len - i, &after_space, out)) > 0)
            continue;
        used = spm_prefix(s, in.text + i, in.len - i, &to);
        at.begin = cs_view_at(in, i).begin;
        while (after_space && to.len > 0 && to.text[0] == ' ') {
            to.text++;
            to.len--;
        }
        for (size_t k = 0, n; k < to.len; k += n) {
            const char *stop = memchr(to.text + k, ' ', to.len - k);
            n = stop ? (size_t)(stop - to.text) - k : to.len - k;
            if (n == 0)
                cs_mapped_put(out, space.text, space.len, at), n = 1;
            else
                cs_mapped_put(out, to.text + k, n, at);
        }
        if (to.len > 0)
            after_space = s->remove_extra && to.text[to.len - 1] == ' ';
    }
    uint32_t end = in.from ? in.from[in.len - 1].end : 0;
    cs_str *t = &out->text;
    while (s->remove_extra && t->len >= space.len && memcmp(t->data + t->len - space.len, space.text, space.len) == 0) {
        t->len -= space.len;
        end = out->track ? out->from[t->len].begin : 0;
    }
    if (prefix && s->suffix)
        cs_mapped_put(out, space.text, space.len, (cs_span){end, end});
    close_ranges(out, end);
}

static void prepend(cs_bytes prefix, cs_view in, uint32_t base, cs_mapped *out)
{
    if (in.len == 0)
        return;
    size_t n = cs_utf8_decode((const uint8_t *)in.text, in.len, NULL);
    cs_mapped_put(out, prefix.text, prefix.len, cs_view_at(in, 0));
    if (prefix.len > 0)
        cs_mapped_copy(out, in);
    else { /* tokenizers loses the source of the first code point then */
        cs_mapped_put(out, in.text, n, (cs_span){base, base});
        cs_mapped_copy(out, cs_view_part(in, n, in.len - n));
    }
}

/* What text put in at byte i of `in`, behind what it replaces, stands for. */
static cs_span left_of(cs_view in, size_t i, uint32_t base)
{
    return i == 0 ? (cs_span){base, base} : cs_view_at(in, i - 1);
}

/* One byte replaced, in text without ranges. */
static void replace_byte(char from, cs_bytes to, cs_view in, cs_mapped *out)
{
    char buffer[512];
    size_t filled = 0;
    for (size_t i = 0; i < in.len; i++) {
        if (filled + to.len >= sizeof buffer) {
            cs_mapped_put(out, buffer, filled, (cs_span){0, 0});
            filled = 0;
        }
        if (in.text[i] != from) {
            buffer[filled++] = in.text[i];
        } else {
            memcpy(buffer + filled, to.text, to.len);
            filled += to.len;
        }
    }
    cs_mapped_put(out, buffer, filled, (cs_span){0, 0});
}

static void replace_text(cs_bytes from, cs_bytes to, cs_view in, uint32_t base, cs_mapped *out)
{
    size_t done = 0;
    if (!out->track && from.len == 1 && to.len < 16) {
        replace_byte(from.text[0], to, in, out);
        return;
    }
    for (const char *hit; (hit = memmem(in.text + done, in.len - done, from.text, from.len)) != NULL;) {
        size_t at = (size_t)(hit - in.text);
        cs_mapped_copy(out, cs_view_part(in, done, at - done));
        done = at + from.len;
        cs_mapped_put(out, to.text, to.len, left_of(in, done, base));
    }
    cs_mapped_copy(out, cs_view_part(in, done, in.len - done));
}

static cs_status replace_regex(const cs_norm_step *step, cs_norm_work *w, cs_view in, uint32_t base, cs_error *err)
{
    cs_regex_scan scan = {step->re, &w->regex, in.text, in.len, 0, SIZE_MAX};
    size_t done = 0;
    for (size_t begin, end; in.len > 0;) {
        bool found;
        CS_TRY(cs_regex_next(&scan, &begin, &end, &found, err));
        if (!found)
            break;
        cs_mapped_copy(&w->out, cs_view_part(in, done, begin - done));
        cs_mapped_put(&w->out, step->to.text, step->to.len, left_of(in, end, base));
        done = end;
    }
    cs_mapped_copy(&w->out, cs_view_part(in, done, in.len - done));
    return CS_OK;
}

static void strip(const cs_norm_step *step, cs_view in, cs_mapped *out)
{
    size_t begin = 0, end = in.len, n;
    uint32_t cp;
    while (step->left && begin < end && (n = cs_utf8_decode((const uint8_t *)in.text + begin, end - begin, &cp)) > 0 && cs_uni_is_space(cp))
        begin += n;
    while (step->right && end > begin && (n = cs_utf8_last((const uint8_t *)in.text, end, &cp)) > 0 && cs_uni_is_space(cp))
        end -= n;
    cs_mapped_copy(out, cs_view_part(in, begin, end - begin));
}

/* What NMT's rules make of a code point; -1 = it is dropped. */
static int64_t nmt(uint32_t c)
{
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
        return -1;
    bool blank = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 ||
                 c == 0x2581 || c == 0xfeff || c == 0xfffd;
    return blank ? ' ' : (int64_t)c;
}

/* Steps that look at one code point at a time. */
static void each(cs_norm_kind kind, cs_view in, cs_mapped *out)
{
    for (size_t i = 0, n; i < in.len; i += n) {
        uint32_t cp, low[2];
        uint8_t utf8[4];
        n = cs_utf8_decode((const uint8_t *)in.text + i, in.len - i, &cp);
        if (n == 0) {
            n = 1;
            cs_mapped_copy(out, cs_view_part(in, i, 1));
        } else if (kind == CS_NORM_LOWER) {
            size_t count = cs_uni_lower(cp, low);
            for (size_t k = 0; k < count; k++)
                cs_mapped_put(out, utf8, cs_utf8_encode(low[k], utf8), cs_view_at(in, i));
        } else if (kind == CS_NORM_NMT) {
            int64_t to = nmt(cp);
            if (to >= 0)
                cs_mapped_put(out, utf8, cs_utf8_encode((uint32_t)to, utf8), cs_view_at(in, i));
        } else if (!cs_uni_is_mark(cp)) {
            cs_mapped_copy(out, cs_view_part(in, i, n));
        }
    }
}

static cs_status one_step(const cs_norm_step *step, cs_norm_work *w, cs_view text, bool first, uint32_t base, cs_error *err)
{
    switch (step->kind) {
    case CS_NORM_SPM: normalize_spm(&step->spm, text, first, base, &w->out); break;
    case CS_NORM_REPLACE: replace_text(step->from, step->to, text, base, &w->out); break;
    case CS_NORM_PREPEND: prepend(step->to, text, base, &w->out); break;
    case CS_NORM_REGEX: CS_TRY(replace_regex(step, w, text, base, err)); break;
    case CS_NORM_STRIP: strip(step, text, &w->out); break;
    case CS_NORM_BYTES: cs_byte_level_put(text, &w->out); break;
    case CS_NORM_FORM: cs_norm_form(step->compat, step->compose, text, base, &w->changes, &w->out); break;
    case CS_NORM_PRECOMPILED: cs_norm_precompiled(&step->map, text, base, &w->changes, &w->out); break;
    default: each(step->kind, text, &w->out); break;
    }
    return w->changes.failed ? cs_fail_nomem(err, text.len, "normalising") : cs_str_check(&w->out.text, err);
}

cs_status cs_normalize(const cs_normalizer *n, cs_norm_work *w, cs_view text, bool first, uint32_t base, cs_error *err)
{
    cs_mapped_clear(&w->out);
    if (n->n_steps == 0)
        cs_mapped_copy(&w->out, text);
    for (size_t i = 0; i < n->n_steps; i++) {
        if (i > 0) {
            cs_mapped swap = w->out;
            w->out = w->spare;
            w->spare = swap;
            cs_mapped_clear(&w->out);
            text = cs_mapped_view(&w->spare);
        }
        CS_TRY(one_step(&n->steps[i], w, text, first, base, err));
    }
    return cs_str_check(&w->out.text, err);
}

void cs_norm_work_release(cs_norm_work *w)
{
    cs_mapped_release(&w->out);
    cs_mapped_release(&w->spare);
    cs_free(w->changes.list);
    w->changes = (cs_norm_changes){0};
    cs_regex_work_release(&w->regex);
}
