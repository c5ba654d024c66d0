/* Reader of safetensors headers and index files. Every size in the header is checked against the file before use. */
#include "fmt/safetensors.h"

#include "base/mem.h"
#include "fmt/json.h"

#include <inttypes.h>
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
    size_t size, header_bytes;
    const char *name;
    cs_error *err;
} reader;

/* Byte offset of a header key, for messages: where its quoted text first stands (8 when it is spelled with escapes). */
static size_t key_offset(const reader *r, const char *key)
{
    size_t n = strlen(key);
    const uint8_t *p = r->bytes + 8, *end = p + r->header_bytes;
    while (n > 0 && p < end && (p = memmem(p, (size_t)(end - p), key, n))) {
        if (p[-1] == '"' && p + n < end && p[n] == '"')
            return (size_t)(p - r->bytes) - 1;
        p++;
    }
    return 8;
}

static cs_status bad(const reader *r, const char *key, const char *what)
{
    return cs_fail(r->err, CS_E_FORMAT, "%s: tensor \"%s\", header entry at byte %zu: %s", r->name, key, key_offset(r, key), what);
}

static cs_status read_shape(const reader *r, const char *key, const json_t *shape, cs_st_tensor *t)
{
    size_t n = 1, bytes;
    if (!json_is_array(shape))
        return bad(r, key, "no \"shape\" array");
    if (json_array_size(shape) > CS_ST_MAX_DIMS)
        return bad(r, key, "more than 8 dimensions");
    t->ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return bad(r, key, "a dimension is not a whole number >= 0");
        t->shape[i] = json_integer_value(d);
        if (!cs_mul_checked(n, (size_t)t->shape[i], &n) || n > (size_t)INT64_MAX)
            return bad(r, key, "the product of its dimensions overflows");
    }
    if (!cs_mul_checked(n, cs_dtype_size(t->dtype), &bytes))
        return bad(r, key, "its size in bytes overflows");
    t->n = (int64_t)n;
    t->bytes = bytes;
    return CS_OK;
}

static cs_status read_range(const reader *r, const char *key, const json_t *range, cs_st_tensor *t)
{
    const json_t *b = json_array_get(range, 0), *e = json_array_get(range, 1);
    size_t data_start = 8 + r->header_bytes, data_bytes = r->size - data_start;
    if (!json_is_array(range) || json_array_size(range) != 2 || !json_is_integer(b) || !json_is_integer(e))
        return bad(r, key, "no \"data_offsets\" of two whole numbers");
    if (json_integer_value(b) < 0 || json_integer_value(e) < 0)
        return bad(r, key, "negative data offset");
    uint64_t begin = (uint64_t)json_integer_value(b), end = (uint64_t)json_integer_value(e);
    if (begin > end)
        return bad(r, key, "its data begins after its end");
    if (end > data_bytes)
        return cs_fail(r->err, CS_E_FORMAT, "%s: tensor \"%s\", header entry at byte %zu: data ends at byte %" PRIu64 " of %zu; is the file cut off?",
                       r->name, key, key_offset(r, key), (uint64_t)data_start + end, r->size);
    if (end - begin != t->bytes)
        return cs_fail(r->err, CS_E_FORMAT, "%s: tensor \"%s\", header entry at byte %zu: %" PRIu64 " bytes of data, but shape and dtype need %zu",
                       r->name, key, key_offset(r, key), end - begin, t->bytes);
    t->offset = data_start + (size_t)begin;
    t->data = r->bytes + t->offset;
    return CS_OK;
}

static cs_status read_tensor(const reader *r, const char *key, const json_t *entry, cs_st_tensor *t)
{
    if (!json_is_object(entry))
        return bad(r, key, "is not an object");
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype) || json_string_length(dtype) != strlen(json_string_value(dtype)))
        return bad(r, key, "no \"dtype\" string");
    *t = (cs_st_tensor){.name = key};
    if (!cs_st_dtype_parse(json_string_value(dtype), &t->dtype))
        return cs_fail(r->err, CS_E_FORMAT, "%s: tensor \"%s\", header entry at byte %zu: unknown dtype \"%.40s\"", r->name, key, key_offset(r, key),
                       json_string_value(dtype));
    CS_TRY(read_shape(r, key, json_object_get(entry, "shape"), t));
    return read_range(r, key, json_object_get(entry, "data_offsets"), t);
}

static cs_status read_metadata(const reader *r, const json_t *meta)
{
    const char *key;
    json_t *value;
    if (!json_is_object(meta))
        return cs_fail(r->err, CS_E_FORMAT, "%s: \"__metadata__\" at byte %zu is not an object", r->name, key_offset(r, "__metadata__"));
    json_object_foreach((json_t *)meta, key, value) {
        if (!json_is_string(value))
            return cs_fail(r->err, CS_E_FORMAT, "%s: \"__metadata__\" at byte %zu: value of \"%s\" is not a string", r->name,
                           key_offset(r, "__metadata__"), key);
    }
    return CS_OK;
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
            return cs_fail(r->err, CS_E_FORMAT, "%s: tensor \"%s\" overlaps the one before it at byte %zu", r->name, t->name, t->offset);
        if (t->offset > at)
            return cs_fail(r->err, CS_E_FORMAT, "%s: hole of %zu bytes at byte %zu, before tensor \"%s\"", r->name, t->offset - at, at, t->name);
        at = t->offset + t->bytes;
    }
    if (at != r->size)
        return cs_fail(r->err, CS_E_FORMAT, "%s: %zu bytes at byte %zu, behind the last tensor, belong to none", r->name, r->size - at, at);
    return CS_OK;
}

static cs_status read_entries(const reader *r, cs_safetensors *st)
{
    const char *key;
    json_t *value;
    size_t count = json_object_size(st->header);
    st->tensor = cs_calloc(count + 1, sizeof *st->tensor);
    st->by_name = cs_calloc(count + 1, sizeof *st->by_name);
    if (!st->tensor || !st->by_name)
        return cs_fail_nomem(r->err, (count + 1) * sizeof *st->tensor, r->name);
    json_object_foreach(st->header, key, value) {
        if (strcmp(key, "__metadata__") == 0) {
            CS_TRY(read_metadata(r, value));
            st->metadata = value;
            continue;
        }
        CS_TRY(read_tensor(r, key, value, &st->tensor[st->n]));
        st->n++;
    }
    if (st->n > 1)
        qsort(st->tensor, st->n, sizeof *st->tensor, by_offset);
    for (size_t i = 0; i < st->n; i++)
        st->by_name[i] = &st->tensor[i];
    if (st->n > 1)
        qsort(st->by_name, st->n, sizeof *st->by_name, by_name);
    return check_tiling(r, st);
}

static cs_status parse_header(const reader *r, json_t **out)
{
    cs_status s = cs_json_parse((const char *)r->bytes + 8, r->header_bytes, r->name, out, r->err);
    if (s != CS_OK)
        return s == CS_E_FORMAT ? cs_error_prefix(r->err, "safetensors header from byte 8") : s;
    if (json_is_object(*out))
        return CS_OK;
    json_decref(*out);
    *out = NULL;
    return cs_fail(r->err, CS_E_FORMAT, "%s: header at byte 8 is not a JSON object", r->name);
}

cs_status cs_safetensors_init(cs_safetensors *st, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    uint64_t n = 0;
    *st = (cs_safetensors){0};
    if (size < 8)
        return cs_fail(err, CS_E_FORMAT, "%s: %zu bytes; a safetensors file has at least 8 (header length at byte 0)", name, size);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | bytes[i];
    if (n > CS_ST_MAX_HEADER)
        return cs_fail(err, CS_E_FORMAT, "%s: header length at byte 0 is %" PRIu64 ", more than %d; not a safetensors file", name, n,
                       CS_ST_MAX_HEADER);
    if (n > size - 8)
        return cs_fail(err, CS_E_FORMAT, "%s: header length at byte 0 is %" PRIu64 ", but only %zu bytes follow; is the file cut off?", name, n,
                       size - 8);
    if (n < 2 || bytes[8] != '{')
        return cs_fail(err, CS_E_FORMAT, "%s: header at byte 8 does not start with '{'; not a safetensors file", name);
    reader r = {bytes, size, (size_t)n, name, err};
    st->data_start = 8 + (size_t)n;
    cs_status s = parse_header(&r, &st->header);
    if (s == CS_OK)
        s = read_entries(&r, st);
    if (s != CS_OK)
        cs_safetensors_release(st);
    return s;
}

void cs_safetensors_release(cs_safetensors *st)
{
    json_decref(st->header);
    cs_free(st->tensor);
    cs_free(st->by_name);
    *st = (cs_safetensors){0};
}

const cs_st_tensor *cs_safetensors_find(const cs_safetensors *st, const char *name)
{
    cs_st_tensor key = {.name = name}, *key_p = &key;
    cs_st_tensor **hit = st->n ? bsearch(&key_p, st->by_name, st->n, sizeof *st->by_name, by_name) : NULL;
    return hit ? *hit : NULL;
}

static bool plain_name(const char *file)
{
    return *file && *file != '.' && strlen(file) < 200 && !strchr(file, '/') && !strchr(file, '\\');
}

static cs_status index_files(cs_st_index *index, const char *name, cs_error *err)
{
    const char *key;
    json_t *value, *seen = json_object();
    cs_status s = CS_OK;
    index->file = cs_calloc(json_object_size(index->weight_map) + 1, sizeof *index->file);
    if (!seen || !index->file)
        s = cs_fail_nomem(err, json_object_size(index->weight_map) * sizeof *index->file, name);
    json_object_foreach((json_t *)index->weight_map, key, value) {
        if (s != CS_OK)
            break;
        const char *file = json_string_value(value);
        if (!file || json_string_length(value) != strlen(file) || !plain_name(file))
            s = cs_fail(err, CS_E_FORMAT, "%s: \"weight_map\": the file of \"%s\" is not a plain file name", name, key);
        else if (!json_object_get(seen, file)) {
            index->file[index->n_files++] = file;
            if (json_object_set_new(seen, file, json_true()) != 0)
                s = cs_fail_nomem(err, strlen(file), name);
        }
    }
    json_decref(seen);
    return s;
}

cs_status cs_st_index_init(cs_st_index *index, const char *bytes, size_t len, const char *name, cs_error *err)
{
    *index = (cs_st_index){0};
    CS_TRY(cs_json_parse(bytes, len, name, &index->tree, err));
    index->weight_map = json_object_get(index->tree, "weight_map");
    cs_status s;
    if (!json_is_object(index->weight_map))
        s = cs_fail(err, CS_E_FORMAT, "%s: no \"weight_map\" object; not a safetensors index", name);
    else
        s = index_files(index, name, err);
    if (s != CS_OK)
        cs_st_index_release(index);
    return s;
}

void cs_st_index_release(cs_st_index *index)
{
    json_decref(index->tree);
    cs_free(index->file);
    *index = (cs_st_index){0};
}
