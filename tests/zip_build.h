/* Builds zip files in memory, well-formed ones in PyTorch's layout or a plainer one; tests then change what they want to break. */
#ifndef CS_TESTS_ZIP_BUILD_H
#define CS_TESTS_ZIP_BUILD_H

#include "fmt/bytes.h"
#include "fmt/zip.h"

#include <stdio.h>
#include <string.h>

enum { ZIP_BUILD_MAX = 16 };

typedef struct zip_built {
    char name[64];      /* of the directory; what zip_add was given stands in the local header */
    size_t name_len;
    size_t local, data, bytes, descriptor, central; /* offsets; descriptor 0 = none */
    uint32_t crc;
} zip_built;

typedef struct zip_build {
    uint8_t *b; /* the caller's, zeroed, large enough */
    size_t n;   /* bytes so far */
    bool plain; /* sizes in the local headers, no descriptors, no zip64 end records */
    zip_built e[ZIP_BUILD_MAX];
    int n_e;
    size_t end64, locator, end;
} zip_build;

static inline void zip_put(zip_build *z, int n, uint64_t v)
{
    cs_le_put(z->b + z->n, n, v);
    z->n += (size_t)n;
}

static inline void zip_copy(zip_build *z, const void *data, size_t n)
{
    if (n > 0)
        memcpy(z->b + z->n, data, n);
    z->n += n;
}

/* Local header (with PyTorch's padding to 64 bytes), data (NULL: zeros that are left as they are, CRC 0), descriptor. */
static inline zip_built *zip_add(zip_build *z, const char *name, const void *data, size_t bytes)
{
    zip_built *e = &z->e[z->n_e++];
    size_t start = z->n, len = strlen(name), big = bytes >= 0xffffffff, far = start >= 0xffffffff;
    memset(e, 0, sizeof *e);
    snprintf(e->name, sizeof e->name, "%s", name);
    e->name_len = len;
    e->local = start;
    e->bytes = bytes;
    e->crc = data ? cs_zip_crc(0, data, bytes) : 0;
    size_t extra64 = big || far ? 4 + 16 * big + 8 * far : 0, pad = (64 - (start + 30 + len + extra64 + 4) % 64) % 64;
    zip_put(z, 4, 0x04034b50);
    zip_put(z, 2, 0);
    zip_put(z, 2, z->plain ? 0x800 : 0x808);
    zip_put(z, 6, 0);
    zip_put(z, 4, z->plain ? e->crc : 0);
    zip_put(z, 4, z->plain ? bytes : 0);
    zip_put(z, 4, z->plain ? bytes : 0);
    zip_put(z, 2, len);
    zip_put(z, 2, extra64 + 4 + pad);
    zip_copy(z, name, len);
    if (extra64 > 0) {
        zip_put(z, 2, 1);
        zip_put(z, 2, extra64 - 4);
        if (big) {
            zip_put(z, 8, bytes);
            zip_put(z, 8, 0);
        }
        if (far)
            zip_put(z, 8, start);
    }
    zip_copy(z, "FB", 2);
    zip_put(z, 2, pad);
    memset(z->b + z->n, 'Z', pad);
    z->n += pad;
    e->data = z->n;
    if (data)
        zip_copy(z, data, bytes);
    else
        z->n += bytes;
    if (!z->plain) {
        e->descriptor = z->n;
        zip_put(z, 4, 0x08074b50);
        zip_put(z, 4, e->crc);
        zip_put(z, big || far ? 8 : 4, bytes);
        zip_put(z, big || far ? 8 : 4, bytes);
    }
    return e;
}

static inline void zip_directory_record(zip_build *z, zip_built *e)
{
    size_t big = e->bytes >= 0xffffffff, far = e->local >= 0xffffffff;
    e->central = z->n;
    zip_put(z, 4, 0x02014b50);
    zip_put(z, 4, 0);
    zip_put(z, 2, z->plain ? 0x800 : 0x808);
    zip_put(z, 6, 0);
    zip_put(z, 4, e->crc);
    zip_put(z, 4, big ? 0xffffffff : e->bytes);
    zip_put(z, 4, big ? 0xffffffff : e->bytes);
    zip_put(z, 2, e->name_len);
    zip_put(z, 2, big || far ? 4 + 16 * big + 8 * far : 0);
    zip_put(z, 8, 0);
    zip_put(z, 2, 0);
    zip_put(z, 4, far ? 0xffffffff : e->local);
    zip_copy(z, e->name, e->name_len);
    if (big || far) {
        zip_put(z, 2, 1);
        zip_put(z, 2, 16 * big + 8 * far);
        if (big) {
            zip_put(z, 8, e->bytes);
            zip_put(z, 8, e->bytes);
        }
        if (far)
            zip_put(z, 8, e->local);
    }
}

/* Directory and end records. */
static inline void zip_finish(zip_build *z)
{
    size_t at = z->n;
    for (int i = 0; i < z->n_e; i++)
        zip_directory_record(z, &z->e[i]);
    size_t bytes = z->n - at;
    z->end64 = z->n;
    if (!z->plain) {
        zip_put(z, 4, 0x06064b50);
        zip_put(z, 8, 44);
        zip_put(z, 2, 0x31e);
        zip_put(z, 2, 45);
        zip_put(z, 8, 0);
        zip_put(z, 8, (uint64_t)z->n_e);
        zip_put(z, 8, (uint64_t)z->n_e);
        zip_put(z, 8, bytes);
        zip_put(z, 8, at);
        z->locator = z->n;
        zip_put(z, 4, 0x07064b50);
        zip_put(z, 4, 0);
        zip_put(z, 8, z->end64);
        zip_put(z, 4, 1);
    }
    z->end = z->n;
    zip_put(z, 4, 0x06054b50);
    zip_put(z, 4, 0);
    zip_put(z, 2, (uint64_t)z->n_e);
    zip_put(z, 2, (uint64_t)z->n_e);
    zip_put(z, 4, bytes);
    zip_put(z, 4, at >= 0xffffffff ? 0xffffffff : at);
    zip_put(z, 2, 0);
}

#endif
