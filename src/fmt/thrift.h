/* Reading of Thrift's compact protocol. Never reads past `end`: a list of n elements needs at least n bytes, what is inside what is skipped may be
 * CS_LIMIT_THRIFT_DEPTH deep. Pure. */
#ifndef CS_FMT_THRIFT_H
#define CS_FMT_THRIFT_H

#include "base/error.h"

typedef enum cs_thrift_type {
    CS_THRIFT_STOP, CS_THRIFT_TRUE, CS_THRIFT_FALSE, CS_THRIFT_I8, CS_THRIFT_I16, CS_THRIFT_I32, CS_THRIFT_I64, CS_THRIFT_DOUBLE, CS_THRIFT_BYTES,
    CS_THRIFT_LIST, CS_THRIFT_SET, CS_THRIFT_MAP, CS_THRIFT_STRUCT
} cs_thrift_type;

typedef struct cs_thrift {
    const uint8_t *bytes; /* of the whole file, so that errors name file offsets */
    size_t at, end;
    const char *name;
} cs_thrift;

typedef struct cs_thrift_field {
    int32_t id; /* 0 before the first field of a struct */
    cs_thrift_type type;
    size_t at;
} cs_thrift_field;

/* The header of the next field of a struct; *f is the one before, or zeroed. *more = false behind the last. CS_E_FORMAT with the offset, as all
 * functions here. */
cs_status cs_thrift_next(cs_thrift *t, cs_thrift_field *f, bool *more, cs_error *err);
/* The value of field `f`, which must have a fitting type: any integer, or true and false as 1 and 0. */
cs_status cs_thrift_int(cs_thrift *t, const cs_thrift_field *f, int64_t *out, cs_error *err);
/* *p is borrowed from the file. */
cs_status cs_thrift_bytes(cs_thrift *t, const cs_thrift_field *f, const uint8_t **p, size_t *n, cs_error *err);
/* Its elements follow, *n of `element`; integers of 16 to 64 bits stand for each other, as they are written alike. */
cs_status cs_thrift_list(cs_thrift *t, const cs_thrift_field *f, cs_thrift_type element, size_t *n, cs_error *err);
/* CS_E_FORMAT unless the field is a struct, whose fields then follow. */
cs_status cs_thrift_struct(cs_thrift *t, const cs_thrift_field *f, cs_error *err);
cs_status cs_thrift_skip(cs_thrift *t, const cs_thrift_field *f, cs_error *err);
/* An element of a list of integers. */
cs_status cs_thrift_element_int(cs_thrift *t, int64_t *out, cs_error *err);
/* A struct in which only integers matter: the field with id i in [1, n) goes to out[i] and sets bit i of *seen (n <= 32), others are skipped. */
cs_status cs_thrift_ints(cs_thrift *t, int64_t *out, int n, uint32_t *seen, cs_error *err);

#endif
