/* Growable byte string and integer vector. Zero-initialised = empty; release frees. A failed growth sets `failed` and drops
 * the bytes, so that a caller checks once at the end. */
#ifndef CS_BASE_STR_H
#define CS_BASE_STR_H

#include "base/error.h"

typedef struct cs_str {
    char *data; /* NUL-terminated when data != NULL */
    size_t len, cap;
    bool failed;
} cs_str;

void cs_str_append(cs_str *s, const void *bytes, size_t n);
void cs_str_puts(cs_str *s, const char *text);
void cs_str_putc(cs_str *s, char c);
void cs_str_printf(cs_str *s, const char *fmt, ...) CS_PRINTF(2, 3);
/* The text as a JSON string with its quotes; quotes, backslashes and control characters escaped, other bytes as they are. */
void cs_str_put_quoted(cs_str *s, const char *text);
void cs_str_clear(cs_str *s); /* length 0, memory kept */
void cs_str_release(cs_str *s);
/* "" when empty. Borrowed. */
const char *cs_str_cstr(const cs_str *s);
/* CS_E_NOMEM if any append failed. */
cs_status cs_str_check(const cs_str *s, cs_error *err);

/* Of C strings, byte for byte. */
bool cs_str_ends_with(const char *text, const char *tail);

typedef struct cs_ids {
    int32_t *data;
    size_t len, cap;
    bool failed;
} cs_ids;

void cs_ids_append(cs_ids *v, const int32_t *ids, size_t n);
static inline void cs_ids_push(cs_ids *v, int32_t id)
{
    if (v->len < v->cap && !v->failed)
        v->data[v->len++] = id;
    else
        cs_ids_append(v, &id, 1);
}
/* Room for n more ids that the caller writes at data[len] and then counts in len; false when out of memory (`failed` is set). */
bool cs_ids_reserve(cs_ids *v, size_t n);
void cs_ids_clear(cs_ids *v);
void cs_ids_release(cs_ids *v);
cs_status cs_ids_check(const cs_ids *v, cs_error *err);

#endif
