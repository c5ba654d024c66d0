/* The records of all inputs, one after another: the place where input files are opened. */
#ifndef CS_DATA_FEED_H
#define CS_DATA_FEED_H

#include "data/inputs.h"

typedef struct cs_feed cs_feed;

typedef struct cs_record {
    const char *text; /* borrowed until the next call; NULL = no more records */
    size_t len;
    int64_t line;     /* where it begins, from 1 */
    const char *file; /* its name for messages; lives as long as the inputs */
    bool json;        /* one JSON text (see records.h), else plain text */
} cs_record;

/* `in` is borrowed. CS_E_NOMEM. */
cs_status cs_feed_create(const cs_inputs *in, cs_feed **out, cs_error *err);
void cs_feed_destroy(cs_feed *s);
/* Only these members of a record are needed (borrowed); see cs_records_want. */
void cs_feed_want(cs_feed *s, const cs_strlist *keys);
/* The next record into *rec. CS_E_FORMAT (see cs_records_next; a file without any byte is bad too), CS_E_IO, CS_E_NOMEM. After CS_E_FORMAT the next
 * call goes on behind what is bad: with the next record, or with the next file when *lost (NULL allowed) is true. */
cs_status cs_feed_next(cs_feed *s, cs_record *rec, bool *lost, cs_error *err);
/* Bytes of the input files used so far. */
int64_t cs_feed_consumed(const cs_feed *s);

#endif
