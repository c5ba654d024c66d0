/* Reading values out of a parsed GGUF header; everything was bounds-checked by cs_gguf_init. */
#include "fmt/gguf.h"


#include <stdio.h>
#include <string.h>

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (; n > 0; n--)
        v = v << 8 | p[n - 1];
    return v;
}

bool cs_gguf_as_int(const cs_gguf_value *v, int64_t *out)
{
    uint64_t bits = v->bytes <= 8 ? get_le(v->at, v->bytes) : 0;
    switch (v->kind) {
    case CS_GGUF_U8: case CS_GGUF_U16: case CS_GGUF_U32: *out = (int64_t)bits; return true;
    case CS_GGUF_I8: *out = (int8_t)bits; return true;
    case CS_GGUF_I16: *out = (int16_t)bits; return true;
    case CS_GGUF_I32: *out = (int32_t)bits; return true;
    case CS_GGUF_I64: *out = (int64_t)bits; return true;
    case CS_GGUF_U64: *out = (int64_t)bits; return bits <= INT64_MAX;
    default: return false;
    }
}

bool cs_gguf_as_real(const cs_gguf_value *v, double *out)
{
    if (v->kind == CS_GGUF_F32) {
        uint32_t bits = (uint32_t)get_le(v->at, 4);
        float f;
        memcpy(&f, &bits, 4);
        *out = f;
        return true;
    }
    if (v->kind == CS_GGUF_F64) {
        uint64_t bits = get_le(v->at, 8);
        memcpy(out, &bits, 8);
        return true;
    }
    return false;
}

bool cs_gguf_next(const cs_gguf_value *array, cs_gguf_cursor *i, cs_gguf_value *item)
{
    if (array->kind != CS_GGUF_ARRAY || i->index >= array->n)
        return false;
    const uint8_t *p = array->at + i->at;
    *item = (cs_gguf_value){.kind = array->item, .item = array->item, .n = 1, .at = p};
    if (array->item == CS_GGUF_STRING) {
        item->at = p + 8;
        item->bytes = (size_t)get_le(p, 8);
        i->at += 8 + item->bytes;
    } else if (array->item == CS_GGUF_ARRAY) {
        item->item = (cs_gguf_kind)get_le(p, 4);
        item->n = get_le(p + 4, 8);
        item->at = p + 12;
        cs_gguf_cursor inner = {0};
        cs_gguf_value skipped;
        while (cs_gguf_next(item, &inner, &skipped))
            continue;
        item->bytes = inner.at;
        i->at += 12 + item->bytes;
    } else {
        static const uint8_t bytes[CS_GGUF_KIND_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        item->bytes = bytes[array->item];
        i->at += item->bytes;
    }
    i->index++;
    return true;
}

const cs_gguf_kv *cs_gguf_find(const cs_gguf *g, const char *key)
{
    size_t lo = 0, hi = g->n_kv, len = strlen(key);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const cs_gguf_kv *kv = g->by_key[mid];
        int c = memcmp(kv->key, key, kv->key_len < len ? kv->key_len : len);
        c = c != 0 ? c : (kv->key_len > len) - (kv->key_len < len);
        if (c == 0)
            return kv;
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return NULL;
}

const cs_gguf_tensor *cs_gguf_find_tensor(const cs_gguf *g, const char *name)
{
    size_t lo = 0, hi = g->n_tensors, len = strlen(name);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const cs_gguf_tensor *t = g->by_name[mid];
        int c = memcmp(t->name, name, t->name_len < len ? t->name_len : len);
        c = c != 0 ? c : (t->name_len > len) - (t->name_len < len);
        if (c == 0)
            return t;
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return NULL;
}

static cs_status fail_kind(const cs_gguf *g, const cs_gguf_kv *kv, const char *want, cs_error *err)
{
    const cs_gguf_value *v = &kv->value;
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %.*s: expected %s, found %s%s%s", g->name, kv->offset, (int)kv->key_len, kv->key, want,
                   cs_gguf_kind_name(v->kind), v->kind == CS_GGUF_ARRAY ? " of " : "",
                   v->kind == CS_GGUF_ARRAY ? cs_gguf_kind_name(v->item) : "");
}

cs_status cs_gguf_get_int(const cs_gguf *g, const char *key, int64_t *out, cs_error *err)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, key);
    return !kv || cs_gguf_as_int(&kv->value, out) ? CS_OK : fail_kind(g, kv, "an integer below 2^63", err);
}

cs_status cs_gguf_get_real(const cs_gguf *g, const char *key, double *out, cs_error *err)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, key);
    return !kv || cs_gguf_as_real(&kv->value, out) ? CS_OK : fail_kind(g, kv, "f32 or f64", err);
}

cs_status cs_gguf_get_bool(const cs_gguf *g, const char *key, bool *out, cs_error *err)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, key);
    if (kv && kv->value.kind != CS_GGUF_BOOL)
        return fail_kind(g, kv, "bool", err);
    if (kv)
        *out = kv->value.at[0] != 0;
    return CS_OK;
}

cs_status cs_gguf_get_str(const cs_gguf *g, const char *key, const char **out, size_t *len, cs_error *err)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, key);
    if (kv && kv->value.kind != CS_GGUF_STRING)
        return fail_kind(g, kv, "string", err);
    if (kv) {
        *out = (const char *)kv->value.at;
        *len = kv->value.bytes;
    }
    return CS_OK;
}

cs_status cs_gguf_get_array(const cs_gguf *g, const char *key, cs_gguf_kind item, const cs_gguf_value **out, cs_error *err)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, key);
    char want[40];
    *out = NULL;
    if (kv && (kv->value.kind != CS_GGUF_ARRAY || kv->value.item != item)) {
        snprintf(want, sizeof want, "an array of %s", cs_gguf_kind_name(item));
        return fail_kind(g, kv, want, err);
    }
    if (kv)
        *out = &kv->value;
    return CS_OK;
}
