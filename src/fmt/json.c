/* The gate in front of jansson. json_scan.c judges the whole text first: grammar, depth, numbers, UTF-8, with a message that says what was
 * expected. The recursive parser therefore sees good JSON of bounded depth and builds the tree; only a repeated key is left for it to find. */
#include "fmt/json.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/json_scan.h"
#include "fmt/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gate {
    cs_json_scan scan;
    bool lenient;
    char *copy; /* made when an escape must be replaced */
} gate;

/* Code unit of the escape \uNNNN at p. */
static unsigned long unit_at(const char *p)
{
    char hex[5] = "";
    memcpy(hex, p + 2, 4);
    return strtoul(hex, NULL, 16);
}

static cs_status need_copy(gate *g, cs_error *err)
{
    const cs_json_scan *s = &g->scan;
    if (g->copy)
        return CS_OK;
    g->copy = cs_malloc(s->len);
    if (!g->copy)
        return cs_fail_nomem(err, s->len, "a JSON text");
    memcpy(g->copy, s->bytes, s->len);
    return CS_OK;
}

/* An integer of n digits that int64 cannot hold, as d.ddd..e(n-1) of the same length. */
static cs_status patch_integer(gate *g, cs_error *err)
{
    const cs_json_scan *s = &g->scan;
    size_t from = s->start + (s->bytes[s->start] == '-'), n = s->end - from;
    char exponent[16];
    int tail = snprintf(exponent, sizeof exponent, "e%zu", n - 1);
    CS_TRY(need_copy(g, err));
    memmove(g->copy + from + 2, g->copy + from + 1, n - 2);
    g->copy[from + 1] = '.';
    memcpy(g->copy + s->end - tail, exponent, (size_t)tail);
    return CS_OK;
}

static bool is_big_integer(const cs_json_scan *s)
{
    size_t n = s->end - s->start;
    return s->event == CS_JSON_REAL && !memchr(s->bytes + s->start, '.', n) && !memchr(s->bytes + s->start, 'e', n) &&
           !memchr(s->bytes + s->start, 'E', n);
}

/* In the current string: a lone surrogate becomes U+FFFD, in a key an escaped NUL too, since jansson cannot hold it. The spellings have the
 * same length, so that every position stays. */
static cs_status patch_string(gate *g, cs_error *err)
{
    const cs_json_scan *s = &g->scan;
    const char *p = s->bytes;
    CS_TRY(need_copy(g, err));
    for (size_t i = s->start + 1; i + 1 < s->end; i++) {
        if (p[i] != '\\')
            continue;
        if (p[++i] != 'u')
            continue;
        unsigned long u = unit_at(p + i - 1), next = p[i + 5] == '\\' && p[i + 6] == 'u' ? unit_at(p + i + 5) : 0;
        bool pair = u >= 0xd800 && u < 0xdc00 && next >= 0xdc00 && next < 0xe000;
        if ((u >= 0xd800 && u < 0xe000 && !pair) || (u == 0 && s->event == CS_JSON_KEY))
            memcpy(g->copy + i - 1, "\\ufffd", 6);
        i += pair ? 10 : 4;
    }
    return CS_OK;
}

static cs_status scan_all(gate *g, cs_error *err)
{
    cs_json_scan *s = &g->scan;
    do {
        CS_TRY(cs_json_scan_next(s, err));
        if (is_big_integer(s))
            CS_TRY(patch_integer(g, err));
        if (s->event != CS_JSON_KEY && s->event != CS_JSON_STRING)
            continue;
        if (s->surrogate != SIZE_MAX && !g->lenient)
            return cs_json_scan_fail(s, s->surrogate, "surrogate escapes in pairs, \\ud8XX\\udcXX", err);
        if (s->surrogate != SIZE_MAX || (s->nul && s->event == CS_JSON_KEY))
            CS_TRY(patch_string(g, err));
    } while (s->event != CS_JSON_END);
    return CS_OK;
}

/* jansson refused a key that ends at byte `end`. */
static cs_status fail_duplicate(gate *g, size_t end, cs_error *err)
{
    cs_json_scan *s = &g->scan;
    char place[64];
    cs_json_scan again;
    cs_json_scan_init(&again, s->bytes, s->len, s->name);
    again.big_integers = s->big_integers;
    again.line = s->line;
    *s = again;
    do
        CS_TRY(cs_json_scan_next(s, err));
    while (s->event != CS_JSON_END && !(s->event == CS_JSON_KEY && s->end >= end));
    int n = s->end - s->start > 60 ? 60 : (int)(s->end - s->start);
    cs_json_scan_place(s, s->start, place, sizeof place);
    return cs_fail(err, CS_E_FORMAT, "%s%s: expected every key of an object once, found %.*s again", s->name, place, n, s->bytes + s->start);
}

static cs_status build_tree(gate *g, json_t **out_create, cs_error *err)
{
    const cs_json_scan *s = &g->scan;
    json_error_t je;
    int64_t failures = cs_mem_failures(); /* jansson's lexer loses a character without a word, or calls it a syntax error */
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | (g->lenient ? 0 : JSON_REJECT_DUPLICATES);
    *out_create = json_loadb(g->copy ? g->copy : s->bytes, s->len, flags, &je);
    if (*out_create && cs_mem_failures() == failures)
        return CS_OK;
    json_decref(*out_create);
    *out_create = NULL;
    if (cs_mem_failures() == failures && json_error_code(&je) == json_error_duplicate_key)
        return fail_duplicate(g, (size_t)je.position, err);
    if (cs_mem_failures() != failures || json_error_code(&je) == json_error_out_of_memory || je.text[0] == '\0')
        return cs_fail_nomem(err, s->len, "a JSON tree");
    return cs_fail(err, CS_E_FORMAT, "%s:%d:%d: expected JSON, found something that ends at offset %d and is refused: error %d", s->name, je.line,
                   je.column, je.position, (int)json_error_code(&je));
}

/* What a gate lets through besides: the callers of parse differ in nothing else. */
typedef struct mode {
    bool lenient, big_integers;
    int64_t line;
} mode;

static cs_status parse(const char *bytes, size_t len, const char *name, mode m, json_t **out_create, cs_error *err)
{
    gate g = {.lenient = m.lenient};
    if (len > CS_LIMIT_JSON_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON text of at most %d bytes, found %zu", name, CS_LIMIT_JSON_BYTES, len);
    cs_json_scan_init(&g.scan, bytes, len, name);
    g.scan.big_integers = m.big_integers;
    g.scan.line = m.line;
    cs_status status = scan_all(&g, err);
    if (status == CS_OK)
        status = build_tree(&g, out_create, err);
    cs_free(g.copy);
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
