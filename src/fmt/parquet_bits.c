/* See parquet_bits.h. */
#include "fmt/parquet_bits.h"

#include "base/error.h"
#include "fmt/bytes.h"

#include <string.h>

/* `width` <= 64 bits from bit number `bit` of p on, low bits first; bytes from `end` on count as 0. */
static uint64_t low_bits(const uint8_t *p, const uint8_t *end, size_t bit, int width)
{
    const uint8_t *from = p + (bit >> 3);
    int shift = (int)(bit & 7);
    size_t have = from < end ? (size_t)(end - from) : 0;
    uint64_t v = cs_le_get(from, have < 8 ? (int)have : 8) >> shift;
    if (shift + width > 64 && have > 8)
        v |= (uint64_t)from[8] << (64 - shift);
    return width == 64 ? v : v & ((1ull << width) - 1);
}

static uint32_t high_bits(const uint8_t *p, size_t bit, int width)
{
    uint32_t v = 0;
    for (int i = 0; i < width; i++, bit++)
        v = v << 1 | (p[bit >> 3] >> (7 - (bit & 7)) & 1u);
    return v;
}

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < 10 && *at < end; i++) {
        uint8_t b = *(*at)++;
        if (i == 9 && b > 1)
            return false;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

void cs_runs_init(cs_runs *r, const uint8_t *p, size_t n, int width)
{
    *r = (cs_runs){.at = p, .end = p + n, .width = width};
}

void cs_runs_init_high(cs_runs *r, const uint8_t *p, size_t n, int width)
{
    *r = (cs_runs){.at = p + n, .end = p + n, .width = width, .high = true, .packed = true, .bits = p,
                   .left = width > 0 ? (uint64_t)n * 8 / (unsigned)width : UINT64_MAX};
}

/* The head of the next run. Packed values whose bytes are missing at the end are not there. */
static bool next_run(cs_runs *r)
{
    uint64_t head = 0;
    if (!read_varint(&r->at, r->end, &head) || head > UINT32_MAX)
        return false;
    size_t have = (size_t)(r->end - r->at), width = (size_t)r->width;
    r->packed = head & 1;
    r->left = head >> 1;
    if (r->packed) {
        size_t need = (size_t)r->left * width;
        r->left *= 8;
        if (need > have) {
            need = have;
            r->left = have * 8 / width;
        }
        r->bits = r->at;
        r->bit = 0;
        r->at += need;
        return true;
    }
    size_t bytes = (width + 7) / 8;
    if (bytes > have)
        return false;
    r->value = (uint32_t)cs_le_get(r->at, (int)bytes);
    r->at += bytes;
    return true;
}

bool cs_runs_next(cs_runs *r, uint32_t *out)
{
    while (r->left == 0)
        if (!next_run(r))
            return false;
    r->left--;
    *out = r->value;
    if (r->packed) {
        *out = r->high ? high_bits(r->bits, r->bit, r->width) : (uint32_t)low_bits(r->bits, r->end, r->bit, r->width);
        r->bit += (size_t)r->width;
    }
    return true;
}

static uint64_t unzigzag(uint64_t v)
{
    return v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
}

const char *cs_deltas_init(cs_deltas *d, const uint8_t *p, size_t n)
{
    uint64_t block = 0, value = 0;
    *d = (cs_deltas){.at = p, .end = p + n, .first = true};
    if (!read_varint(&d->at, d->end, &block) || !read_varint(&d->at, d->end, &d->parts) || !read_varint(&d->at, d->end, &d->left) ||
        !read_varint(&d->at, d->end, &value))
        return "the head of a delta encoding is cut off";
    if (block == 0 || block > INT32_MAX || d->parts == 0 || d->parts > block || block % d->parts != 0 || block / d->parts % 8 != 0)
        return "a delta encoding with blocks of no whole parts";
    if (d->left > INT32_MAX)
        return "a delta encoding of more than 2^31 values";
    d->per_part = block / d->parts;
    d->part = d->parts;
    d->value = unzigzag(value);
    return NULL;
}

/* The next part, of a new block when the last one is done. The last part of all may lack its padding. */
static const char *next_part(cs_deltas *d)
{
    if (d->part == d->parts) {
        uint64_t least = 0;
        if (!read_varint(&d->at, d->end, &least) || d->parts > (size_t)(d->end - d->at))
            return "a block of a delta encoding is cut off";
        d->least = unzigzag(least);
        d->widths = d->at;
        d->at += d->parts;
        d->part = 0;
    }
    d->width = d->widths[d->part++];
    if (d->width > 64)
        return "a delta encoding with differences of more than 64 bits";
    size_t need = (size_t)(d->per_part / 8) * (size_t)d->width, have = (size_t)(d->end - d->at);
    d->bits = d->at;
    d->bit = 0;
    d->at += need < have ? need : have;
    d->bits_end = d->at;
    d->part_left = d->per_part;
    return NULL;
}

CS_WRAPS static uint64_t wrapping_sum(uint64_t a, uint64_t b, uint64_t c)
{
    return a + b + c;
}

const char *cs_deltas_next(cs_deltas *d, int64_t *out)
{
    if (d->left == 0)
        return "fewer values in a delta encoding than the page needs";
    if (!d->first) {
        const char *why = d->part_left == 0 ? next_part(d) : NULL;
        if (why)
            return why;
        if (d->bit + (size_t)d->width > (size_t)(d->bits_end - d->bits) * 8)
            return "a delta encoding is cut off";
        d->value = wrapping_sum(d->value, d->least, low_bits(d->bits, d->bits_end, d->bit, d->width));
        d->bit += (size_t)d->width;
        d->part_left--;
    }
    d->first = false;
    d->left--;
    *out = (int64_t)d->value;
    return NULL;
}

const char *cs_deltas_end(const cs_deltas *d, const uint8_t **end)
{
    cs_deltas walk = *d;
    uint64_t left = d->left > 0 ? d->left - 1 : 0;
    while (left > 0) {
        const char *why = next_part(&walk);
        if (why)
            return why;
        left -= left < walk.per_part ? left : walk.per_part;
    }
    *end = walk.at;
    return NULL;
}
