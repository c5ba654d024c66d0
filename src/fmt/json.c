/* The gate in front of jansson. A scan over the bytes bounds the nesting before the recursive parser sees it and finds escaped NULs in
 * keys, which jansson cannot hold. It never judges the grammar: that is the parser's work. */
#include "fmt/json.h"

#include "base/io.h"
#include "base/mem.h"

#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct scan {
    const char *p;
    size_t n, at, line, line_start;
    char *copy; /* made when an escaped NUL in a key must be replaced */
    bool nomem;
} scan;

/* Replaces the escaped NULs of the key [from, to) in the copy by the escape of U+FFFD, which has the same length. */
static void patch_key(scan *s, size_t from, size_t to)
{
    if (!s->copy) {
        s->copy = cs_malloc(s->n);
        if (!s->copy) {
            s->nomem = true;
            return;
        }
        memcpy(s->copy, s->p, s->n);
    }
    for (size_t i = from; i + 1 < to; i++) {
        if (s->p[i] != '\\')
            continue;
        if (i + 6 <= to && memcmp(s->p + i, "\\u0000", 6) == 0)
            memcpy(s->copy + i, "\\ufffd", 6);
        i++;
    }
}

/* s->at is behind an opening quote; leaves it behind the closing one. */
static void scan_string(scan *s)
{
    size_t from = s->at;
    bool nul = false;
    while (s->at < s->n && s->p[s->at] != '"') {
        if (s->p[s->at] == '\\') {
            nul |= s->at + 6 <= s->n && memcmp(s->p + s->at, "\\u0000", 6) == 0;
            s->at++;
        }
        s->at++;
    }
    if (s->at >= s->n) {
        s->at = s->n;
        return;
    }
    size_t to = s->at++;
    if (!nul)
        return;
    size_t next = s->at;
    while (next < s->n && strchr(" \t\r\n", s->p[next]) && s->p[next])
        next++;
    if (next < s->n && s->p[next] == ':')
        patch_key(s, from, to);
}

static cs_status scan_all(scan *s, const char *name, cs_error *err)
{
    int depth = 0;
    while (s->at < s->n && !s->nomem) {
        char c = s->p[s->at++];
        if (c == '\0') /* jansson would take it for the end */
            return cs_fail(err, CS_E_FORMAT, "%s:%zu:%zu: bad JSON: NUL byte", name, s->line, s->at - s->line_start);
        if (c == '"') {
            scan_string(s);
        } else if (c == '\n') {
            s->line++;
            s->line_start = s->at;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH)
                return cs_fail(err, CS_E_FORMAT, "%s:%zu:%zu: JSON nested deeper than %d levels", name, s->line, s->at - s->line_start,
                               MAX_DEPTH);
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return s->nomem ? cs_fail_nomem(err, s->n, "a JSON text") : CS_OK;
}

/* Control bytes of the quoted input would break the one-line message. */
static void clean_text(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static cs_status parse(const char *bytes, size_t len, const char *name, size_t flags, json_t **out_create, cs_error *err)
{
    scan s = {.p = bytes, .n = len, .line = 1};
    cs_status status = scan_all(&s, name, err);
    if (status == CS_OK) {
        json_error_t je;
        int64_t failures = cs_mem_failures(); /* jansson's lexer reports an allocation that failed as a syntax error */
        *out_create = json_loadb(s.copy ? s.copy : bytes, len, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
        if (!*out_create) {
            clean_text(je.text);
            if (cs_mem_failures() != failures || json_error_code(&je) == json_error_out_of_memory || je.text[0] == '\0')
                status = cs_fail_nomem(err, len, "a JSON tree");
            else
                status = cs_fail(err, CS_E_FORMAT, "%s:%d:%d: bad JSON: %s", name, je.line < 1 ? 1 : je.line, je.column < 1 ? 1 : je.column,
                                 je.text);
        }
    }
    cs_free(s.copy);
    return status;
}

cs_status cs_json_parse(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err)
{
    return parse(bytes, len, name, JSON_REJECT_DUPLICATES, out_create, err);
}

cs_status cs_json_parse_lenient(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err)
{
    return parse(bytes, len, name, 0, out_create, err);
}

cs_status cs_json_load(const char *path, size_t limit, json_t **out_create, cs_error *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    CS_TRY(cs_io_read_all(path, limit, &data, &size, err));
    cs_status status = cs_json_parse((const char *)data, size, path, out_create, err);
    cs_free(data);
    return status;
}

static int append_chunk(const char *bytes, size_t n, void *out)
{
    cs_str *s = out;
    cs_str_append(s, bytes, n);
    return s->failed ? -1 : 0;
}

cs_status cs_json_dump(const json_t *value, int indent, cs_str *out, cs_error *err)
{
    size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(17) | (size_t)JSON_INDENT(indent);
    if (json_dump_callback(value, append_chunk, out, flags) != 0)
        return cs_fail_nomem(err, out->cap, "a JSON text");
    return CS_OK;
}

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a real number", "true", "false", "null"};
    return names[json_typeof(v)];
}

/* The member, or NULL when it is missing or null. */
static const json_t *member(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return v && !json_is_null(v) ? v : NULL;
}

static cs_status wrong_type(const json_t *v, const char *key, const char *name, const char *want, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: \"%s\" must be %s, found %s", name, key, want, type_name(v));
}

cs_status cs_json_get_int(const json_t *obj, const char *key, const char *name, int64_t *out, cs_error *err)
{
    const json_t *v = member(obj, key);
    if (!v)
        return CS_OK;
    if (!json_is_integer(v))
        return wrong_type(v, key, name, "an integer", err);
    *out = json_integer_value(v);
    return CS_OK;
}

cs_status cs_json_get_real(const json_t *obj, const char *key, const char *name, double *out, cs_error *err)
{
    const json_t *v = member(obj, key);
    if (!v)
        return CS_OK;
    if (!json_is_number(v))
        return wrong_type(v, key, name, "a number", err);
    *out = json_number_value(v);
    return CS_OK;
}

cs_status cs_json_get_bool(const json_t *obj, const char *key, const char *name, bool *out, cs_error *err)
{
    const json_t *v = member(obj, key);
    if (!v)
        return CS_OK;
    if (!json_is_boolean(v))
        return wrong_type(v, key, name, "true or false", err);
    *out = json_is_true(v);
    return CS_OK;
}

cs_status cs_json_get_str(const json_t *obj, const char *key, const char *name, const char **out, cs_error *err)
{
    const json_t *v = member(obj, key);
    if (!v)
        return CS_OK;
    if (!json_is_string(v))
        return wrong_type(v, key, name, "a string", err);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return cs_fail(err, CS_E_FORMAT, "%s: \"%s\" holds a NUL character", name, key);
    *out = json_string_value(v);
    return CS_OK;
}
