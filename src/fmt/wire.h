/* The protobuf wire format. Reading: varints of at most 10 bytes, lengths within what is left, no groups. Pure. */
#ifndef CS_FMT_WIRE_H
#define CS_FMT_WIRE_H

#include "base/str.h"

/* A message being read; [at, end) are offsets into bytes of the whole file, so that errors name file offsets. */
typedef struct cs_wire {
    const uint8_t *bytes;
    size_t at, end;
    const char *name; /* for messages */
} cs_wire;

typedef struct cs_wire_field {
    uint32_t number, type; /* type: 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
    size_t at;             /* offset of the field's key */
    uint64_t value;        /* varint, fixed32 or fixed64 bits */
    cs_wire sub;           /* type 2: its payload, a message or a string */
} cs_wire_field;

/* Reads the next field; *more = false at the end of the message. CS_E_FORMAT with the offset. */
cs_status cs_wire_next(cs_wire *w, cs_wire_field *out, bool *more, cs_error *err);
/* CS_E_FORMAT unless the field has the wire type that its number must have. */
cs_status cs_wire_want(const cs_wire *w, const cs_wire_field *f, uint32_t type, cs_error *err);

/* Writing: each appends one field; out of memory sets out->failed. */
void cs_wire_put_varint(cs_str *out, uint32_t number, uint64_t value);
void cs_wire_put_float(cs_str *out, uint32_t number, float value);
void cs_wire_put_double(cs_str *out, uint32_t number, double value);
void cs_wire_put_bytes(cs_str *out, uint32_t number, const void *data, size_t n);

#endif
