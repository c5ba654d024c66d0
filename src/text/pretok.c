/* Pre-tokenizer steps. */
#include "text/pretok.h"

#include "text/gpt2_split.h"

#include <string.h>

typedef struct run {
    const cs_pretok *p;
    cs_str *work;
    cs_word_fn *fn;
    void *context;
    bool first;
    cs_error *err;
} run;

static cs_status step_from(const run *r, size_t step, const char *text, size_t len);

static cs_status metaspace(const run *r, size_t i, const char *text, size_t len)
{
    const cs_pretok_step *s = &r->p->steps[i];
    static const cs_bytes blank = {" ", 1};
    cs_str *w = &r->work[i];
    cs_str_clear(w);
    bool has = len > 0 && (text[0] == ' ' || (len >= s->meta.len && memcmp(text, s->meta.text, s->meta.len) == 0));
    if (!has && (s->prefix == CS_PREFIX_ALWAYS || (s->prefix == CS_PREFIX_FIRST && r->first)))
        cs_str_append(w, s->meta.text, s->meta.len);
    cs_replace_all(text, len, blank, s->meta, w);
    CS_TRY(cs_str_check(w, r->err));
    if (!s->split)
        return step_from(r, i + 1, w->data, w->len);
    for (size_t at = 0, end; at < w->len; at = end) {
        size_t from = w->len - at < s->meta.len || memcmp(w->data + at, s->meta.text, s->meta.len) != 0 ? at : at + s->meta.len;
        const char *next = memmem(w->data + from, w->len - from, s->meta.text, s->meta.len);
        end = next ? (size_t)(next - w->data) : w->len;
        CS_TRY(step_from(r, i + 1, w->data + at, end - at));
    }
    return CS_OK;
}

static cs_status byte_level(const run *r, size_t i, const char *text, size_t len)
{
    const cs_pretok_step *s = &r->p->steps[i];
    if (s->prefix == CS_PREFIX_ALWAYS && len > 0 && text[0] != ' ') {
        cs_str *w = &r->work[i];
        cs_str_clear(w);
        cs_str_putc(w, ' ');
        cs_str_append(w, text, len);
        CS_TRY(cs_str_check(w, r->err));
        text = w->data;
        len = w->len;
    }
    if (!s->split)
        return step_from(r, i + 1, text, len);
    for (size_t at = 0, n; at < len; at += n) {
        n = cs_gpt2_word((const uint8_t *)text + at, len - at);
        CS_TRY(step_from(r, i + 1, text + at, n));
    }
    return CS_OK;
}

static cs_status step_from(const run *r, size_t i, const char *text, size_t len)
{
    if (len == 0)
        return CS_OK;
    if (i == r->p->n_steps)
        return r->fn(r->context, text, len, r->err);
    return r->p->steps[i].kind == CS_PRETOK_METASPACE ? metaspace(r, i, text, len) : byte_level(r, i, text, len);
}

cs_status cs_pretok_run(const cs_pretok *p, const char *text, size_t len, bool first, cs_str work[CS_MAX_PRETOK_STEPS], cs_word_fn *fn,
                        void *context, cs_error *err)
{
    run r = {p, work, fn, context, first, err};
    return step_from(&r, 0, text, len);
}
