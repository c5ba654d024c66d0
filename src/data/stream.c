/* See stream.h. gzip members and zstd frames may follow one another, as their own tools allow. */
#include "data/stream.h"

#include "base/failpoint.h"
#include "base/mem.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { IN_BYTES = 1 << 17, SMALL_FILE = 8 << 20, SMALL_WINDOW_LOG = 25, WINDOW_LOG = 27 };

typedef enum packing { PLAIN, GZIP, ZSTD } packing;

struct cs_stream {
    cs_reader reader;
    packing kind;
    uint8_t *in;
    size_t at, len; /* unused input is in[at..len) */
    int64_t before; /* file bytes in front of in[0] */
    bool ended;     /* nothing more comes from the reader */
    bool inside;    /* a member or frame has begun and not ended */
    z_stream z;
    bool z_ready;
    ZSTD_DStream *zstd;
    int window_log; /* zstd: largest window that is decoded */
};

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

/* More input behind what is there; in[0..at) is dropped. */
static cs_status refill(cs_stream *s, cs_error *err)
{
    size_t got = 0;
    memmove(s->in, s->in + s->at, s->len - s->at);
    s->before += (int64_t)s->at;
    s->len -= s->at;
    s->at = 0;
    if (s->len == IN_BYTES || s->ended)
        return CS_OK;
    CS_TRY(cs_reader_read(&s->reader, s->in + s->len, IN_BYTES - s->len, &got, err));
    s->len += got;
    s->ended = got == 0;
    return CS_OK;
}

/* Kinds of file that are told apart by their first bytes. */
static cs_status find_kind(cs_stream *s, cs_error *err)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *what; /* NULL = read here */
        packing kind;
    } rows[] = {
        {"\x1f\x8b", 2, NULL, GZIP},
        {"\x28\xb5\x2f\xfd", 4, NULL, ZSTD},
        {"\xfd" "7zXZ\0", 6, "xz", PLAIN},
        {"PK\x03\x04", 4, "zip", PLAIN},
        {"BZh91AY&SY", 10, "bzip2", PLAIN},
        {"PAR1\x15", 5, "Parquet", PLAIN},
        {"ARROW1\0\0", 8, "Arrow", PLAIN},
    };
    while (s->len < 10 && !s->ended)
        CS_TRY(refill(s, err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (s->len < rows[i].n || memcmp(s->in, rows[i].magic, rows[i].n) != 0)
            continue;
        if (rows[i].what && strcmp(rows[i].what, "Parquet") == 0)
            return cs_fail(err, CS_E_FORMAT, "%s: is a Parquet file, which is read from its end; give it by its name, and without a format",
                           s->reader.path);
        if (rows[i].what)
            return cs_fail(err, CS_E_FORMAT, "%s: is a %s file, which this version does not read; give text, JSON or JSON lines, plain, .gz or .zst",
                           s->reader.path, rows[i].what);
        s->kind = rows[i].kind;
    }
    return CS_OK;
}

static cs_status start_zstd(cs_stream *s, const char *path, cs_error *err)
{
    int64_t size = 0;
    bool small = cs_io_kind(path, &size) == CS_FILE_REGULAR && size < SMALL_FILE;
    s->window_log = small ? SMALL_WINDOW_LOG : WINDOW_LOG;
    s->zstd = cs_failpoint_mem() ? NULL : ZSTD_createDStream();
    if (!s->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, s->window_log)))
        return cs_fail_nomem(err, 1 << 17, path);
    return CS_OK;
}

cs_status cs_stream_create(const char *path, cs_stream **out, cs_error *err)
{
    *out = NULL;
    cs_stream *s = cs_calloc(1, sizeof *s);
    if (!s || !(s->in = cs_malloc(IN_BYTES))) {
        cs_free(s);
        return cs_fail_nomem(err, IN_BYTES, path);
    }
    s->reader.fd = -1;
    cs_status st = cs_reader_init(&s->reader, path, err);
    if (st == CS_OK)
        st = find_kind(s, err);
    if (st == CS_OK && s->kind == GZIP) {
        s->z.zalloc = zlib_alloc;
        s->z.zfree = zlib_free;
        s->z_ready = inflateInit2(&s->z, 15 + 16) == Z_OK;
        if (!s->z_ready)
            st = cs_fail_nomem(err, 1 << 16, path);
    }
    if (st == CS_OK && s->kind == ZSTD)
        st = start_zstd(s, path, err);
    if (st != CS_OK)
        cs_stream_destroy(s);
    else
        *out = s;
    return st;
}

void cs_stream_destroy(cs_stream *s)
{
    if (!s)
        return;
    if (s->z_ready)
        inflateEnd(&s->z);
    ZSTD_freeDStream(s->zstd);
    cs_reader_release(&s->reader);
    cs_free(s->in);
    cs_free(s);
}

static cs_status damaged(const cs_stream *s, const char *why, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: compressed data %s", s->reader.path, (long long)cs_stream_consumed(s), why);
}

static cs_status unpack_gzip(cs_stream *s, void *buf, size_t n, size_t *got, cs_error *err)
{
    if (!s->inside) {
        if (inflateReset(&s->z) != Z_OK)
            return damaged(s, "cannot be started", err);
        s->inside = true;
    }
    s->z.next_in = s->in + s->at;
    s->z.avail_in = (unsigned)(s->len - s->at);
    s->z.next_out = buf;
    s->z.avail_out = n > (1u << 30) ? 1u << 30 : (unsigned)n;
    unsigned room = s->z.avail_out;
    int r = inflate(&s->z, Z_NO_FLUSH);
    s->at = s->len - s->z.avail_in;
    *got = room - s->z.avail_out;
    if (r == Z_STREAM_END)
        s->inside = false;
    else if (r == Z_MEM_ERROR)
        return cs_fail_nomem(err, 1 << 16, s->reader.path);
    else if (r != Z_OK && r != Z_BUF_ERROR)
        return damaged(s, s->z.msg ? s->z.msg : "are not gzip", err);
    return CS_OK;
}

static cs_status unpack_zstd(cs_stream *s, void *buf, size_t n, size_t *got, cs_error *err)
{
    ZSTD_inBuffer in = {s->in, s->len, s->at};
    ZSTD_outBuffer out = {buf, n, 0};
    size_t r = ZSTD_decompressStream(s->zstd, &out, &in);
    s->at = in.pos;
    *got = out.pos;
    if (ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: a zstd window of more than %d MiB; pack the file again without --long and --ultra",
                       s->reader.path, (long long)cs_stream_consumed(s), 1 << (s->window_log - 20));
    if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
        return cs_fail_nomem(err, 1 << 17, s->reader.path);
    if (ZSTD_isError(r))
        return damaged(s, ZSTD_getErrorName(r), err);
    s->inside = r != 0;
    return CS_OK;
}

cs_status cs_stream_read(cs_stream *s, void *buf, size_t n, size_t *got, cs_error *err)
{
    *got = 0;
    while (*got == 0 && n > 0) {
        if (s->at == s->len && !s->ended)
            CS_TRY(refill(s, err));
        bool empty = s->at == s->len;
        if (empty && (s->kind == PLAIN || !s->inside))
            return CS_OK;
        if (s->kind == PLAIN) {
            *got = s->len - s->at < n ? s->len - s->at : n;
            memcpy(buf, s->in + s->at, *got);
            s->at += *got;
            return CS_OK;
        }
        CS_TRY(s->kind == GZIP ? unpack_gzip(s, buf, n, got, err) : unpack_zstd(s, buf, n, got, err));
        if (empty && *got == 0 && s->inside)
            return damaged(s, "end too early; is the file whole?", err);
    }
    return CS_OK;
}

int64_t cs_stream_consumed(const cs_stream *s)
{
    return s->before + (int64_t)s->at;
}

const char *cs_stream_name(const cs_stream *s)
{
    return s->reader.path;
}
