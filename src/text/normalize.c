/* Normaliser steps. */
#include "text/normalize.h"

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

static void normalize_spm(const cs_norm_spm *s, const char *text, size_t len, bool first, cs_str *out)
{
    static const cs_bytes meta = {CS_META, 3}, blank = {" ", 1};
    cs_bytes space = s->escape ? meta : blank, to;
    bool prefix = s->dummy_prefix && (first || !s->first_only), after_space = s->remove_extra;
    size_t i = 0, used;
    for (; s->remove_extra && i < len; i += used) {
        used = spm_prefix(s, text + i, len - i, &to);
        if (to.len != 1 || to.text[0] != ' ')
            break;
    }
    if (i == len)
        return;
    if (prefix && !s->suffix)
        cs_str_append(out, space.text, space.len);
    for (; i < len; i += used) {
        used = spm_prefix(s, text + i, len - i, &to);
        while (after_space && to.len > 0 && to.text[0] == ' ') {
            to.text++;
            to.len--;
        }
        for (size_t k = 0; k < to.len; k++) {
            if (to.text[k] == ' ')
                cs_str_append(out, space.text, space.len);
            else
                cs_str_putc(out, to.text[k]);
        }
        if (to.len > 0)
            after_space = s->remove_extra && to.text[to.len - 1] == ' ';
    }
    while (s->remove_extra && out->len >= space.len && memcmp(out->data + out->len - space.len, space.text, space.len) == 0)
        out->len -= space.len;
    if (prefix && s->suffix)
        cs_str_append(out, space.text, space.len);
}

void cs_normalize(const cs_normalizer *n, const char *text, size_t len, bool first, cs_str *out, cs_str *spare)
{
    cs_str_clear(out);
    if (n->n_steps == 0)
        cs_str_append(out, text, len);
    for (size_t i = 0; i < n->n_steps && !out->failed; i++) {
        const cs_norm_step *step = &n->steps[i];
        if (i > 0) {
            cs_str swap = *out;
            *out = *spare;
            *spare = swap;
            cs_str_clear(out);
            text = cs_str_cstr(spare);
            len = spare->len;
        }
        if (step->kind == CS_NORM_SPM) {
            normalize_spm(&step->spm, text, len, first, out);
        } else if (step->kind == CS_NORM_REPLACE) {
            cs_replace_all(text, len, step->from, step->to, out);
        } else {
            if (len > 0)
                cs_str_append(out, step->to.text, step->to.len);
            cs_str_append(out, text, len);
        }
    }
}
