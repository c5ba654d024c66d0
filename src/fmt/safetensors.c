/* Reader of safetensors headers, in two passes of the JSON scanner: the first judges the text and counts, the second fills. No tree is built, so
 * memory is a small multiple of the header. Every size is checked against the file before use.
 *
 * What is accepted is what the reference implementation (Rust, safetensors 0.8) accepts, except that refused here are also
 *   - a key that occurs twice in any object (there the last tensor of a name counts),
 *   - more than 8 dimensions, an integer beyond 2^63 - 1 anywhere, JSON deeper than 64 (there 128),
 *   - white space before the '{' (the format's own text forbids it), a NUL in a key, "-0" and lone surrogates anywhere,
 *   - an entry written as an array, a dtype written as an object,
 *   - the types F4, F6_E2M3, F6_E3M2, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ and C64, which no model this program reads has.
 * Unknown fields of an entry are skipped, "__metadata__": null counts as absent, tensors without elements may stand at any border. */
#include "fmt/safetensors.h"

#include "base/mem.h"
#include "fmt/json.h"
#include "fmt/json_scan.h"
#include "fmt/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the reference writer: by alignment, then as its type list goes. */
static const struct {
    const char *text;
    cs_dtype type;
} dtypes[] = {{"BOOL", CS_BOOL}, {"U8", CS_U8},   {"I8", CS_I8},     {"F8_E5M2", CS_F8_E5M2}, {"F8_E4M3", CS_F8_E4M3},
              {"I16", CS_I16},   {"U16", CS_U16}, {"F16", CS_F16},   {"BF16", CS_BF16},       {"I32", CS_I32},
              {"U32", CS_U32},   {"F32", CS_F32}, {"F64", CS_F64},   {"I64", CS_I64},         {"U64", CS_U64}};

const char *cs_st_dtype_name(cs_dtype t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].type == t)
            return dtypes[i].text;
    return "?";
}

bool cs_st_dtype_parse(const char *text, cs_dtype *out)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].text, text) == 0) {
            *out = dtypes[i].type;
            return true;
        }
    return false;
}

const char *cs_st_shape_text(int ndim, const int64_t *shape, char *buf, size_t n)
{
    size_t used = (size_t)snprintf(buf, n, "[");
    for (int i = 0; i < ndim && used < n; i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < n)
        snprintf(buf + used, n - used, "]");
    return buf;
}

typedef struct reader {
    const uint8_t *bytes;
    size_t size, data_start;
    const char *name;
    cs_json_scan scan;
    const char *tensor; /* the entry being read, for messages; NULL outside of one */
    char *text;         /* where the next name goes */
    json_t *unknown;    /* the entry's fields that the format does not know, or NULL */
    size_t n_names, n_text; /* counted by the first pass */
    cs_error *err;
} reader;

/* A scan of the header from its first byte. */
static cs_json_scan start_scan(const reader *r)
{
    cs_json_scan s;
    cs_json_scan_init(&s, (const char *)r->bytes + 8, r->data_start - 8, r->name);
    s.base = 8;
    s.by_offset = true;
    return s;
}

/* "name: tensor "x": byte N: " and the message; `at` counts from the start of the header. */
static cs_status fail_at(const reader *r, size_t at, const char *fmt, ...) CS_PRINTF(3, 4);
static cs_status fail_at(const reader *r, size_t at, const char *fmt, ...)
{
    char what[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (!r->tensor)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: %s", r->name, 8 + at, what);
    return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: tensor \"%.200s\": %s", r->name, 8 + at, r->tensor, what);
}

/* The current token is not what it should be. */
static cs_status unexpected(reader *r, const char *expected)
{
    char text[160];
    snprintf(text, sizeof text, "%s of tensor \"%.80s\"", expected, r->tensor ? r->tensor : "");
    return cs_json_scan_unexpected(&r->scan, r->tensor ? text : expected, r->err);
}

/* First pass: the grammar of the whole header, and how many names of how many bytes it holds. */
static cs_status count_names(reader *r)
{
    cs_json_scan *s = &r->scan;
    *s = start_scan(r);
    CS_TRY(cs_json_scan_next(s, r->err));
    do {
        CS_TRY(cs_json_scan_next(s, r->err));
        if (s->event == CS_JSON_INTEGER && s->integer == 0 && s->bytes[s->start] == '-')
            return cs_json_scan_unexpected(s, "0", r->err);
        if (s->event != CS_JSON_KEY && s->event != CS_JSON_STRING)
            continue;
        if (s->surrogate != SIZE_MAX)
            return cs_json_scan_fail(s, s->surrogate, "surrogate escapes in pairs, \\ud8XX\\udcXX", r->err);
        if (s->event == CS_JSON_KEY && s->nul)
            return fail_at(r, s->start, "expected a key without NUL, found one with \\u0000");
        if (s->event == CS_JSON_KEY && s->depth == 1) {
            r->n_names++;
            r->n_text += s->end - s->start; /* at most the header */
        }
    } while (s->event != CS_JSON_END);
    return CS_OK;
}

/* A whole number >= 0. */
static cs_status read_count(reader *r, const char *expected, int64_t *out)
{
    CS_TRY(cs_json_scan_next(&r->scan, r->err));
    if (r->scan.event != CS_JSON_INTEGER || r->scan.integer < 0)
        return unexpected(r, expected);
    *out = r->scan.integer;
    return CS_OK;
}

static cs_status read_dtype(reader *r, cs_st_tensor *t)
{
    char text[32] = "";
    CS_TRY(cs_json_scan_next(&r->scan, r->err));
    size_t n = r->scan.end - r->scan.start;
    if (r->scan.event != CS_JSON_STRING)
        return unexpected(r, "a string for \"dtype\"");
    if (n > sizeof text || r->scan.nul || (cs_json_scan_text(&r->scan, text), !cs_st_dtype_parse(text, &t->dtype)))
        return fail_at(r, r->scan.start, "expected a dtype BOOL, U8, I8, F8_E4M3, F8_E5M2, I16, U16, F16, BF16, I32, U32, F32, I64, U64 or F64, "
                       "found %.*s", n > 40 ? 40 : (int)n, r->scan.bytes + r->scan.start);
    return CS_OK;
}

static cs_status read_shape(reader *r, cs_st_tensor *t)
{
    cs_json_scan *s = &r->scan;
    CS_TRY(cs_json_scan_next(s, r->err));
    if (s->event != CS_JSON_ARRAY)
        return unexpected(r, "an array for \"shape\"");
    for (;;) {
        CS_TRY(cs_json_scan_next(s, r->err));
        if (s->event == CS_JSON_ARRAY_END)
            return CS_OK;
        if (s->event != CS_JSON_INTEGER || s->integer < 0)
            return unexpected(r, "whole numbers >= 0 in \"shape\"");
        if (t->ndim == CS_ST_MAX_DIMS)
            return fail_at(r, s->start, "expected at most %d dimensions, found more", CS_ST_MAX_DIMS);
        t->shape[t->ndim++] = s->integer;
    }
}

static cs_status read_range(reader *r, int64_t range[2])
{
    cs_json_scan *s = &r->scan;
    CS_TRY(cs_json_scan_next(s, r->err));
    if (s->event != CS_JSON_ARRAY)
        return unexpected(r, "an array for \"data_offsets\"");
    for (int i = 0; i < 2; i++)
        CS_TRY(read_count(r, "two whole numbers >= 0 in \"data_offsets\"", &range[i]));
    CS_TRY(cs_json_scan_next(s, r->err));
    return s->event == CS_JSON_ARRAY_END ? CS_OK : unexpected(r, "no third number in \"data_offsets\"");
}

/* Shape and type against the range, the range against the file. */
static cs_status place(reader *r, cs_st_tensor *t, const size_t at[3], const int64_t range[2])
{
    size_t n = 1, data_bytes = r->size - r->data_start;
    for (int i = 0; i < t->ndim; i++)
        if (!cs_mul_checked(n, (size_t)t->shape[i], &n))
            return fail_at(r, at[1], "the product of its dimensions overflows");
    if (n > (size_t)INT64_MAX || !cs_mul_checked(n, cs_dtype_size(t->dtype), &t->bytes))
        return fail_at(r, at[1], "its size in bytes overflows");
    uint64_t begin = (uint64_t)range[0], end = (uint64_t)range[1];
    if (begin > end)
        return fail_at(r, at[2], "its data begin at %" PRIu64 ", behind their end %" PRIu64, begin, end);
    if (end > data_bytes)
        return fail_at(r, at[2], "its data end %" PRIu64 " bytes behind the header, but only %zu follow; is the file cut off?", end, data_bytes);
    if (end - begin != t->bytes)
        return fail_at(r, at[2], "expected %zu bytes of data for its shape and dtype, found %" PRIu64, t->bytes, end - begin);
    t->n = (int64_t)n;
    t->offset = r->data_start + (size_t)begin;
    t->data = r->bytes + t->offset;
    return CS_OK;
}

/* Text of the current string on the heap; CS_E_NOMEM. */
static cs_status copy_text(const reader *r, char **out_create, size_t *len)
{
    size_t n = r->scan.end - r->scan.start;
    *out_create = cs_malloc(n);
    if (!*out_create)
        return cs_fail_nomem(r->err, n, r->name);
    *len = cs_json_scan_text(&r->scan, *out_create);
    return CS_OK;
}

/* A field that the format does not know: skipped, but its keys must be as unique as all others. */
static cs_status skip_unknown(reader *r)
{
    cs_json_scan *s = &r->scan;
    char *key;
    size_t len = 0, at = s->start;
    json_t *value;
    cs_error why = {0};
    CS_TRY(copy_text(r, &key, &len));
    if (!r->unknown)
        r->unknown = json_object();
    bool twice = json_object_getn(r->unknown, key, len) != NULL;
    bool kept = r->unknown && json_object_setn_new_nocheck(r->unknown, key, len, json_true()) == 0;
    cs_status status = kept ? CS_OK : cs_fail_nomem(r->err, len, r->name);
    if (twice)
        status = fail_at(r, at, "expected every field once, found \"%.60s\" again", key);
    cs_free(key);
    CS_TRY(status);
    CS_TRY(cs_json_scan_next(s, r->err));
    if (s->event != CS_JSON_OBJECT && s->event != CS_JSON_ARRAY)
        return CS_OK;
    at = s->start;
    CS_TRY(cs_json_scan_skip(s, r->err));
    status = cs_json_parse(s->bytes + at, s->end - at, r->name, &value, &why);
    if (status == CS_OK)
        json_decref(value);
    else if (status == CS_E_FORMAT)
        return fail_at(r, at, "a key occurs twice in a field that the format does not know");
    else if (r->err)
        *r->err = why;
    return status;
}

static cs_status read_tensor(reader *r, cs_st_tensor *t)
{
    static const char *const field[3] = {"dtype", "shape", "data_offsets"};
    cs_json_scan *s = &r->scan;
    size_t at[3] = {SIZE_MAX, SIZE_MAX, SIZE_MAX}, start;
    int64_t range[2];
    CS_TRY(cs_json_scan_next(s, r->err));
    if (s->event != CS_JSON_OBJECT)
        return unexpected(r, "an object as the entry");
    start = s->start;
    for (;;) {
        int f = 0;
        CS_TRY(cs_json_scan_next(s, r->err));
        if (s->event == CS_JSON_OBJECT_END)
            break;
        while (f < 3 && !cs_json_scan_is(s, field[f]))
            f++;
        if (f < 3 && at[f] != SIZE_MAX)
            return fail_at(r, s->start, "expected \"%s\" once, found it again", field[f]);
        if (f < 3)
            at[f] = s->start;
        if (f == 0)
            CS_TRY(read_dtype(r, t));
        else if (f == 1)
            CS_TRY(read_shape(r, t));
        else if (f == 2)
            CS_TRY(read_range(r, range));
        else
            CS_TRY(skip_unknown(r));
    }
    for (int f = 0; f < 3; f++)
        if (at[f] == SIZE_MAX)
            return fail_at(r, start, "expected the field \"%s\", found none", field[f]);
    return place(r, t, at, range);
}

static cs_status read_metadata_entry(reader *r, json_t *meta)
{
    cs_json_scan *s = &r->scan;
    char *key = NULL, *value = NULL;
    size_t key_len = 0, value_len = 0, at = s->start;
    CS_TRY(copy_text(r, &key, &key_len));
    cs_status status = CS_OK;
    if (json_object_getn(meta, key, key_len))
        status = fail_at(r, at, "expected every key of \"__metadata__\" once, found \"%.60s\" again", key);
    if (status == CS_OK)
        status = cs_json_scan_next(s, r->err);
    if (status == CS_OK && s->event != CS_JSON_STRING)
        status = unexpected(r, "a string as the value of a key of \"__metadata__\"");
    if (status == CS_OK)
        status = copy_text(r, &value, &value_len);
    if (status == CS_OK && json_object_setn_new_nocheck(meta, key, key_len, json_stringn_nocheck(value, value_len)) != 0)
        status = cs_fail_nomem(r->err, key_len + value_len, r->name);
    cs_free(key);
    cs_free(value);
    return status;
}

static cs_status read_metadata(reader *r, cs_safetensors *st, bool *seen)
{
    cs_json_scan *s = &r->scan;
    if (*seen)
        return fail_at(r, s->start, "expected \"__metadata__\" once, found it again");
    *seen = true;
    CS_TRY(cs_json_scan_next(s, r->err));
    if (s->event == CS_JSON_NULL)
        return CS_OK;
    if (s->event != CS_JSON_OBJECT)
        return unexpected(r, "an object for \"__metadata__\"");
    st->metadata = json_object();
    if (!st->metadata)
        return cs_fail_nomem(r->err, 64, r->name);
    for (;;) {
        CS_TRY(cs_json_scan_next(s, r->err));
        if (s->event == CS_JSON_OBJECT_END)
            return CS_OK;
        CS_TRY(read_metadata_entry(r, st->metadata));
    }
}

static int by_offset(const void *a, const void *b)
{
    const cs_st_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(cs_st_tensor *const *)a)->name, (*(cs_st_tensor *const *)b)->name);
}

/* The tensors, sorted by offset, must tile the data exactly. */
static cs_status check_tiling(const reader *r, const cs_safetensors *st)
{
    size_t at = st->data_start;
    for (size_t i = 0; i < st->n; i++) {
        const cs_st_tensor *t = &st->tensor[i];
        if (t->offset < at)
            return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: tensor \"%.200s\" begins inside the one before, which ends at byte %zu", r->name,
                           t->offset, t->name, at);
        if (t->offset > at)
            return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: a hole of %zu bytes before tensor \"%.200s\"", r->name, at, t->offset - at, t->name);
        at = t->offset + t->bytes; /* inside the file: place() compared it */
    }
    if (at != r->size)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: %zu bytes behind the last tensor belong to none", r->name, at, r->size - at);
    return CS_OK;
}

/* Names it sorted; two equal ones are an error at the second key. */
static cs_status index_names(const reader *r, cs_safetensors *st)
{
    for (size_t i = 0; i < st->n; i++)
        st->by_name[i] = &st->tensor[i];
    if (st->n > 1)
        qsort(st->by_name, st->n, sizeof *st->by_name, by_name);
    for (size_t i = 1; i < st->n; i++) {
        const char *a = st->by_name[i - 1]->name, *b = st->by_name[i]->name;
        if (strcmp(a, b) != 0)
            continue;
        cs_json_scan s = start_scan(r);
        size_t skip = 0, later = a < b ? (size_t)(b - st->names) : (size_t)(a - st->names); /* names lie in the order of the header */
        for (const char *p = st->names; (size_t)(p - st->names) < later; p += strlen(p) + 1)
            skip++;
        for (bool found = false; !found;) {
            CS_TRY(cs_json_scan_next(&s, r->err));
            bool name = s.event == CS_JSON_KEY && s.depth == 1 && !cs_json_scan_is(&s, "__metadata__");
            found = (name && skip == 0) || s.event == CS_JSON_END;
            skip -= name && skip > 0;
        }
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: expected every name once, found \"%.200s\" again", r->name, 8 + s.start, a);
    }
    return CS_OK;
}

static cs_status read_entries(reader *r, cs_safetensors *st)
{
    cs_json_scan *s = &r->scan;
    bool metadata = false;
    st->tensor = cs_realloc_array(NULL, r->n_names + 1, sizeof *st->tensor);
    st->by_name = cs_calloc(r->n_names + 1, sizeof *st->by_name);
    st->names = r->text = cs_malloc(r->n_text + 1);
    if (!st->tensor || !st->by_name || !st->names)
        return cs_fail_nomem(r->err, (r->n_names + 1) * sizeof *st->tensor, r->name);
    *s = start_scan(r);
    CS_TRY(cs_json_scan_next(s, r->err));
    for (;;) {
        CS_TRY(cs_json_scan_next(s, r->err));
        if (s->event != CS_JSON_KEY)
            break;
        if (cs_json_scan_is(s, "__metadata__")) {
            CS_TRY(read_metadata(r, st, &metadata));
            continue;
        }
        cs_st_tensor *t = &st->tensor[st->n];
        *t = (cs_st_tensor){.name = r->text};
        r->text += cs_json_scan_text(s, r->text) + 1;
        r->tensor = t->name;
        cs_status status = read_tensor(r, t);
        json_decref(r->unknown);
        r->unknown = NULL;
        CS_TRY(status);
        r->tensor = NULL;
        st->n++;
    }
    if (st->n > 1)
        qsort(st->tensor, st->n, sizeof *st->tensor, by_offset);
    CS_TRY(index_names(r, st));
    return check_tiling(r, st);
}

cs_status cs_safetensors_init(cs_safetensors *st, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    uint64_t n = 0;
    *st = (cs_safetensors){0};
    if (size < 8)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: expected the 8 bytes of a safetensors header length, found %zu", name, size);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | bytes[i];
    if (n > CS_LIMIT_ST_HEADER)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: expected a header length of at most %d, found %" PRIu64 "; not a safetensors file", name,
                       CS_LIMIT_ST_HEADER, n);
    if (n > size - 8)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: header length %" PRIu64 ", but only %zu bytes follow; is the file cut off?", name, n, size - 8);
    reader r = {.bytes = bytes, .size = size, .data_start = 8 + (size_t)n, .name = name, .err = err};
    r.scan = start_scan(&r);
    if (n == 0 || bytes[8] != '{')
        return cs_json_scan_fail(&r.scan, 0, "the '{' of a safetensors header", err);
    st->data_start = r.data_start;
    cs_status s = count_names(&r);
    if (s == CS_OK)
        s = read_entries(&r, st);
    if (s != CS_OK)
        cs_safetensors_release(st);
    return s;
}

void cs_safetensors_release(cs_safetensors *st)
{
    json_decref(st->metadata);
    cs_free(st->tensor);
    cs_free(st->by_name);
    cs_free(st->names);
    *st = (cs_safetensors){0};
}

const cs_st_tensor *cs_safetensors_find(const cs_safetensors *st, const char *name)
{
    cs_st_tensor key = {.name = name}, *key_p = &key;
    cs_st_tensor **hit = st->n ? bsearch(&key_p, st->by_name, st->n, sizeof *st->by_name, by_name) : NULL;
    return hit ? *hit : NULL;
}
