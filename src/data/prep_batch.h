/* One batch of records on its way through preprocess: raw text in, token ids out. Owned by one thread at a time. */
#ifndef CS_DATA_PREP_BATCH_H
#define CS_DATA_PREP_BATCH_H

#include "data/prep.h"

typedef struct cs_prep_record {
    size_t at, len; /* in text */
    int64_t line;
    const char *file; /* borrowed, for messages */
    bool json;
} cs_prep_record;

typedef struct cs_prep_batch {
    cs_str text;
    cs_prep_record *records;
    size_t n, cap;
    cs_token_out *out; /* [outputs] */
    int64_t consumed; /* input bytes used up to the end of this batch */
    cs_prep_counts counts;
    cs_str skipped; /* messages of the first bad records, one a line */
    /* read_*: the reader stopped behind these records; *: a record of this batch cannot be used */
    cs_status read_status, status;
    cs_error read_err, err;
    bool last;
} cs_prep_batch;

enum { CS_PREP_TEXT_BYTES = 1 << 18, CS_PREP_RECORDS = 4096, CS_PREP_SKIPPED_SHOWN = 5 };

cs_status cs_prep_batch_init(cs_prep_batch *b, size_t n_out, cs_error *err);
void cs_prep_batch_release(cs_prep_batch *b, size_t n_out);
/* Empties it for the next use; memory that one long record took is given back. */
void cs_prep_batch_clear(cs_prep_batch *b, size_t n_out);
/* Copies a record in. CS_E_NOMEM. */
cs_status cs_prep_batch_add(cs_prep_batch *b, const char *text, size_t len, int64_t line, const char *file, bool json, cs_error *err);
/* Counts a record that could not be read; its message, with `tail` behind it, is kept if it is among the first, and *err is cleared. CS_E_NOMEM. */
cs_status cs_prep_batch_skip(cs_prep_batch *b, cs_error *err, const char *tail);
/* Tokenizes all records; sets status, err, counts, out and skipped. */
void cs_prep_batch_encode(cs_prep_batch *b, const cs_prep_config *cfg);

#endif
