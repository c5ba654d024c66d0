/* The protobuf wire format. Never reads past cs_wire.end. */
#include "fmt/wire.h"

#include <string.h>

static cs_status read_varint(cs_wire *w, uint64_t *out, cs_error *err)
{
    uint64_t v = 0;
    size_t start = w->at;
    for (int i = 0; i < 10; i++) {
        if (w->at >= w->end)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected the rest of a varint, found the end of %zu bytes", w->name, start,
                           w->end - start);
        uint8_t b = w->bytes[w->at++];
        if (i == 9 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *out = v;
            return CS_OK;
        }
    }
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a varint of at most 64 bits, found a longer one", w->name, start);
}

static cs_status read_fixed(cs_wire *w, size_t n, uint64_t *out, cs_error *err)
{
    if (w->end - w->at < n)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected %zu bytes of a fixed%zu, found %zu", w->name, w->at, n, 8 * n, w->end - w->at);
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out |= (uint64_t)w->bytes[w->at++] << (8 * i);
    return CS_OK;
}

cs_status cs_wire_next(cs_wire *w, cs_wire_field *out, bool *more, cs_error *err)
{
    uint64_t key;
    *more = w->at < w->end;
    if (!*more)
        return CS_OK;
    *out = (cs_wire_field){.at = w->at};
    CS_TRY(read_varint(w, &key, err));
    if (key >> 3 == 0 || key >> 32)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a field number from 1 to 2^29 - 1, found %llu", w->name, out->at,
                       (unsigned long long)(key >> 3));
    out->number = (uint32_t)(key >> 3);
    out->type = (uint32_t)(key & 7);
    switch (out->type) {
    case 0: return read_varint(w, &out->value, err);
    case 1: return read_fixed(w, 8, &out->value, err);
    case 5: return read_fixed(w, 4, &out->value, err);
    case 2:
        CS_TRY(read_varint(w, &out->value, err));
        if (out->value > w->end - w->at)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: field %u has %llu bytes, but only %zu are left", w->name, out->at, out->number,
                           (unsigned long long)out->value, w->end - w->at);
        out->sub = (cs_wire){w->bytes, w->at, w->at + (size_t)out->value, w->name};
        w->at = out->sub.end;
        return CS_OK;
    default: return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected wire type 0, 1, 2 or 5, found %u (field %u)", w->name, out->at, out->type,
                            out->number);
    }
}

cs_status cs_wire_want(const cs_wire *w, const cs_wire_field *f, uint32_t type, cs_error *err)
{
    if (f->type == type)
        return CS_OK;
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected wire type %u for field %u, found %u", w->name, f->at, type, f->number, f->type);
}

static void put_raw(cs_str *out, uint64_t x)
{
    for (; x >= 0x80; x >>= 7)
        cs_str_putc(out, (char)(x | 0x80));
    cs_str_putc(out, (char)x);
}

static void put_fixed(cs_str *out, uint64_t bits, int bytes)
{
    for (int i = 0; i < bytes; i++)
        cs_str_putc(out, (char)(bits >> (8 * i)));
}

void cs_wire_put_varint(cs_str *out, uint32_t number, uint64_t value)
{
    put_raw(out, (uint64_t)number << 3 | 0);
    put_raw(out, value);
}

void cs_wire_put_float(cs_str *out, uint32_t number, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_raw(out, (uint64_t)number << 3 | 5);
    put_fixed(out, bits, 4);
}

void cs_wire_put_double(cs_str *out, uint32_t number, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_raw(out, (uint64_t)number << 3 | 1);
    put_fixed(out, bits, 8);
}

void cs_wire_put_bytes(cs_str *out, uint32_t number, const void *data, size_t n)
{
    put_raw(out, (uint64_t)number << 3 | 2);
    put_raw(out, n);
    cs_str_append(out, data, n);
}
