/* See parquet_codec.h. Every library call is given the size of the output and cannot write beyond it. */
#include "fmt/parquet_codec.h"

#include "base/failpoint.h"
#include "base/mem.h"

#include <lz4.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

static void *zlib_alloc(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return cs_calloc(count, size);
}

static void zlib_free(void *opaque, void *p)
{
    (void)opaque;
    cs_free(p);
}

void cs_unpacker_release(cs_unpacker *u)
{
    ZSTD_freeDCtx(u->zstd);
    u->zstd = NULL;
}

/* Blocks of a zstd frame are at most 128 KiB, and one takes at least 4 bytes. The others: the largest ratio of their formats. */
bool cs_unpack_possible(int64_t codec, const uint8_t *in, size_t n, size_t unpacked)
{
    size_t most = n, snappy = 0;
    switch (codec) {
    case CS_CODEC_SNAPPY: return snappy_uncompressed_length((const char *)in, n, &snappy) == SNAPPY_OK && snappy == unpacked && unpacked / 32 <= n;
    case CS_CODEC_GZIP: return cs_mul_checked(n, 1040, &most) && unpacked <= most;
    case CS_CODEC_ZSTD: return cs_mul_checked(n, (128 << 10) / 4, &most) && unpacked <= most;
    case CS_CODEC_LZ4:
    case CS_CODEC_LZ4_RAW: return cs_mul_checked(n, 256, &most) && unpacked <= most;
    default: return unpacked == n;
    }
}

/* One or more members of gzip or zlib. */
static cs_status gunzip(const uint8_t *in, size_t n, uint8_t *out, size_t unpacked, const char **why)
{
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free, .next_in = (uint8_t *)in, .avail_in = (unsigned)n, .next_out = out,
                  .avail_out = (unsigned)unpacked};
    if (inflateInit2(&z, 15 + 32) != Z_OK)
        return CS_E_NOMEM;
    int r;
    do {
        r = inflate(&z, Z_FINISH);
    } while (r == Z_STREAM_END && z.avail_in > 0 && z.avail_out > 0 && inflateReset(&z) == Z_OK);
    bool whole = r == Z_STREAM_END && z.avail_out == 0;
    inflateEnd(&z);
    if (whole)
        return CS_OK;
    *why = r == Z_STREAM_END ? "gzip data that end before the page does" : "damaged gzip data, or more than the page may hold";
    return r == Z_MEM_ERROR ? CS_E_NOMEM : CS_E_FORMAT;
}

static cs_status unzstd(cs_unpacker *u, const uint8_t *in, size_t n, uint8_t *out, size_t unpacked, const char **why)
{
    if (!u->zstd && !(u->zstd = cs_failpoint_mem() ? NULL : ZSTD_createDCtx()))
        return CS_E_NOMEM;
    size_t r = ZSTD_decompressDCtx(u->zstd, out, unpacked, in, n);
    if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
        return CS_E_NOMEM;
    if (!ZSTD_isError(r) && r == unpacked)
        return CS_OK;
    *why = ZSTD_isError(r) ? ZSTD_getErrorName(r) : "zstd data that end before the page does";
    return CS_E_FORMAT;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool unlz4_block(const uint8_t *in, size_t n, uint8_t *out, size_t unpacked)
{
    return LZ4_decompress_safe((const char *)in, (char *)out, (int)n, (int)unpacked) == (int)unpacked;
}

/* Hadoop's frames: size, packed size (both with the high byte first), block; again until the end. */
static bool unlz4_hadoop(const uint8_t *in, size_t n, uint8_t *out, size_t unpacked)
{
    while (n >= 8) {
        size_t want = big_endian(in), packed = big_endian(in + 4);
        if (packed > n - 8 || want > unpacked || !unlz4_block(in + 8, packed, out, want))
            return false;
        in += 8 + packed;
        n -= 8 + packed;
        out += want;
        unpacked -= want;
    }
    return n == 0 && unpacked == 0;
}

cs_status cs_unpack(cs_unpacker *u, int64_t codec, const uint8_t *in, size_t n, uint8_t *out, size_t unpacked, const char **why)
{
    size_t got = unpacked;
    switch (codec) {
    case CS_CODEC_NONE: memcpy(out, in, unpacked); return CS_OK;
    case CS_CODEC_SNAPPY:
        *why = "damaged snappy data";
        return snappy_uncompress((const char *)in, n, (char *)out, &got) == SNAPPY_OK && got == unpacked ? CS_OK : CS_E_FORMAT;
    case CS_CODEC_GZIP: return gunzip(in, n, out, unpacked, why);
    case CS_CODEC_ZSTD: return unzstd(u, in, n, out, unpacked, why);
    case CS_CODEC_LZ4:
        *why = "damaged LZ4 data";
        return unlz4_hadoop(in, n, out, unpacked) || unlz4_block(in, n, out, unpacked) ? CS_OK : CS_E_FORMAT;
    case CS_CODEC_LZ4_RAW:
        *why = "damaged LZ4 data";
        return unlz4_block(in, n, out, unpacked) ? CS_OK : CS_E_FORMAT;
    default: *why = "a codec that is not read; write the file with SNAPPY, GZIP, ZSTD or LZ4_RAW"; return CS_E_FORMAT;
    }
}
