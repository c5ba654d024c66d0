/* Places in a JSON document. */
#include "text/tok_json_at.h"

#include "text/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t go_down(cs_json_at *a, const char *text)
{
    size_t mark = a->len, n = strlen(text);
    if (a->len + n < sizeof a->path) {
        memcpy(a->path + a->len, text, n + 1);
        a->len += n;
    }
    return mark;
}

size_t cs_at_member(cs_json_at *a, const char *key)
{
    char step[80];
    snprintf(step, sizeof step, "%s%.60s", a->len > 0 ? "." : "", key);
    return go_down(a, step);
}

size_t cs_at_element(cs_json_at *a, size_t i)
{
    char step[32];
    snprintf(step, sizeof step, "[%zu]", i);
    return go_down(a, step);
}

void cs_at_leave(cs_json_at *a, size_t mark)
{
    a->len = mark;
    a->path[mark] = '\0';
}

static void describe(const json_t *v, char out[80])
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_STRING:
        snprintf(out, 80, "\"%.40s\"%s", json_string_value(v), json_string_length(v) > 40 ? "..." : "");
        break;
    case JSON_INTEGER: snprintf(out, 80, "%lld", (long long)json_integer_value(v)); break;
    case JSON_REAL: snprintf(out, 80, "%g", json_real_value(v)); break;
    case JSON_OBJECT: snprintf(out, 80, "an object"); break;
    case JSON_ARRAY: snprintf(out, 80, "an array of %zu", json_array_size(v)); break;
    case JSON_TRUE: snprintf(out, 80, "true"); break;
    case JSON_FALSE: snprintf(out, 80, "false"); break;
    default: snprintf(out, 80, v ? "null" : "nothing"); break;
    }
}

static const char *here(cs_json_at *a, const char *key)
{
    if (key)
        cs_at_member(a, key); /* an error ends the reading: nobody goes back up */
    return a->len > 0 ? a->path : "the document";
}

cs_status cs_at_expected(cs_json_at *a, const char *key, const char *expected, const json_t *found)
{
    char text[80];
    describe(found, text);
    const char *path = here(a, key);
    return cs_fail(a->err, CS_E_FORMAT, "%s: %s: expected %s, found %s", a->name, path, expected, text);
}

cs_status cs_at_refuse(cs_json_at *a, const char *key, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *path = here(a, key);
    return cs_fail(a->err, CS_E_FORMAT, "%s: %s: %s", a->name, path, text);
}

static bool absent(const json_t *v)
{
    return !v || json_is_null(v);
}

cs_status cs_at_string(cs_json_at *a, const json_t *obj, const char *key, bool required, cs_bytes *out)
{
    const json_t *v = json_object_get(obj, key);
    if (json_is_string(v))
        *out = (cs_bytes){json_string_value(v), json_string_length(v)};
    else if (required || !absent(v))
        return cs_at_expected(a, key, "a string", v);
    return CS_OK;
}

cs_status cs_at_bool(cs_json_at *a, const json_t *obj, const char *key, bool required, bool *out)
{
    const json_t *v = json_object_get(obj, key);
    if (json_is_boolean(v))
        *out = json_is_true(v);
    else if (required || !absent(v))
        return cs_at_expected(a, key, "true or false", v);
    return CS_OK;
}

cs_status cs_at_int(cs_json_at *a, const json_t *obj, const char *key, int64_t low, int64_t high, bool required, int64_t *out)
{
    const json_t *v = json_object_get(obj, key);
    char what[80];
    if (json_is_integer(v) && json_integer_value(v) >= low && json_integer_value(v) <= high) {
        *out = json_integer_value(v);
        return CS_OK;
    }
    if (absent(v) && !required)
        return CS_OK;
    snprintf(what, sizeof what, "an integer from %lld to %lld", (long long)low, (long long)high);
    return cs_at_expected(a, key, what, v);
}

cs_status cs_at_array(cs_json_at *a, const json_t *obj, const char *key, bool required, const json_t **out)
{
    const json_t *v = json_object_get(obj, key);
    if (json_is_array(v))
        *out = v;
    else if (required || !absent(v))
        return cs_at_expected(a, key, "an array", v);
    return CS_OK;
}

cs_status cs_at_char(cs_json_at *a, const json_t *obj, const char *key, cs_bytes *out)
{
    const json_t *v = json_object_get(obj, key);
    CS_TRY(cs_at_string(a, obj, key, true, out));
    if (out->len == 0 || cs_utf8_decode((const uint8_t *)out->text, out->len, NULL) != out->len)
        return cs_at_expected(a, key, "one character", v);
    return CS_OK;
}

cs_status cs_at_choice(cs_json_at *a, const json_t *obj, const char *key, const char *const *names, int n, const char *what, int *out)
{
    const json_t *v = json_object_get(obj, key);
    if (absent(v) && *out >= 0)
        return CS_OK;
    for (int i = 0; i < n; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), names[i]) == 0) {
            *out = i;
            return CS_OK;
        }
    return cs_at_expected(a, key, what, v);
}
