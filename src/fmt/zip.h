/* The zip container as PyTorch writes it: zip or zip64, entries stored as they are, one disk, no comments. Reader; pure, no file access.
 * What a header says in two places must agree, and every byte of the file belongs to exactly one record: an entry's header, data and
 * descriptor, the central directory, the end records. So nothing overlaps, nothing hides, and no second reading of the file is possible.
 * Entries are views of the mapped file. Memory: 64 bytes per entry, whose directory record has at least 47. */
#ifndef CS_FMT_ZIP_H
#define CS_FMT_ZIP_H

#include "base/error.h"

enum { CS_ZIP_MAX_ENTRIES = 1 << 20, CS_ZIP_MAX_NAME = 1024 };

typedef struct cs_zip_entry {
    const char *name;    /* not terminated; valid UTF-8, relative, without "..", "." or control characters */
    size_t name_len;
    size_t header;       /* offset of the local header in the file */
    size_t offset;       /* of the data */
    size_t bytes;
    size_t end;          /* behind the data descriptor, if there is one */
    const uint8_t *data; /* borrowed from the mapped file */
    uint32_t crc;        /* as the central directory has it */
    uint16_t flags;
} cs_zip_entry;

typedef struct cs_zip {
    cs_zip_entry *entry; /* by name, bytewise */
    size_t n;
    const char *name;    /* of the file, for messages; borrowed */
    const char *first;   /* name of the first entry in the directory, not terminated */
    size_t first_len;
} cs_zip;

/* Reads the directory of a whole file at bytes[0..size), which must outlive `zip`, and checks every header against it; data are not read.
 * CS_E_FORMAT with the byte offset; CS_E_NOMEM. On failure nothing is held. */
cs_status cs_zip_init(cs_zip *zip, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
void cs_zip_release(cs_zip *zip);
/* NULL when absent. */
const cs_zip_entry *cs_zip_find(const cs_zip *zip, const char *name, size_t name_len);
/* Reads the entry's data and compares their CRC-32 with the directory's. CS_E_FORMAT. */
cs_status cs_zip_check_crc(const cs_zip *zip, const cs_zip_entry *entry, cs_error *err);
/* CRC-32 (of zip and zlib) of n bytes, continuing `crc`; 0 starts. */
uint32_t cs_zip_crc(uint32_t crc, const void *data, size_t n);

#endif
