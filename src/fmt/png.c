/* PNG (ISO/IEC 15948): signature, IHDR, one IDAT, IEND. Each row takes whichever of the filters None, Sub and Up leaves the smallest sum of
 * absolute differences, the choice that the standard recommends for true colour. */
#include "fmt/png.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void put_be32(cs_str *out, uint32_t x)
{
    const uint8_t b[4] = {(uint8_t)(x >> 24), (uint8_t)(x >> 16), (uint8_t)(x >> 8), (uint8_t)x};
    cs_str_append(out, b, 4);
}

static void put_chunk(cs_str *out, const char type[4], const void *data, size_t n)
{
    uLong crc = crc32(0, (const Bytef *)type, 4);
    crc = n ? crc32(crc, data, (uInt)n) : crc;
    put_be32(out, (uint32_t)n);
    cs_str_append(out, type, 4);
    cs_str_append(out, data, n);
    put_be32(out, (uint32_t)crc);
}

/* Writes the row under filter `kind` behind its filter byte and returns the sum of the differences as signed bytes. */
static int64_t filter_row(int kind, const uint8_t *row, const uint8_t *above, size_t n, uint8_t *out)
{
    int64_t sum = 0;
    out[0] = (uint8_t)kind;
    for (size_t i = 0; i < n; i++) {
        uint8_t from = kind == 1 ? (i >= 3 ? row[i - 3] : 0) : kind == 2 ? (above ? above[i] : 0) : 0;
        uint8_t d = (uint8_t)(row[i] - from);
        out[1 + i] = d;
        sum += d < 128 ? d : 256 - d;
    }
    return sum;
}

static void *z_alloc(void *opaque, uInt count, uInt size)
{
    (void)opaque;
    return cs_calloc(count, size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    cs_free(p);
}

static cs_status compress_rows(const uint8_t *raw, size_t n, cs_str *out, cs_error *err)
{
    z_stream z = {.zalloc = z_alloc, .zfree = z_free};
    if (deflateInit(&z, 9) != Z_OK)
        return cs_fail_nomem(err, (size_t)1 << 18, "compressing a picture");
    size_t cap = deflateBound(&z, (uLong)n);
    uint8_t *packed = cs_malloc(cap);
    if (!packed) {
        deflateEnd(&z);
        return cs_fail_nomem(err, cap, "compressing a picture");
    }
    z.next_in = (Bytef *)raw;
    z.avail_in = (uInt)n;
    z.next_out = packed;
    z.avail_out = (uInt)cap;
    int code = deflate(&z, Z_FINISH);
    CS_ASSERT(code == Z_STREAM_END); /* the bound leaves room for everything */
    put_chunk(out, "IDAT", packed, cap - z.avail_out);
    deflateEnd(&z);
    cs_free(packed);
    return CS_OK;
}

cs_status cs_png_encode(const uint8_t *rgb, size_t width, size_t height, cs_str *out, cs_error *err)
{
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    CS_ASSERT(width > 0 && width < 65536 && height > 0 && height < 65536);
    size_t row = 3 * width, bytes, total;
    bool fits = cs_mul_checked(row + 1, height, &bytes) && cs_add_checked(bytes, row + 1, &total) && bytes < UINT32_MAX / 2;
    uint8_t *raw = fits ? cs_malloc(total) : NULL;
    if (!raw)
        return cs_fail_nomem(err, 3 * width * height, "a picture");
    uint8_t *spare = raw + bytes;
    for (size_t y = 0; y < height; y++) {
        const uint8_t *line = rgb + y * row, *above = y ? line - row : NULL;
        uint8_t *best = raw + y * (row + 1);
        int64_t least = filter_row(0, line, above, row, best);
        for (int kind = 1; kind <= 2; kind++) {
            int64_t sum = filter_row(kind, line, above, row, spare);
            if (sum < least) {
                least = sum;
                memcpy(best, spare, row + 1);
            }
        }
    }
    uint8_t head[13] = {0};
    for (int i = 0; i < 4; i++) {
        head[i] = (uint8_t)(width >> (24 - 8 * i));
        head[4 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    head[8] = 8; /* bits */
    head[9] = 2; /* RGB */
    cs_str_append(out, signature, sizeof signature);
    put_chunk(out, "IHDR", head, sizeof head);
    cs_status s = compress_rows(raw, bytes, out, err);
    put_chunk(out, "IEND", "", 0);
    cs_free(raw);
    return s == CS_OK ? cs_str_check(out, err) : s;
}
