/* Growable byte string and integer vector. */
#include "base/str.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for `need` elements of `size` bytes behind `len` ones; false (and *failed) when out of memory. */
static bool grow(void **data, size_t len, size_t *cap, size_t need, size_t size, bool *failed)
{
    size_t want, bytes;
    if (*failed || !cs_add_checked(len, need, &want)) {
        *failed = true;
        return false;
    }
    if (want <= *cap)
        return true;
    if (want < *cap * 2)
        want = *cap * 2;
    if (want < 64)
        want = 64;
    void *more = cs_mul_checked(want, size, &bytes) ? cs_realloc(*data, bytes) : NULL;
    if (!more) {
        *failed = true;
        return false;
    }
    *data = more;
    *cap = want;
    return true;
}

void cs_str_append(cs_str *s, const void *bytes, size_t n)
{
    void *p = s->data;
    if (!grow(&p, s->len, &s->cap, n + 1, 1, &s->failed))
        return;
    s->data = p;
    if (n > 0)
        memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void cs_str_puts(cs_str *s, const char *text)
{
    cs_str_append(s, text, strlen(text));
}

void cs_str_putc(cs_str *s, char c)
{
    cs_str_append(s, &c, 1);
}

void cs_str_printf(cs_str *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    void *p = s->data;
    if (n < 0 || !grow(&p, s->len, &s->cap, (size_t)n + 1, 1, &s->failed)) {
        s->failed = true;
        return;
    }
    s->data = p;
    va_start(args, fmt);
    vsnprintf(s->data + s->len, (size_t)n + 1, fmt, args);
    va_end(args);
    s->len += (size_t)n;
}

void cs_str_put_quoted(cs_str *s, const char *text)
{
    cs_str_putc(s, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            cs_str_printf(s, "\\%c", *p);
        else if (*p < 0x20)
            cs_str_printf(s, "\\u%04x", *p);
        else
            cs_str_putc(s, (char)*p);
    }
    cs_str_putc(s, '"');
}

void cs_str_clear(cs_str *s)
{
    s->len = 0;
    if (s->data)
        s->data[0] = '\0';
}

void cs_str_release(cs_str *s)
{
    cs_free(s->data);
    *s = (cs_str){0};
}

const char *cs_str_cstr(const cs_str *s)
{
    return s->data ? s->data : "";
}

cs_status cs_str_check(const cs_str *s, cs_error *err)
{
    return s->failed ? cs_fail_nomem(err, s->cap * 2, "a string") : CS_OK;
}

bool cs_str_ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

bool cs_ids_reserve(cs_ids *v, size_t n)
{
    void *p = v->data;
    if (!grow(&p, v->len, &v->cap, n, sizeof *v->data, &v->failed))
        return false;
    v->data = p;
    return true;
}

void cs_ids_append(cs_ids *v, const int32_t *ids, size_t n)
{
    if (!cs_ids_reserve(v, n))
        return;
    if (n > 0)
        memcpy(v->data + v->len, ids, n * sizeof *ids);
    v->len += n;
}

void cs_ids_clear(cs_ids *v)
{
    v->len = 0;
}

void cs_ids_release(cs_ids *v)
{
    cs_free(v->data);
    *v = (cs_ids){0};
}

cs_status cs_ids_check(const cs_ids *v, cs_error *err)
{
    return v->failed ? cs_fail_nomem(err, v->cap * 2 * sizeof *v->data, "token ids") : CS_OK;
}
