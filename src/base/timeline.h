/* What a rank did when: spans of time, recorded while they happen, read afterwards. Memory is taken once; what does not fit is counted. */
#ifndef CS_BASE_TIMELINE_H
#define CS_BASE_TIMELINE_H

#include "base/error.h"

typedef enum cs_span_kind {
    CS_SPAN_FORWARD, CS_SPAN_BACKWARD, /* of a chunk on a micro-batch, the collectives within it included */
    CS_SPAN_RECEIVE,                   /* waiting for another stage */
    CS_SPAN_SEND,
    CS_SPAN_COLLECTIVE,                /* of the tensor parallel group, within a pass */
    CS_SPAN_REDUCE,                    /* gradients over the data-parallel ranks: begun early, or completed */
    CS_SPAN_NORM, CS_SPAN_UPDATE, CS_SPAN_DATA, CS_SPAN_COUNT
} cs_span_kind;

typedef struct cs_time_span {
    double begin, end; /* cs_clock_now */
    int32_t kind, chunk;
    int64_t micro, step; /* chunk, micro: -1 = not of one */
} cs_time_span;

typedef struct cs_timeline {
    cs_time_span *span; /* [cap]; NULL = nobody records */
    int64_t n, cap, lost;
    int64_t step; /* of the spans that are added from now on */
    bool on;
} cs_timeline;

/* Room for `cap` spans; off until `on` is set. CS_E_NOMEM. */
cs_status cs_timeline_init(cs_timeline *t, int64_t cap, cs_error *err);
void cs_timeline_release(cs_timeline *t);
/* "forward", "receive", ... Borrowed constant. */
const char *cs_span_name(int32_t kind);

/* The time now if t records, else 0; t may be NULL. */
double cs_span_begin(const cs_timeline *t);
/* Adds the span from `begin` (of cs_span_begin) to now. */
void cs_span_end(cs_timeline *t, double begin, cs_span_kind kind, int32_t chunk, int64_t micro);

#endif
