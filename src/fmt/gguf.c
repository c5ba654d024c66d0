/* GGUF reader: one pass over the header, then the checks that need all of it (order, overlap, file size). */
#include "fmt/gguf.h"

#include "base/mem.h"

#include <utf8proc.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_KV = 14, MIN_TENSOR = 25 }; /* bytes of the smallest entries: a one-byte key with a one-byte value; a scalar with a one-byte name */

typedef struct reader {
    const uint8_t *bytes;
    size_t size, at;
    const char *name;
    cs_error *err;
} reader;

static const struct {
    const char *name;
    uint8_t bytes; /* of a scalar; the smallest element of a string or array list: its length word(s) */
} kinds[CS_GGUF_KIND_COUNT] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 8}, {"array", 12}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

static const struct {
    const char *name;
    uint16_t elements, bytes;
} types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},        [2] = {"Q4_0", 32, 18},     [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},     [8] = {"Q8_0", 32, 34},     [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},  [13] = {"Q5_K", 256, 176},  [14] = {"Q6_K", 256, 210},
    [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74}, [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110}, [22] = {"IQ2_S", 256, 82},  [23] = {"IQ4_XS", 256, 136},
    [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},       [26] = {"I32", 1, 4},       [27] = {"I64", 1, 8},
    [28] = {"F64", 1, 8},        [29] = {"IQ1_M", 256, 56},  [30] = {"BF16", 1, 2},      [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
};

const char *cs_gguf_kind_name(cs_gguf_kind kind)
{
    return kinds[kind].name;
}

const char *cs_gguf_type_name(uint32_t type)
{
    return type < sizeof types / sizeof *types ? types[type].name : NULL;
}

void cs_gguf_type_block(uint32_t type, size_t *elements, size_t *bytes)
{
    *elements = types[type].elements;
    *bytes = types[type].bytes;
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (; n > 0; n--)
        v = v << 8 | p[n - 1];
    return v;
}

static cs_status need(const reader *r, size_t n, const char *what)
{
    if (r->size - r->at < n)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: %s cut off: %zu bytes left, need %zu", r->name, r->at, what, r->size - r->at, n);
    return CS_OK;
}

static cs_status take_u32(reader *r, const char *what, uint32_t *out)
{
    CS_TRY(need(r, 4, what));
    *out = (uint32_t)get_le(r->bytes + r->at, 4);
    r->at += 4;
    return CS_OK;
}

static cs_status take_u64(reader *r, const char *what, uint64_t *out)
{
    CS_TRY(need(r, 8, what));
    *out = get_le(r->bytes + r->at, 8);
    r->at += 8;
    return CS_OK;
}

static cs_status take_text(reader *r, const char *what, const uint8_t **text, size_t *len)
{
    size_t start = r->at;
    uint64_t n = 0;
    CS_TRY(take_u64(r, what, &n));
    if (n > r->size - r->at)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: %s claims %" PRIu64 " bytes, %zu are left", r->name, start, what, n, r->size - r->at);
    *text = r->bytes + r->at;
    *len = (size_t)n;
    r->at += (size_t)n;
    return CS_OK;
}

/* A key or a tensor name: not empty, not long, UTF-8 without control characters. */
static cs_status take_name(reader *r, const char *what, size_t longest, const char **text, size_t *len)
{
    size_t start = r->at;
    const uint8_t *p = NULL;
    CS_TRY(take_text(r, what, &p, len));
    if (*len == 0 || *len > longest)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: %s of %zu bytes, expected 1..%zu", r->name, start, what, *len, longest);
    for (size_t i = 0; i < *len;) {
        utf8proc_int32_t cp;
        utf8proc_ssize_t n = utf8proc_iterate(p + i, (utf8proc_ssize_t)(*len - i), &cp);
        if (n <= 0 || cp < 0x20 || cp == 0x7f)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: %s is not UTF-8 text without control characters: byte 0x%02x", r->name,
                           start + 8 + i, what, p[i]);
        i += (size_t)n;
    }
    *text = (const char *)p;
    return CS_OK;
}

static cs_status take_kind(reader *r, const char *what, cs_gguf_kind *out)
{
    size_t start = r->at;
    uint32_t kind = 0;
    CS_TRY(take_u32(r, what, &kind));
    if (kind >= CS_GGUF_KIND_COUNT)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: %s %u, expected 0..%d", r->name, start, what, kind, CS_GGUF_KIND_COUNT - 1);
    *out = (cs_gguf_kind)kind;
    return CS_OK;
}

static cs_status check_bools(const reader *r, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++)
        if (r->bytes[i] > 1)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: bool is %u, expected 0 or 1", r->name, i, r->bytes[i]);
    return CS_OK;
}

static cs_status take_value(reader *r, cs_gguf_kind kind, int depth, cs_gguf_value *v);

/* Element kind, count, elements. */
static cs_status take_array(reader *r, int depth, cs_gguf_value *v)
{
    size_t start = r->at, bytes;
    if (depth == CS_LIMIT_GGUF_DEPTH)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: arrays nested deeper than %d", r->name, start, CS_LIMIT_GGUF_DEPTH);
    CS_TRY(take_kind(r, "element type", &v->item));
    CS_TRY(take_u64(r, "array length", &v->n));
    if (v->n > (r->size - r->at) / kinds[v->item].bytes)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: array claims %" PRIu64 " elements of type %s, %zu bytes are left", r->name, start + 4,
                       v->n, kinds[v->item].name, r->size - r->at);
    v->at = r->bytes + r->at;
    if (v->item == CS_GGUF_STRING || v->item == CS_GGUF_ARRAY) {
        size_t from = r->at;
        cs_gguf_value item;
        for (uint64_t i = 0; i < v->n; i++)
            CS_TRY(take_value(r, v->item, depth + 1, &item));
        v->bytes = r->at - from;
        return CS_OK;
    }
    if (!cs_mul_checked((size_t)v->n, kinds[v->item].bytes, &bytes))
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: size of an array overflows", r->name, start + 4);
    if (v->item == CS_GGUF_BOOL)
        CS_TRY(check_bools(r, r->at, bytes));
    v->bytes = bytes;
    r->at += bytes;
    return CS_OK;
}

static cs_status take_value(reader *r, cs_gguf_kind kind, int depth, cs_gguf_value *v)
{
    *v = (cs_gguf_value){.kind = kind, .item = kind, .n = 1};
    if (kind == CS_GGUF_ARRAY)
        return take_array(r, depth, v);
    if (kind == CS_GGUF_STRING)
        return take_text(r, "string", &v->at, &v->bytes);
    CS_TRY(need(r, kinds[kind].bytes, "value"));
    if (kind == CS_GGUF_BOOL)
        CS_TRY(check_bools(r, r->at, 1));
    v->at = r->bytes + r->at;
    v->bytes = kinds[kind].bytes;
    r->at += v->bytes;
    return CS_OK;
}

static cs_status take_kvs(reader *r, cs_gguf *g)
{
    g->kv_start = r->at;
    for (size_t i = 0; i < g->n_kv; i++) {
        cs_gguf_kv *kv = &g->kv[i];
        cs_gguf_kind kind = CS_GGUF_U8;
        kv->offset = r->at;
        CS_TRY(take_name(r, "key", CS_LIMIT_GGUF_KEY, &kv->key, &kv->key_len));
        CS_TRY(take_kind(r, "value type", &kind));
        CS_TRY(take_value(r, kind, 0, &kv->value));
    }
    g->kv_end = r->at;
    return CS_OK;
}

/* Elements and bytes of a tensor from its dimensions and type; `at` is the offset of the number of dimensions. */
static cs_status size_tensor(const reader *r, cs_gguf_tensor *t, size_t at)
{
    size_t block = types[t->type].elements, elements = 1;
    for (int d = 0; d < t->ndim; d++)
        if (!cs_mul_checked(elements, (size_t)t->dim[d], &elements))
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: number of elements of tensor \"%.*s\" overflows", r->name, at, (int)t->name_len,
                           t->name);
    if ((t->ndim == 0 ? 1 : (size_t)t->dim[0]) % block != 0)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: rows of tensor \"%.*s\" have %" PRId64 " elements, type %s needs a multiple of %zu",
                       r->name, at, (int)t->name_len, t->name, t->ndim == 0 ? 1 : t->dim[0], types[t->type].name, block);
    if (elements > INT64_MAX || !cs_mul_checked(elements / block, types[t->type].bytes, &t->bytes))
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: size of tensor \"%.*s\" overflows", r->name, at, (int)t->name_len, t->name);
    t->n = (int64_t)elements;
    return CS_OK;
}

static cs_status take_tensor(reader *r, cs_gguf_tensor *t)
{
    uint32_t ndim = 0;
    uint64_t dim = 0, offset = 0;
    t->entry = r->at;
    CS_TRY(take_name(r, "tensor name", CS_LIMIT_GGUF_NAME, &t->name, &t->name_len));
    size_t at = r->at;
    CS_TRY(take_u32(r, "number of dimensions", &ndim));
    if (ndim > CS_GGUF_MAX_DIMS)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: tensor \"%.*s\" has %u dimensions, at most %d are allowed", r->name, at,
                       (int)t->name_len, t->name, ndim, CS_GGUF_MAX_DIMS);
    t->ndim = (int)ndim;
    for (int d = 0; d < t->ndim; d++) {
        CS_TRY(take_u64(r, "dimension", &dim));
        if (dim == 0 || dim > INT64_MAX)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: dimension %d of tensor \"%.*s\" is %" PRIu64 ", expected 1..2^63-1", r->name,
                           r->at - 8, d, (int)t->name_len, t->name, dim);
        t->dim[d] = (int64_t)dim;
    }
    CS_TRY(take_u32(r, "tensor type", &t->type));
    if (!cs_gguf_type_name(t->type))
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: tensor \"%.*s\" has the unknown ggml type %u", r->name, r->at - 4, (int)t->name_len,
                       t->name, t->type);
    CS_TRY(size_tensor(r, t, at));
    CS_TRY(take_u64(r, "tensor offset", &offset));
    if (offset > SIZE_MAX)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: data of tensor \"%.*s\" lies beyond the address space", r->name, r->at - 8,
                       (int)t->name_len, t->name);
    t->offset = (size_t)offset;
    return CS_OK;
}

/* ---- checks over the whole header ---- */

static int compare_names(const char *a, size_t n, const char *b, size_t m)
{
    int c = memcmp(a, b, n < m ? n : m);
    return c != 0 ? c : (n > m) - (n < m);
}

static int kv_order(const void *a, const void *b)
{
    const cs_gguf_kv *x = *(const cs_gguf_kv *const *)a, *y = *(const cs_gguf_kv *const *)b;
    int c = compare_names(x->key, x->key_len, y->key, y->key_len);
    return c != 0 ? c : (x > y) - (x < y);
}

static int tensor_order(const void *a, const void *b)
{
    const cs_gguf_tensor *x = *(const cs_gguf_tensor *const *)a, *y = *(const cs_gguf_tensor *const *)b;
    int c = compare_names(x->name, x->name_len, y->name, y->name_len);
    return c != 0 ? c : (x > y) - (x < y);
}

static int offset_order(const void *a, const void *b)
{
    const cs_gguf_tensor *x = *(const cs_gguf_tensor *const *)a, *y = *(const cs_gguf_tensor *const *)b;
    int c = (x->offset > y->offset) - (x->offset < y->offset);
    return c != 0 ? c : (x > y) - (x < y);
}

static cs_status sort_keys(const reader *r, cs_gguf *g)
{
    for (size_t i = 0; i < g->n_kv; i++)
        g->by_key[i] = &g->kv[i];
    qsort(g->by_key, g->n_kv, sizeof *g->by_key, kv_order);
    for (size_t i = 1; i < g->n_kv; i++) {
        const cs_gguf_kv *a = g->by_key[i - 1], *b = g->by_key[i];
        if (compare_names(a->key, a->key_len, b->key, b->key_len) == 0)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: key \"%.*s\" occurs twice, first at offset %zu", r->name, b->offset,
                           (int)(b->key_len < 200 ? b->key_len : 200), b->key, a->offset);
    }
    return CS_OK;
}

static cs_status find_alignment(const reader *r, cs_gguf *g)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, "general.alignment");
    g->alignment = CS_GGUF_ALIGNMENT;
    if (kv) {
        int64_t a = 0;
        if (kv->value.kind != CS_GGUF_U32 || !cs_gguf_as_int(&kv->value, &a) || a == 0 || (a & (a - 1)) != 0)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: general.alignment must be a u32 power of two, found %s %" PRId64, r->name,
                           kv->offset, kinds[kv->value.kind].name, a);
        g->alignment = (size_t)a;
    }
    if (!cs_align_checked(g->header_bytes, g->alignment, &g->data_start))
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: start of the data overflows", r->name, g->header_bytes);
    return CS_OK;
}

static cs_status place_tensors(const reader *r, cs_gguf *g)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        cs_gguf_tensor *t = &g->tensor[i];
        size_t end;
        if (t->offset % g->alignment != 0)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: data of tensor \"%.*s\" at %zu is not aligned to %zu", r->name, t->entry,
                           (int)t->name_len, t->name, t->offset, g->alignment);
        if (!cs_add_checked(t->offset, g->data_start, &t->offset) || !cs_add_checked(t->offset, t->bytes, &end) || end > r->size)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: data of tensor \"%.*s\" (%zu bytes, %s) does not end within the file of %zu bytes",
                           r->name, t->entry, (int)t->name_len, t->name, t->bytes, types[t->type].name, r->size);
        t->data = r->bytes + t->offset;
        g->by_name[i] = t;
    }
    qsort(g->by_name, g->n_tensors, sizeof *g->by_name, offset_order);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const cs_gguf_tensor *a = g->by_name[i - 1], *b = g->by_name[i];
        if (b->offset - a->offset < a->bytes)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: data of tensor \"%.*s\" overlaps that of \"%.*s\"", r->name, b->entry,
                           (int)b->name_len, b->name, (int)a->name_len, a->name);
    }
    qsort(g->by_name, g->n_tensors, sizeof *g->by_name, tensor_order);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const cs_gguf_tensor *a = g->by_name[i - 1], *b = g->by_name[i];
        if (compare_names(a->name, a->name_len, b->name, b->name_len) == 0)
            return cs_fail(r->err, CS_E_FORMAT, "%s: offset %zu: tensor \"%.*s\" occurs twice, first at offset %zu", r->name, b->entry,
                           (int)b->name_len, b->name, a->entry);
    }
    return CS_OK;
}

static cs_status take_counts(reader *r, cs_gguf *g)
{
    uint64_t n_tensors = 0, n_kv = 0;
    if (r->size < 4 || memcmp(r->bytes, "GGUF", 4) != 0)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset 0: not a GGUF file: it does not begin with \"GGUF\"", r->name);
    r->at = 4;
    CS_TRY(take_u32(r, "version", &g->version));
    if (g->version != 2 && g->version != 3) {
        bool swapped = g->version == 2u << 24 || g->version == 3u << 24;
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset 4: GGUF version %u%s, expected 2 or 3", r->name, swapped ? g->version >> 24 : g->version,
                       swapped ? " in big-endian order" : "");
    }
    CS_TRY(take_u64(r, "number of tensors", &n_tensors));
    CS_TRY(take_u64(r, "number of key-values", &n_kv));
    if (n_tensors > (r->size - r->at) / MIN_TENSOR)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset 8: %" PRIu64 " tensors do not fit into %zu bytes", r->name, n_tensors, r->size - r->at);
    if (n_kv > (r->size - r->at) / MIN_KV)
        return cs_fail(r->err, CS_E_FORMAT, "%s: offset 16: %" PRIu64 " key-values do not fit into %zu bytes", r->name, n_kv, r->size - r->at);
    g->n_tensors = (size_t)n_tensors;
    g->n_kv = (size_t)n_kv;
    g->kv = cs_calloc(g->n_kv + 1, sizeof *g->kv);
    g->by_key = cs_calloc(g->n_kv + 1, sizeof *g->by_key);
    g->tensor = cs_calloc(g->n_tensors + 1, sizeof *g->tensor);
    g->by_name = cs_calloc(g->n_tensors + 1, sizeof *g->by_name);
    if (!g->kv || !g->by_key || !g->tensor || !g->by_name)
        return cs_fail_nomem(r->err, g->n_kv * sizeof *g->kv + g->n_tensors * sizeof *g->tensor, "a GGUF header");
    return CS_OK;
}

static cs_status take_all(reader *r, cs_gguf *g)
{
    CS_TRY(take_counts(r, g));
    CS_TRY(take_kvs(r, g));
    for (size_t i = 0; i < g->n_tensors; i++)
        CS_TRY(take_tensor(r, &g->tensor[i]));
    g->header_bytes = r->at;
    CS_TRY(sort_keys(r, g));
    CS_TRY(find_alignment(r, g));
    return place_tensors(r, g);
}

cs_status cs_gguf_init(cs_gguf *g, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    reader r = {bytes, size, 0, name, err};
    *g = (cs_gguf){.name = name};
    cs_status s = take_all(&r, g);
    if (s != CS_OK)
        cs_gguf_release(g);
    return s;
}

void cs_gguf_release(cs_gguf *g)
{
    cs_free(g->kv);
    cs_free(g->by_key);
    cs_free(g->tensor);
    cs_free(g->by_name);
    *g = (cs_gguf){0};
}
