/* Unpacking of pages. */
#ifndef CS_FMT_PARQUET_CODEC_H
#define CS_FMT_PARQUET_CODEC_H

#include "base/error.h"

enum { CS_CODEC_NONE, CS_CODEC_SNAPPY, CS_CODEC_GZIP, CS_CODEC_LZO, CS_CODEC_BROTLI, CS_CODEC_LZ4, CS_CODEC_ZSTD, CS_CODEC_LZ4_RAW };

/* What is kept between pages; zeroed = nothing yet. */
typedef struct cs_unpacker {
    void *zstd;
} cs_unpacker;

void cs_unpacker_release(cs_unpacker *u);
/* True when `n` packed bytes can become `unpacked` ones: asked before memory is taken. */
bool cs_unpack_possible(int64_t codec, const uint8_t *in, size_t n, size_t unpacked);
/* in[0..n) becomes exactly out[0..unpacked), or *why says what is wrong with it and CS_E_FORMAT is returned without a message; CS_E_NOMEM. */
cs_status cs_unpack(cs_unpacker *u, int64_t codec, const uint8_t *in, size_t n, uint8_t *out, size_t unpacked, const char **why);

#endif
