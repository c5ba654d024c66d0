/* JSON trees. json_scan.c reads the text, this file builds jansson's values from its events: jansson's own parser writes past its buffer when
 * memory for a long token is missing (2.14). */
#include "fmt/json.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/json_scan.h"
#include "fmt/limits.h"

#include <stdlib.h>
#include <string.h>

typedef struct buffer {
    char *text;
    size_t len, cap;
} buffer;

typedef struct builder {
    cs_json_scan scan;
    bool lenient;
    json_t *root;
    json_t *open[CS_LIMIT_JSON_DEPTH]; /* borrowed from root */
    int depth;
    buffer key, text;
    size_t key_start, key_end;
} builder;

static cs_status reserve(buffer *b, size_t n, cs_error *err)
{
    if (n <= b->cap)
        return CS_OK;
    size_t cap = n < 256 ? 256 : n + n / 2;
    char *more = cs_realloc(b->text, cap);
    if (!more)
        return cs_fail_nomem(err, cap, "a JSON text");
    b->text = more;
    b->cap = cap;
    return CS_OK;
}

/* The current key or string, decoded. */
static cs_status take_text(builder *b, buffer *out, cs_error *err)
{
    const cs_json_scan *s = &b->scan;
    if (s->surrogate != SIZE_MAX && !b->lenient)
        return cs_json_scan_fail(s, s->surrogate, "surrogate escapes in pairs, \\ud8XX\\udcXX", err);
    CS_TRY(reserve(out, s->end - s->start, err));
    out->len = cs_json_scan_text(s, out->text);
    return CS_OK;
}

/* A key is a C string for jansson: NUL becomes U+FFFD, for which its escape of six bytes left room. */
static cs_status take_key(builder *b, cs_error *err)
{
    buffer *k = &b->key;
    CS_TRY(take_text(b, k, err));
    for (size_t i = 0; b->scan.nul && i < k->len; i++) {
        if (k->text[i] != '\0')
            continue;
        memmove(k->text + i + 3, k->text + i + 1, k->len - i);
        memcpy(k->text + i, "\xef\xbf\xbd", 3);
        k->len += 2;
    }
    b->key_start = b->scan.start;
    b->key_end = b->scan.end;
    if (b->lenient || !json_object_get(b->open[b->depth - 1], k->text))
        return CS_OK;
    char place[64];
    int n = b->key_end - b->key_start > 60 ? 60 : (int)(b->key_end - b->key_start);
    cs_json_scan_place(&b->scan, b->key_start, place, sizeof place);
    return cs_fail(err, CS_E_FORMAT, "%s%s: expected every key of an object once, found %.*s again", b->scan.name, place, n,
                   b->scan.bytes + b->key_start);
}

/* Puts a value where it belongs; takes it over. NULL = out of memory. */
static cs_status attach(builder *b, json_t *value, cs_error *err)
{
    json_t *parent = b->depth > 0 ? b->open[b->depth - 1] : NULL;
    bool ok = value != NULL;
    if (!parent)
        b->root = value;
    else if (json_is_array(parent))
        ok = json_array_append_new(parent, value) == 0;
    else
        ok = json_object_set_new_nocheck(parent, b->key.text, value) == 0;
    return ok ? CS_OK : cs_fail_nomem(err, b->scan.len, "a JSON tree");
}

/* An integer that is too large for its event is a real here too. */
static cs_status attach_real(builder *b, cs_error *err)
{
    size_t n = b->scan.end - b->scan.start;
    CS_TRY(reserve(&b->text, n + 1, err));
    memcpy(b->text.text, b->scan.bytes + b->scan.start, n);
    b->text.text[n] = '\0';
    return attach(b, json_real(strtod(b->text.text, NULL)), err);
}

static cs_status build_one(builder *b, cs_error *err)
{
    json_t *v;
    switch (b->scan.event) {
    case CS_JSON_OBJECT: case CS_JSON_ARRAY:
        v = b->scan.event == CS_JSON_OBJECT ? json_object() : json_array();
        CS_TRY(attach(b, v, err));
        b->open[b->depth++] = v;
        return CS_OK;
    case CS_JSON_OBJECT_END: case CS_JSON_ARRAY_END: b->depth--; return CS_OK;
    case CS_JSON_KEY: return take_key(b, err);
    case CS_JSON_STRING: CS_TRY(take_text(b, &b->text, err)); return attach(b, json_stringn_nocheck(b->text.text, b->text.len), err);
    case CS_JSON_INTEGER: return attach(b, json_integer(b->scan.integer), err);
    case CS_JSON_REAL: return attach_real(b, err);
    case CS_JSON_TRUE: return attach(b, json_true(), err);
    case CS_JSON_FALSE: return attach(b, json_false(), err);
    case CS_JSON_NULL: return attach(b, json_null(), err);
    case CS_JSON_END: break;
    }
    return CS_OK;
}

/* What a gate lets through besides: the callers of parse differ in nothing else. */
typedef struct mode {
    bool lenient, big_integers;
    int64_t line;
} mode;

static cs_status parse(const char *bytes, size_t len, const char *name, mode m, json_t **out_create, cs_error *err)
{
    builder b = {.lenient = m.lenient};
    cs_status status = CS_OK;
    *out_create = NULL;
    if (len > CS_LIMIT_JSON_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON text of at most %d bytes, found %zu", name, CS_LIMIT_JSON_BYTES, len);
    cs_json_scan_init(&b.scan, bytes, len, name);
    b.scan.big_integers = m.big_integers;
    b.scan.line = m.line;
    do {
        status = cs_json_scan_next(&b.scan, err);
        if (status == CS_OK)
            status = build_one(&b, err);
    } while (status == CS_OK && b.scan.event != CS_JSON_END);
    cs_free(b.key.text);
    cs_free(b.text.text);
    if (status == CS_OK)
        *out_create = b.root;
    else
        json_decref(b.root);
    return status;
}

cs_status cs_json_parse(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err)
{
    return parse(bytes, len, name, (mode){.line = 1}, out_create, err);
}

cs_status cs_json_parse_lenient(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err)
{
    return parse(bytes, len, name, (mode){.line = 1, .lenient = true}, out_create, err);
}

cs_status cs_json_parse_record(const char *bytes, size_t len, const char *name, int64_t line, json_t **out_create, cs_error *err)
{
    return parse(bytes, len, name, (mode){.line = line, .lenient = true}, out_create, err);
}

cs_status cs_json_parse_config(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err)
{
    return parse(bytes, len, name, (mode){.line = 1, .big_integers = true}, out_create, err);
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
