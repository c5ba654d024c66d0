/* The zip directory. The end record must be the last thing in the file; from it everything is found backwards, and then the entries are laid
 * side by side: they must fill the file from byte 0 to the directory without hole or overlap. */
#include "fmt/zip.h"

#include "base/mem.h"
#include "fmt/bytes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LOCAL = 30, CENTRAL = 46, END = 22, END64 = 56, LOCATOR = 20, DESCRIPTOR = 16, DESCRIPTOR64 = 24 };
enum { SIG_LOCAL = 0x04034b50, SIG_CENTRAL = 0x02014b50, SIG_END = 0x06054b50, SIG_END64 = 0x06064b50, SIG_LOCATOR = 0x07064b50,
       SIG_DESCRIPTOR = 0x08074b50 };
enum { FLAG_ENCRYPTED = 1, FLAG_DESCRIPTOR = 8, FLAG_UTF8 = 0x800, ZIP64_EXTRA = 1 };
static const uint64_t sentinel = 0xffffffff;

typedef struct reader {
    const uint8_t *bytes;
    size_t size;
    const char *name;
    cs_error *err;
    size_t directory, directory_bytes, n; /* from the end records */
} reader;

static cs_status bad(const reader *r, size_t at, const char *what)
{
    return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: %s", r->name, at, what);
}

static uint64_t get(const reader *r, size_t at, int n)
{
    return cs_le_get(r->bytes + at, n);
}

/* A field of the short end record must be the long one's, or all ones. */
static bool same_or_ones(uint64_t small, uint64_t big, int bytes)
{
    uint64_t ones = bytes == 2 ? 0xffff : sentinel;
    return small == ones || small == big;
}

/* The zip64 end record and its locator, right in front of the end record at `end`. *stop = where the directory must end. */
static cs_status read_end64(reader *r, size_t end, size_t *stop, uint64_t *n, uint64_t *bytes, uint64_t *at)
{
    size_t locator = end - LOCATOR;
    if (locator < END64)
        return bad(r, locator, "zip64 locator, but no room for the record it points to");
    size_t rec = locator - END64;
    if (get(r, locator + 8, 8) != rec || get(r, locator + 4, 4) != 0 || get(r, locator + 16, 4) != 1)
        return bad(r, locator, "the zip64 locator does not point to the record in front of it");
    if (get(r, rec, 4) != SIG_END64 || get(r, rec + 4, 8) != END64 - 12 || get(r, rec + 16, 4) != 0 || get(r, rec + 20, 4) != 0)
        return bad(r, rec, "no zip64 end record of 56 bytes on one disk here");
    if (get(r, rec + 24, 8) != get(r, rec + 32, 8))
        return bad(r, rec + 24, "the zip64 end record has two numbers of entries");
    if (!same_or_ones(*n, get(r, rec + 32, 8), 2) || !same_or_ones(*bytes, get(r, rec + 40, 8), 4) || !same_or_ones(*at, get(r, rec + 48, 8), 4))
        return bad(r, rec, "the zip64 end record and the end record disagree");
    *n = get(r, rec + 32, 8);
    *bytes = get(r, rec + 40, 8);
    *at = get(r, rec + 48, 8);
    *stop = rec;
    return CS_OK;
}

static cs_status read_end(reader *r)
{
    if (r->size < END)
        return cs_fail(r->err, CS_E_FORMAT, "%s: %zu bytes; a zip file has at least %d", r->name, r->size, END);
    size_t end = r->size - END, stop = end;
    if (get(r, end, 4) != SIG_END)
        return bad(r, end, "no end-of-directory record in the last 22 bytes; is the file cut off, or are there bytes behind its end?");
    if (get(r, end + 4, 2) != 0 || get(r, end + 6, 2) != 0 || get(r, end + 8, 2) != get(r, end + 10, 2))
        return bad(r, end + 4, "the archive is spread over several disks");
    if (get(r, end + 20, 2) != 0)
        return bad(r, end + 20, "a comment is announced behind the end of the file");
    uint64_t n = get(r, end + 10, 2), bytes = get(r, end + 12, 4), at = get(r, end + 16, 4);
    if (end >= LOCATOR && get(r, end - LOCATOR, 4) == SIG_LOCATOR)
        CS_TRY(read_end64(r, end, &stop, &n, &bytes, &at));
    else if (n == 0xffff || bytes == sentinel || at == sentinel)
        return bad(r, end, "the end record asks for a zip64 record that is not there");
    if (at > stop || bytes != stop - at)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: the directory should be %" PRIu64 " bytes from byte %" PRIu64 ", but must end at byte %zu",
                       r->name, end, bytes, at, stop);
    if (n > CS_ZIP_MAX_ENTRIES || n > bytes / CENTRAL)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: %" PRIu64 " entries in a directory of %" PRIu64 " bytes (limit %d)", r->name, end + 10, n,
                       bytes, CS_ZIP_MAX_ENTRIES);
    r->directory = (size_t)at;
    r->directory_bytes = (size_t)bytes;
    r->n = (size_t)n;
    return CS_OK;
}

/* Relative, no "", "." or ".." between slashes, no backslash, no control character, UTF-8. */
static bool good_name(const char *name, size_t n)
{
    size_t start = 0;
    if (n == 0 || n > CS_ZIP_MAX_NAME || !cs_utf8_valid(name, n))
        return false;
    for (size_t i = 0; i <= n; i++) {
        uint8_t c = i < n ? (uint8_t)name[i] : '/';
        if (c < 0x20 || c == 0x7f || c == '\\' || (i == 1 && c == ':'))
            return false;
        if (c != '/')
            continue;
        size_t len = i - start;
        if (len == 0 || (len == 1 && name[start] == '.') || (len == 2 && memcmp(name + start, "..", 2) == 0))
            return false;
        start = i + 1;
    }
    return true;
}

/* Walks the extra fields at [at, at + n): each must fit. Gives the one with zip64 sizes, or *z_len = -1. */
static cs_status read_extra(const reader *r, size_t at, size_t n, size_t *z_at, int *z_len)
{
    size_t end = at + n;
    *z_at = 0;
    *z_len = -1;
    while (at < end) {
        if (end - at < 4 || get(r, at + 2, 2) > end - at - 4)
            return bad(r, at, "extra field longer than its header says");
        if (get(r, at, 2) == ZIP64_EXTRA) {
            if (*z_len >= 0)
                return bad(r, at, "two zip64 extra fields");
            *z_at = at + 4;
            *z_len = (int)get(r, at + 2, 2);
        }
        at += 4 + (size_t)get(r, at + 2, 2);
    }
    return CS_OK;
}

/* Every size that is all ones in the directory stands in the zip64 field, in this order, and nothing else does. */
static cs_status resolve_zip64(const reader *r, size_t at, size_t z_at, int z_len, uint64_t value[3])
{
    int used = 0;
    for (int i = 0; i < 3; i++) {
        if (value[i] != sentinel)
            continue;
        if (z_len < used + 8)
            return bad(r, at, "a size or offset is missing from the zip64 extra field");
        value[i] = get(r, z_at + (size_t)used, 8);
        used += 8;
    }
    return z_len < 0 || z_len == used ? CS_OK : bad(r, at, "zip64 extra field of the wrong length");
}

static cs_status check_flags(const reader *r, size_t at, uint64_t flags, uint64_t method)
{
    if (flags & FLAG_ENCRYPTED)
        return bad(r, at, "encrypted entry");
    if (flags & ~(uint64_t)(FLAG_DESCRIPTOR | FLAG_UTF8))
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: entry flags 0x%04x are not supported", r->name, at, (unsigned)flags);
    if (method != 0)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: compressed entry (method %u); only stored entries are read", r->name, at,
                       (unsigned)method);
    return CS_OK;
}

/* One record of the directory at *at. */
static cs_status read_central(const reader *r, size_t *at, cs_zip_entry *e)
{
    size_t p = *at, end = r->directory + r->directory_bytes, z_at;
    int z_len;
    if (end - p < CENTRAL || get(r, p, 4) != SIG_CENTRAL)
        return bad(r, p, "no directory record here");
    size_t name_len = (size_t)get(r, p + 28, 2), extra_len = (size_t)get(r, p + 30, 2);
    CS_TRY(check_flags(r, p + 8, get(r, p + 8, 2), get(r, p + 10, 2)));
    if (get(r, p + 32, 2) != 0 || get(r, p + 34, 2) != 0)
        return bad(r, p + 32, "entry with a comment or on another disk");
    if (name_len + extra_len > end - p - CENTRAL)
        return bad(r, p + 28, "name and extra fields reach behind the directory");
    *e = (cs_zip_entry){.name = (const char *)r->bytes + p + CENTRAL, .name_len = name_len};
    if (!good_name(e->name, name_len))
        return bad(r, p + CENTRAL, "entry name that is empty, absolute, too long, not UTF-8, or has \"..\" or control characters");
    uint64_t value[3] = {get(r, p + 24, 4), get(r, p + 20, 4), get(r, p + 42, 4)}; /* size, stored size, offset of the local header */
    CS_TRY(read_extra(r, p + CENTRAL + name_len, extra_len, &z_at, &z_len));
    CS_TRY(resolve_zip64(r, p, z_at, z_len, value));
    if (value[0] != value[1])
        return bad(r, p + 20, "stored entry with two sizes");
    if (value[2] > r->directory || r->directory - value[2] < LOCAL)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: local header at byte %" PRIu64 ", behind the start of the directory", r->name, p + 42,
                       value[2]);
    e->flags = (uint16_t)get(r, p + 8, 2);
    e->crc = (uint32_t)get(r, p + 16, 4);
    e->header = (size_t)value[2];
    if (value[0] > r->directory - e->header - LOCAL)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: entry of %" PRIu64 " bytes at byte %zu does not fit into the file", r->name, p + 24,
                       value[0], e->header);
    e->bytes = (size_t)value[0];
    *at = p + CENTRAL + name_len + extra_len;
    return CS_OK;
}

/* Sizes and CRC of a local header. With a descriptor behind the data they may be 0, and PyTorch puts size, stored size or 0, and the header's
 * own offset into the zip64 field; otherwise they must be the directory's. */
static cs_status check_local_sizes(const reader *r, const cs_zip_entry *e, size_t z_at, int z_len)
{
    size_t p = e->header;
    uint64_t crc = get(r, p + 14, 4), stored = get(r, p + 18, 4), bytes = get(r, p + 22, 4);
    if (e->flags & FLAG_DESCRIPTOR && crc == 0 && stored == 0 && bytes == 0) {
        bool sizes = z_len >= 16, offset = z_len == 8 || z_len == 24;
        if (z_len >= 0 && z_len != 8 && z_len != 16 && z_len != 24)
            return bad(r, z_at, "zip64 extra field of the wrong length");
        if (sizes && (get(r, z_at, 8) != e->bytes || (get(r, z_at + 8, 8) != 0 && get(r, z_at + 8, 8) != e->bytes)))
            return bad(r, z_at, "the zip64 size of the local header is not the directory's");
        if (offset && get(r, z_at + (size_t)z_len - 8, 8) != e->header)
            return bad(r, z_at, "the zip64 offset of the local header is not its own");
        return CS_OK;
    }
    uint64_t value[3] = {bytes, stored, 0};
    CS_TRY(resolve_zip64(r, p, z_at, z_len, value));
    if (crc != e->crc || value[0] != e->bytes || value[1] != e->bytes)
        return bad(r, p + 14, "size or CRC of the local header is not the directory's");
    return CS_OK;
}

/* The local header: sets where the data are. */
static cs_status read_local(const reader *r, cs_zip_entry *e)
{
    size_t p = e->header, z_at;
    int z_len;
    if (get(r, p, 4) != SIG_LOCAL)
        return bad(r, p, "no local header here");
    size_t name_len = (size_t)get(r, p + 26, 2), extra_len = (size_t)get(r, p + 28, 2), room = r->directory - p - LOCAL;
    if (get(r, p + 6, 2) != e->flags || get(r, p + 8, 2) != 0)
        return bad(r, p + 6, "flags or method of the local header are not the directory's");
    if (name_len + extra_len > room || e->bytes > room - name_len - extra_len)
        return bad(r, p + 26, "name, extra fields and data reach into the directory");
    if (name_len != e->name_len || memcmp(r->bytes + p + LOCAL, e->name, name_len) != 0)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: the local header's name is not the directory's \"%.*s\"", r->name, p + LOCAL,
                       (int)e->name_len, e->name);
    CS_TRY(read_extra(r, p + LOCAL + name_len, extra_len, &z_at, &z_len));
    CS_TRY(check_local_sizes(r, e, z_at, z_len));
    e->offset = p + LOCAL + name_len + extra_len;
    e->data = r->bytes + e->offset;
    e->end = e->offset + e->bytes;
    return CS_OK;
}

/* The descriptor behind the data of an entry; `next` is where the next record begins, which tells the long form from the short one. */
static cs_status read_descriptor(const reader *r, cs_zip_entry *e, size_t next)
{
    size_t p = e->end, n = next - p;
    int w = n == DESCRIPTOR64 ? 8 : 4;
    if ((n != DESCRIPTOR && n != DESCRIPTOR64) || get(r, p, 4) != SIG_DESCRIPTOR)
        return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: no data descriptor between entry \"%.*s\" and byte %zu", r->name, p, (int)e->name_len,
                       e->name, next);
    if (get(r, p + 4, 4) != e->crc || get(r, p + 8, w) != e->bytes || get(r, p + 8 + (size_t)w, w) != e->bytes)
        return bad(r, p, "the data descriptor is not what the directory says");
    e->end = next;
    return CS_OK;
}

static int by_header(const void *a, const void *b)
{
    const cs_zip_entry *x = a, *y = b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static int compare_names(const char *a, size_t n, const char *b, size_t m)
{
    int c = memcmp(a, b, n < m ? n : m);
    return c != 0 ? c : n < m ? -1 : n > m;
}

static int by_name(const void *a, const void *b)
{
    const cs_zip_entry *x = a, *y = b;
    return compare_names(x->name, x->name_len, y->name, y->name_len);
}

/* Entries in file order fill [0, directory). */
static cs_status check_tiling(const reader *r, cs_zip *zip)
{
    size_t at = 0;
    for (size_t i = 0; i < zip->n; i++) {
        cs_zip_entry *e = &zip->entry[i];
        size_t next = i + 1 < zip->n ? zip->entry[i + 1].header : r->directory;
        if (e->header != at)
            return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: %zu bytes in front of entry \"%.*s\" belong to none", r->name, at, e->header - at,
                           (int)e->name_len, e->name);
        CS_TRY(read_local(r, e));
        if (next < e->end)
            return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: entry \"%.*s\" overlaps what begins there", r->name, next, (int)e->name_len, e->name);
        if (e->flags & FLAG_DESCRIPTOR)
            CS_TRY(read_descriptor(r, e, next));
        at = e->end;
    }
    return at == r->directory ? CS_OK : bad(r, at, "bytes in front of the directory belong to no entry");
}

static cs_status read_entries(const reader *r, cs_zip *zip)
{
    size_t at = r->directory;
    zip->entry = cs_calloc(r->n + 1, sizeof *zip->entry);
    if (!zip->entry)
        return cs_fail_nomem(r->err, (r->n + 1) * sizeof *zip->entry, r->name);
    for (size_t i = 0; i < r->n; i++)
        CS_TRY(read_central(r, &at, &zip->entry[i]));
    if (at != r->directory + r->directory_bytes)
        return bad(r, at, "bytes behind the last directory record");
    zip->n = r->n;
    zip->first = zip->entry[0].name;
    zip->first_len = zip->entry[0].name_len;
    if (zip->n > 1)
        qsort(zip->entry, zip->n, sizeof *zip->entry, by_header);
    CS_TRY(check_tiling(r, zip));
    if (zip->n > 1)
        qsort(zip->entry, zip->n, sizeof *zip->entry, by_name);
    for (size_t i = 1; i < zip->n; i++)
        if (by_name(&zip->entry[i - 1], &zip->entry[i]) == 0)
            return cs_fail(r->err, CS_E_FORMAT, "%s: byte %zu: second entry named \"%.*s\"", r->name, zip->entry[i].header,
                           (int)zip->entry[i].name_len, zip->entry[i].name);
    return CS_OK;
}

cs_status cs_zip_init(cs_zip *zip, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    reader r = {.bytes = bytes, .size = size, .name = name, .err = err};
    *zip = (cs_zip){.name = name};
    CS_TRY(read_end(&r));
    cs_status s = read_entries(&r, zip);
    if (s != CS_OK)
        cs_zip_release(zip);
    return s;
}

void cs_zip_release(cs_zip *zip)
{
    cs_free(zip->entry);
    *zip = (cs_zip){0};
}

const cs_zip_entry *cs_zip_find(const cs_zip *zip, const char *name, size_t name_len)
{
    size_t lo = 0, hi = zip->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_names(name, name_len, zip->entry[mid].name, zip->entry[mid].name_len);
        if (c == 0)
            return &zip->entry[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

uint32_t cs_zip_crc(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        uInt k = n > (1u << 30) ? 1u << 30 : (uInt)n;
        crc = (uint32_t)crc32(crc, p, k);
        p += k;
        n -= k;
    }
    return crc;
}

cs_status cs_zip_check_crc(const cs_zip *zip, const cs_zip_entry *e, cs_error *err)
{
    uint32_t crc = cs_zip_crc(0, e->data, e->bytes);
    if (crc == e->crc)
        return CS_OK;
    return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: entry \"%.*s\" has CRC %08x, the directory says %08x; the file is damaged", zip->name, e->offset,
                   (int)e->name_len, e->name, crc, e->crc);
}
