/* The bytes of an input file, unpacked when they are gzip or zstd. The first bytes decide, never the name. Memory: two fixed buffers
 * (and zstd's window: at most 128 MiB, 32 MiB for a file of less than 8 MiB, so that a few bytes cannot ask for so much). */
#ifndef CS_DATA_STREAM_H
#define CS_DATA_STREAM_H

#include "base/io.h"

typedef struct cs_stream cs_stream;

/* `path` ("-" is stdin) is borrowed. CS_E_IO; CS_E_FORMAT for kinds that are recognised and not read here (xz, bzip2, zip, Parquet, Arrow);
 * CS_E_NOMEM. */
cs_status cs_stream_create(const char *path, cs_stream **out, cs_error *err);
void cs_stream_destroy(cs_stream *s);
/* Up to n unpacked bytes; *got == 0 means the end. CS_E_FORMAT for damaged or cut compressed data, with the offset in the file. */
cs_status cs_stream_read(cs_stream *s, void *buf, size_t n, size_t *got, cs_error *err);
/* Bytes of the file (not unpacked) used so far. */
int64_t cs_stream_consumed(const cs_stream *s);
/* "stdin" for "-". */
const char *cs_stream_name(const cs_stream *s);

#endif
