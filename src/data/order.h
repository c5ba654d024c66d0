/* The order in which the samples of an instruction set are read: whole epochs, each a shuffle of all units, until there are more than are wanted.
 * A unit is a record, or with packing a row of several. Drawn from one RandomState(seed), hence a pure function of the key. */
#ifndef CS_DATA_ORDER_H
#define CS_DATA_ORDER_H

#include "base/error.h"
#include "base/io.h"

typedef struct cs_order_key {
    int64_t n_unit;     /* >= 1 */
    int64_t n_wanted;   /* >= 1 */
    int64_t seed;       /* 0 .. 2^32-1 */
    int64_t row_length; /* of packed rows; 0 = a unit is a record */
} cs_order_key;

typedef struct cs_order {
    int64_t n;          /* whole epochs: the least multiple of n_unit above n_wanted */
    const int64_t *at;  /* [n] unit numbers from 0 on */
    int64_t *owned;     /* when built in memory */
    cs_map map;         /* when mapped from the cache */
    char *path;
} cs_order;

/* CS_E_USAGE (more than 2^63 samples), CS_E_NOMEM. */
cs_status cs_order_build(cs_order *o, const cs_order_key *key, cs_error *err);
/* Maps PREFIX_NAME_indexmap_{n}ns_{seed}s_decoder_packed_shuffle_idx.npy (AscendSpeed's file), or for packed rows
 * PREFIX_NAME_indexmap_{n}ns_{row_length}sl_{seed}s_decoder_rows_shuffle_idx.npy, after checking that every epoch in it is a permutation.
 * CS_E_FORMAT, CS_E_IO when it cannot be used. */
cs_status cs_order_load(cs_order *o, const cs_order_key *key, const char *prefix, const char *name, cs_error *err);
/* Writes that file atomically. CS_E_IO. */
cs_status cs_order_save(const cs_order *o, const cs_order_key *key, const char *prefix, const char *name, cs_error *err);
void cs_order_release(cs_order *o);

#endif
