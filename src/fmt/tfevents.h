/* TensorBoard event records: a record is u64 length | u32 masked crc32c of it | protobuf Event | u32 masked crc32c of that, little-endian.
 * Pure: struct -> bytes appended to a cs_str (a failed growth shows in cs_str_check). The caller owns the file: one per start of a run,
 * named events.out.tfevents.<unix>.<host>.<pid>.0, beginning with the version record. */
#ifndef CS_FMT_TFEVENTS_H
#define CS_FMT_TFEVENTS_H

#include "base/str.h"

typedef struct cs_tfevents_value {
    const char *tag; /* "lm_loss" */
    double value;    /* stored as float */
} cs_tfevents_value;

/* The first record of a file. wall_time: Unix seconds. */
void cs_tfevents_put_version(cs_str *out, double wall_time);
/* One record with n scalars of one step. */
void cs_tfevents_put_scalars(cs_str *out, double wall_time, int64_t step, const cs_tfevents_value *values, size_t n);
/* True when bytes[0..12) are a length and its checksum: the start of a record. */
bool cs_tfevents_length_ok(const uint8_t *bytes);
/* The record at *at of a whole file: its Event as offsets [*from, *to), *at moved behind it. *more = false at the end. CS_E_FORMAT with the
 * offset for a wrong checksum; a record that is cut off by the end of the file, as a killed writer leaves it, ends the reading: *cut = true. */
cs_status cs_tfevents_next(const uint8_t *bytes, size_t size, const char *name, size_t *at, size_t *from, size_t *to, bool *more, bool *cut,
                           cs_error *err);
/* CRC-32C (Castagnoli) of n bytes. */
uint32_t cs_crc32c(const void *data, size_t n);

#endif
