/* Members of a JSON document with messages that say where: "file: normalizer.normalizers[2].pattern: expected ..., found ...". */
#ifndef CS_TEXT_TOK_JSON_AT_H
#define CS_TEXT_TOK_JSON_AT_H

#include "text/normalize.h"

#include <jansson.h>

/* A place in the document. */
typedef struct cs_json_at {
    const char *name; /* of the file */
    char path[240];
    size_t len;
    cs_error *err;
} cs_json_at;

/* Goes down to member `key` or element [i] of where it is; returns what cs_at_leave takes to come back. Long paths are cut short. */
size_t cs_at_member(cs_json_at *a, const char *key);
size_t cs_at_element(cs_json_at *a, size_t i);
void cs_at_leave(cs_json_at *a, size_t mark);

/* CS_E_FORMAT: at `key` of this place (NULL: here) this was expected and `found` is there. */
cs_status cs_at_expected(cs_json_at *a, const char *key, const char *expected, const json_t *found);
/* CS_E_FORMAT: what this place holds is not supported, or contradicts something. */
cs_status cs_at_refuse(cs_json_at *a, const char *key, const char *fmt, ...) CS_PRINTF(3, 4);

/* Typed members of obj. A missing or null one leaves *out unless `required`. Borrowed. */
cs_status cs_at_string(cs_json_at *a, const json_t *obj, const char *key, bool required, cs_bytes *out);
cs_status cs_at_bool(cs_json_at *a, const json_t *obj, const char *key, bool required, bool *out);
cs_status cs_at_int(cs_json_at *a, const json_t *obj, const char *key, int64_t low, int64_t high, bool required, int64_t *out);
cs_status cs_at_array(cs_json_at *a, const json_t *obj, const char *key, bool required, const json_t **out);
/* A string of exactly one code point; required. */
cs_status cs_at_char(cs_json_at *a, const json_t *obj, const char *key, cs_bytes *out);
/* The index of a string member among names[0..n); required unless *out >= 0 already. `what` lists them for the message. */
cs_status cs_at_choice(cs_json_at *a, const json_t *obj, const char *key, const char *const *names, int n, const char *what, int *out);

#endif
