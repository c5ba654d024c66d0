/* Writer and reader of TensorBoard event records. The protobuf messages are five fields, written directly:
 * Event {1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary}, Summary {1 repeated Value},
 * Value {1 string tag, 2 float simple_value}. */
#include "fmt/tfevents.h"

#include "fmt/wire.h"

#include <string.h>

uint32_t cs_crc32c(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void put_le(cs_str *out, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        cs_str_putc(out, (char)(x >> (8 * i)));
}

/* TensorBoard's record format: rotated, plus a constant modulo 2^32. */
CS_WRAPS static uint32_t masked_crc(const void *data, size_t n)
{
    uint32_t crc = cs_crc32c(data, n);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static void put_record(cs_str *out, const cs_str *event)
{
    size_t at = out->len;
    put_le(out, event->len, 8);
    put_le(out, out->failed ? 0 : masked_crc(out->data + at, 8), 4);
    cs_str_append(out, cs_str_cstr(event), event->len);
    put_le(out, masked_crc(cs_str_cstr(event), event->len), 4);
    out->failed = out->failed || event->failed;
}

void cs_tfevents_put_version(cs_str *out, double wall_time)
{
    static const char version[] = "brain.Event:2";
    cs_str event = {0};
    cs_wire_put_double(&event, 1, wall_time);
    cs_wire_put_bytes(&event, 3, version, sizeof version - 1);
    put_record(out, &event);
    cs_str_release(&event);
}

void cs_tfevents_put_scalars(cs_str *out, double wall_time, int64_t step, const cs_tfevents_value *values, size_t n)
{
    cs_str event = {0}, summary = {0}, value = {0};
    cs_wire_put_double(&event, 1, wall_time);
    cs_wire_put_varint(&event, 2, (uint64_t)step);
    for (size_t i = 0; i < n; i++) {
        cs_str_clear(&value);
        cs_wire_put_bytes(&value, 1, values[i].tag, strlen(values[i].tag));
        cs_wire_put_float(&value, 2, (float)values[i].value);
        cs_wire_put_bytes(&summary, 1, cs_str_cstr(&value), value.len);
    }
    cs_wire_put_bytes(&event, 5, cs_str_cstr(&summary), summary.len);
    event.failed = event.failed || summary.failed || value.failed;
    put_record(out, &event);
    cs_str_release(&event);
    cs_str_release(&summary);
    cs_str_release(&value);
}

static uint64_t get_le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

bool cs_tfevents_length_ok(const uint8_t *bytes)
{
    return masked_crc(bytes, 8) == get_le(bytes + 8, 4);
}

cs_status cs_tfevents_next(const uint8_t *bytes, size_t size, const char *name, size_t *at, size_t *from, size_t *to, bool *more, bool *cut,
                           cs_error *err)
{
    size_t left = size - *at;
    *more = *cut = false;
    if (left == 0)
        return CS_OK;
    if (left < 12)
        return *cut = true, CS_OK;
    if (!cs_tfevents_length_ok(bytes + *at))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: checksum of a record's length is wrong", name, *at);
    uint64_t n = get_le(bytes + *at, 8);
    if (left < 16 || n > left - 16)
        return *cut = true, CS_OK;
    *from = *at + 12;
    *to = *from + (size_t)n;
    if (masked_crc(bytes + *from, (size_t)n) != get_le(bytes + *to, 4))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: checksum of a record of %zu bytes is wrong", name, *from, (size_t)n);
    *at = *to + 4;
    *more = true;
    return CS_OK;
}
