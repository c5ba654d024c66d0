/* Pre-tokenizer steps. */
#include "text/pretok.h"

#include "text/gpt2_split.h"

#include <string.h>

typedef struct run {
    const cs_pretok *p;
    cs_pretok_work *w;
    cs_word_fn *fn;
    void *context;
    bool first;
    cs_error *err;
} run;

static cs_status step_from(const run *r, size_t step, cs_view v);

static bool begins_with(cs_view v, cs_bytes b)
{
    return v.len >= b.len && memcmp(v.text, b.text, b.len) == 0;
}

static cs_status metaspace(const run *r, size_t i, cs_view v)
{
    const cs_pretok_step *s = &r->p->steps[i];
    cs_mapped *m = &r->w->made[i];
    cs_mapped_clear(m);
    bool has = v.text[0] == ' ' || begins_with(v, s->meta);
    if (!has && (s->prefix == CS_PREFIX_ALWAYS || (s->prefix == CS_PREFIX_FIRST && r->first)))
        cs_mapped_put(m, s->meta.text, s->meta.len, cs_view_at(v, 0));
    for (size_t at = 0, n; at < v.len; at += n) {
        const char *blank = memchr(v.text + at, ' ', v.len - at);
        n = blank ? (size_t)(blank - v.text) - at : v.len - at;
        cs_mapped_copy(m, cs_view_part(v, at, n));
        if (blank)
            cs_mapped_put(m, s->meta.text, s->meta.len, cs_view_at(v, at + n)), n++;
    }
    CS_TRY(cs_str_check(&m->text, r->err));
    v = cs_mapped_view(m);
    if (!s->split)
        return step_from(r, i + 1, v);
    for (size_t at = 0, end; at < v.len; at = end) {
        size_t from = begins_with(cs_view_part(v, at, v.len - at), s->meta) ? at + s->meta.len : at;
        const char *next = memmem(v.text + from, v.len - from, s->meta.text, s->meta.len);
        end = next ? (size_t)(next - v.text) : v.len;
        CS_TRY(step_from(r, i + 1, cs_view_part(v, at, end - at)));
    }
    return CS_OK;
}

static cs_status byte_level(const run *r, size_t i, cs_view v)
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
        return step_from(r, i + 1, v);
    for (size_t at = 0, n; at < v.len; at += n) {
        n = cs_gpt2_word((const uint8_t *)v.text + at, v.len - at);
        CS_TRY(step_from(r, i + 1, cs_view_part(v, at, n)));
    }
    return CS_OK;
}

static cs_status step_from(const run *r, size_t i, cs_view v)
{
    if (v.len == 0)
        return CS_OK;
    if (i == r->p->n_steps)
        return r->fn(r->context, v, r->err);
    return r->p->steps[i].kind == CS_PRETOK_METASPACE ? metaspace(r, i, v) : byte_level(r, i, v);
}

cs_status cs_pretok_run(const cs_pretok *p, cs_pretok_work *w, cs_view text, bool first, cs_word_fn *fn, void *context, cs_error *err)
{
    run r = {p, w, fn, context, first, err};
    return step_from(&r, 0, text);
}

void cs_pretok_work_release(cs_pretok_work *w)
{
    for (size_t i = 0; i < CS_MAX_PRETOK_STEPS; i++)
        cs_mapped_release(&w->made[i]);
}
