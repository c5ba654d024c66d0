/* Which records share a row: best fit of the longest first. Records of equal length come in an order drawn from RandomState(seed), so that neighbours
 * of the file are not neighbours in a row. A pure function of (lengths, room, seed): every rank and every resumed run finds the same rows. */
#ifndef CS_DATA_PACKING_H
#define CS_DATA_PACKING_H

#include "base/error.h"

typedef struct cs_packing {
    int64_t n_rows, n_records; /* records of length 0 are in no row */
    int64_t filled;            /* sum of the lengths of all records in rows */
    int64_t *start;            /* [n_rows+1] where a row begins in record */
    int32_t *record;           /* [n_records] record numbers */
} cs_packing;

/* length [n], 0 <= length[i] <= room, n <= 2^31-1. CS_E_NOMEM. */
cs_status cs_packing_init(cs_packing *p, const int32_t *length, int64_t n, int64_t room, int64_t seed, cs_error *err);
void cs_packing_release(cs_packing *p);

#endif
