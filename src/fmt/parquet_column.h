/* One column of one row group: pages in order, of which one and the dictionary are unpacked at a time, and in them levels and values. */
#ifndef CS_FMT_PARQUET_COLUMN_H
#define CS_FMT_PARQUET_COLUMN_H

#include "fmt/parquet.h"
#include "fmt/parquet_codec.h"
#include "fmt/parquet_value.h"

typedef struct cs_column {
    const cs_parquet *p;
    const cs_parquet_leaf *leaf;
    size_t group;
    int64_t codec;
    size_t at, end;     /* of the pages to come, offsets in the file */
    int64_t chunk_left; /* values in them */
    size_t page_at;     /* offset of the current page */
    int64_t n_pages;    /* begun so far */
    int64_t page_left;  /* values left in the page */
    uint8_t *page;      /* unpacked page, memory kept */
    size_t page_cap;
    uint8_t *dict_page;
    size_t dict_page_cap;
    cs_view *dict;
    size_t n_dict, dict_cap;
    bool has_dict;
    cs_runs reps, defs;
    cs_values values;
    cs_str held;
    bool loaded;
    int rep, def;
} cs_column;

/* Before the first use: zeroed, then p and leaf set. */
void cs_column_release(cs_column *c);
/* Starts on a row group. */
void cs_column_begin(cs_column *c, size_t group, const cs_parquet_chunk *chunk);
/* Levels of the next value into c->rep and c->def, both -1 behind the last. Stays there until `loaded` is cleared, which passes on to the next.
 * CS_E_FORMAT, CS_E_NOMEM. */
cs_status cs_column_peek(cs_column *c, cs_unpacker *u, cs_error *err);
/* The value at the peeked place, whose `def` must be the leaf's; borrowed until the next call. */
cs_status cs_column_value(cs_column *c, cs_view *out, cs_error *err);
/* CS_E_FORMAT "file: offset N: row group, column, page: what". */
cs_status cs_column_fail(const cs_column *c, const char *what, cs_error *err);

#endif
