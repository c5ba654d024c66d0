/* numpy's .npy, version 1.0 (2.0 is read too): C order, little-endian, i32, i64, u32, f32 or f64, one or two dimensions.
 * What is written has numpy's own header bytes; the data start at a multiple of 64 bytes, so a mapped file can be used in place. */
#ifndef CS_FMT_NPY_H
#define CS_FMT_NPY_H

#include "base/dtype.h"
#include "base/error.h"

/* A view; owns nothing. */
typedef struct cs_npy {
    cs_dtype dtype;
    int ndim; /* 1 or 2 */
    int64_t shape[2]; /* shape[1] = 1 for one dimension */
    const uint8_t *data; /* aligned to the element size when the file's bytes are 64-byte aligned and numpy wrote them */
} cs_npy;

/* CS_E_FORMAT for anything else, for a shape that does not fit the number of bytes and for trailing bytes. `name` is for messages only. */
cs_status cs_npy_parse(cs_npy *a, const uint8_t *bytes, size_t size, const char *name, cs_error *err);

enum { CS_NPY_HEAD_MAX = 192 };
/* The header for an array of that shape into head[CS_NPY_HEAD_MAX]; returns its length, a multiple of 64. */
size_t cs_npy_header(char *head, cs_dtype dtype, int ndim, const int64_t shape[2]);
/* Whole file, atomically (io.h). CS_E_IO, CS_E_NOMEM. */
cs_status cs_npy_write(const char *path, cs_dtype dtype, int ndim, const int64_t shape[2], const void *data, cs_error *err);

#endif
