/* See thrift.h. */
#include "fmt/thrift.h"

#include "fmt/limits.h"

static cs_status byte(cs_thrift *t, uint8_t *out, cs_error *err)
{
    if (t->at >= t->end)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected more of a Thrift structure, found its end", t->name, t->at);
    *out = t->bytes[t->at++];
    return CS_OK;
}

static cs_status varint(cs_thrift *t, uint64_t *out, cs_error *err)
{
    size_t start = t->at;
    uint64_t v = 0;
    uint8_t b = 0;
    for (int i = 0; i < 10; i++) {
        CS_TRY(byte(t, &b, err));
        if (i == 9 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *out = v;
            return CS_OK;
        }
    }
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a varint of at most 64 bits, found a longer one", t->name, start);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

static const char *type_name(cs_thrift_type type)
{
    static const char *const names[] = {"the end", "true", "false", "i8", "i16", "i32", "i64", "double", "bytes", "a list",
                                        "a set", "a map", "a struct"};
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "an unknown type";
}

static cs_status wrong(const cs_thrift *t, const cs_thrift_field *f, const char *expected, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected %s in Thrift field %d, found %s", t->name, f->at, expected, (int)f->id,
                   type_name(f->type));
}

cs_status cs_thrift_next(cs_thrift *t, cs_thrift_field *f, bool *more, cs_error *err)
{
    uint8_t head = 0;
    uint64_t id = 0;
    f->at = t->at;
    CS_TRY(byte(t, &head, err));
    f->type = (cs_thrift_type)(head & 15);
    *more = f->type != CS_THRIFT_STOP;
    if (!*more)
        return CS_OK;
    if (f->type > CS_THRIFT_STRUCT)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a Thrift type from 1 to 12, found %d", t->name, f->at, (int)f->type);
    if (head >> 4) {
        f->id += head >> 4;
    } else {
        CS_TRY(varint(t, &id, err));
        f->id = id <= 0xffff ? (int32_t)unzigzag(id) : -1;
    }
    if (f->id < 0 || f->id > INT16_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a Thrift field number up to %d, found another", t->name, f->at, INT16_MAX);
    return CS_OK;
}

cs_status cs_thrift_element_int(cs_thrift *t, int64_t *out, cs_error *err)
{
    uint64_t v = 0;
    CS_TRY(varint(t, &v, err));
    *out = unzigzag(v);
    return CS_OK;
}

cs_status cs_thrift_int(cs_thrift *t, const cs_thrift_field *f, int64_t *out, cs_error *err)
{
    uint8_t b = 0;
    switch (f->type) {
    case CS_THRIFT_TRUE:
    case CS_THRIFT_FALSE: *out = f->type == CS_THRIFT_TRUE; return CS_OK;
    case CS_THRIFT_I8:
        CS_TRY(byte(t, &b, err));
        *out = b < 128 ? b : b - 256;
        return CS_OK;
    case CS_THRIFT_I16:
    case CS_THRIFT_I32:
    case CS_THRIFT_I64: return cs_thrift_element_int(t, out, err);
    default: return wrong(t, f, "an integer", err);
    }
}

static cs_status payload(cs_thrift *t, const uint8_t **p, size_t *n, cs_error *err)
{
    size_t start = t->at;
    uint64_t len = 0;
    CS_TRY(varint(t, &len, err));
    if (len > t->end - t->at)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected at most %zu bytes of text, found a length of %llu", t->name, start, t->end - t->at,
                       (unsigned long long)len);
    *p = t->bytes + t->at;
    *n = (size_t)len;
    t->at += *n;
    return CS_OK;
}

cs_status cs_thrift_bytes(cs_thrift *t, const cs_thrift_field *f, const uint8_t **p, size_t *n, cs_error *err)
{
    return f->type == CS_THRIFT_BYTES ? payload(t, p, n, err) : wrong(t, f, "bytes", err);
}

/* Size and element type of a list or set. */
static cs_status list_head(cs_thrift *t, cs_thrift_type *element, size_t *n, cs_error *err)
{
    size_t start = t->at;
    uint8_t head = 0;
    uint64_t count = 0;
    CS_TRY(byte(t, &head, err));
    *element = (cs_thrift_type)(head & 15);
    count = head >> 4;
    if (count == 15)
        CS_TRY(varint(t, &count, err));
    if (count > t->end - t->at)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a list of at most %zu elements, for as many bytes are left, found %llu", t->name,
                       start, t->end - t->at, (unsigned long long)count);
    *n = (size_t)count;
    return CS_OK;
}

cs_status cs_thrift_list(cs_thrift *t, const cs_thrift_field *f, cs_thrift_type element, size_t *n, cs_error *err)
{
    cs_thrift_type found = CS_THRIFT_STOP;
    if (f->type != CS_THRIFT_LIST)
        return wrong(t, f, "a list", err);
    CS_TRY(list_head(t, &found, n, err));
    bool integers = element >= CS_THRIFT_I16 && element <= CS_THRIFT_I64 && found >= CS_THRIFT_I16 && found <= CS_THRIFT_I64;
    if (*n > 0 && found != element && !integers)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a list of %s in Thrift field %d, found one of %s", t->name, f->at,
                       type_name(element), (int)f->id, type_name(found));
    return CS_OK;
}

cs_status cs_thrift_struct(cs_thrift *t, const cs_thrift_field *f, cs_error *err)
{
    return f->type == CS_THRIFT_STRUCT ? CS_OK : wrong(t, f, "a struct", err);
}

static cs_status skip(cs_thrift *t, cs_thrift_type type, bool element, int depth, cs_error *err);

static cs_status skip_elements(cs_thrift *t, bool map, int depth, cs_error *err)
{
    cs_thrift_type key = CS_THRIFT_STOP, value = CS_THRIFT_STOP;
    size_t n = 0, start = t->at;
    if (map) {
        uint64_t count = 0;
        uint8_t types = 0;
        CS_TRY(varint(t, &count, err));
        if (count > t->end - t->at)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a map of at most %zu entries, found %llu", t->name, start, t->end - t->at,
                           (unsigned long long)count);
        n = (size_t)count;
        if (n > 0)
            CS_TRY(byte(t, &types, err));
        key = (cs_thrift_type)(types >> 4);
        value = (cs_thrift_type)(types & 15);
    } else {
        CS_TRY(list_head(t, &value, &n, err));
    }
    for (size_t i = 0; i < n; i++) {
        if (map)
            CS_TRY(skip(t, key, true, depth, err));
        CS_TRY(skip(t, value, true, depth, err));
    }
    return CS_OK;
}

/* A bool is in the header of a field, but one byte as an element. */
static cs_status skip(cs_thrift *t, cs_thrift_type type, bool element, int depth, cs_error *err)
{
    uint8_t b = 0;
    uint64_t v = 0;
    const uint8_t *p = NULL;
    size_t n = 0;
    bool more = true;
    cs_thrift_field f = {0};
    if (depth > CS_LIMIT_THRIFT_DEPTH)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected Thrift structures at most %d deep, found deeper ones", t->name, t->at,
                       CS_LIMIT_THRIFT_DEPTH);
    switch (type) {
    case CS_THRIFT_TRUE:
    case CS_THRIFT_FALSE: return element ? byte(t, &b, err) : CS_OK;
    case CS_THRIFT_I8: return byte(t, &b, err);
    case CS_THRIFT_I16:
    case CS_THRIFT_I32:
    case CS_THRIFT_I64: return varint(t, &v, err);
    case CS_THRIFT_DOUBLE:
        for (int i = 0; i < 8; i++)
            CS_TRY(byte(t, &b, err));
        return CS_OK;
    case CS_THRIFT_BYTES: return payload(t, &p, &n, err);
    case CS_THRIFT_LIST:
    case CS_THRIFT_SET: return skip_elements(t, false, depth + 1, err);
    case CS_THRIFT_MAP: return skip_elements(t, true, depth + 1, err);
    case CS_THRIFT_STRUCT:
        for (;;) {
            CS_TRY(cs_thrift_next(t, &f, &more, err));
            if (!more)
                return CS_OK;
            CS_TRY(skip(t, f.type, false, depth + 1, err));
        }
    default: return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a Thrift type from 1 to 12, found %d", t->name, t->at, (int)type);
    }
}

cs_status cs_thrift_skip(cs_thrift *t, const cs_thrift_field *f, cs_error *err)
{
    return skip(t, f->type, false, 0, err);
}

cs_status cs_thrift_ints(cs_thrift *t, int64_t *out, int n, uint32_t *seen, cs_error *err)
{
    cs_thrift_field f = {0};
    bool more = true;
    for (;;) {
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            return CS_OK;
        if (f.id < 1 || f.id >= n || (f.type > CS_THRIFT_I64)) {
            CS_TRY(cs_thrift_skip(t, &f, err));
            continue;
        }
        CS_TRY(cs_thrift_int(t, &f, &out[f.id], err));
        *seen |= 1u << f.id;
    }
}
