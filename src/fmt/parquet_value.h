/* Values of a page, one at a time, in any encoding: a view of their bytes (little-endian words, the bytes of a string). Pure. */
#ifndef CS_FMT_PARQUET_VALUE_H
#define CS_FMT_PARQUET_VALUE_H

#include "base/str.h"
#include "fmt/parquet.h"
#include "fmt/parquet_bits.h"

enum {
    CS_ENC_PLAIN = 0, CS_ENC_PLAIN_DICTIONARY = 2, CS_ENC_RLE = 3, CS_ENC_BIT_PACKED = 4, CS_ENC_DELTA = 5,
    CS_ENC_DELTA_LENGTH = 6, CS_ENC_DELTA_BYTES = 7, CS_ENC_DICTIONARY = 8, CS_ENC_SPLIT = 9
};

typedef struct cs_view {
    const uint8_t *p;
    size_t n;
} cs_view;

typedef struct cs_values {
    int64_t encoding;
    cs_parquet_type type;
    size_t width; /* bytes of a value, 0 = as the value says */
    const uint8_t *at, *end;
    size_t bit, n_split;
    cs_runs runs;
    cs_deltas deltas, lengths;
    const cs_view *dict; /* [n_dict], borrowed */
    size_t n_dict;
    cs_str *held;        /* memory of the value handed out last, where it is in one piece nowhere else; borrowed */
    uint8_t word[8];
} cs_values;

/* p[0..n) are the values of a page, which outlive `v`. `held` is working memory that the caller keeps from page to page. NULL, or what is wrong. */
const char *cs_values_init(cs_values *v, const cs_parquet_leaf *leaf, int64_t encoding, const uint8_t *p, size_t n, cs_str *held);
/* The next value, borrowed until the next call. NULL, or what is wrong; out of memory sets held->failed. */
const char *cs_values_next(cs_values *v, cs_view *out);

#endif
