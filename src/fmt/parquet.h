/* Parquet files: the footer, and the rows as texts of JSON. The file is mapped whole by the caller; of the wanted columns one page and one dictionary
 * at a time are unpacked, so memory is bounded by the pages, not by the file. Metadata that other programs put into a file (ARROW:schema and the
 * like) is not looked at. Pure.
 * A row is one line, an object with the columns as members:
 *   BOOLEAN, INT32, INT64    true, false, integers (unsigned where the file says so); dates and times are the integers that are stored
 *   INT96                    nanoseconds since 1970 as an integer
 *   FLOAT, DOUBLE            the shortest number that reads back as the same value of that type (FLOAT16 as FLOAT); null for NaN and infinities
 *   DECIMAL                  a string with all digits, "-12.30"
 *   BYTE_ARRAY               a string; what is no UTF-8 is refused
 *   FIXED_LEN_BYTE_ARRAY     hexadecimal digits; a UUID with its dashes
 *   LIST (of three levels or two), a repeated field: an array; MAP: an array of [key, value]; other groups: an object; what is missing: null */
#ifndef CS_FMT_PARQUET_H
#define CS_FMT_PARQUET_H

#include "base/mem.h"

typedef enum cs_parquet_type {
    CS_PARQUET_BOOLEAN, CS_PARQUET_INT32, CS_PARQUET_INT64, CS_PARQUET_INT96, CS_PARQUET_FLOAT, CS_PARQUET_DOUBLE, CS_PARQUET_BYTES, CS_PARQUET_FIXED
} cs_parquet_type;

/* How a leaf's values are written. */
typedef enum cs_parquet_form {
    CS_FORM_BOOL, CS_FORM_INT, CS_FORM_UINT, CS_FORM_INT96, CS_FORM_FLOAT, CS_FORM_DOUBLE, CS_FORM_HALF, CS_FORM_TEXT, CS_FORM_HEX, CS_FORM_UUID,
    CS_FORM_DECIMAL
} cs_parquet_form;

typedef enum cs_parquet_shape {
    CS_SHAPE_LEAF,
    CS_SHAPE_STRUCT,
    CS_SHAPE_LIST_ELEMENT, /* the repeated child is the element */
    CS_SHAPE_LIST_WRAPPED, /* the repeated child holds the element */
    CS_SHAPE_MAP,
} cs_parquet_shape;

typedef struct cs_parquet_leaf {
    const char *logical; /* "STRING", "DATE", ...; NULL = none */
    uint32_t node;
    cs_parquet_type type;
    cs_parquet_form form;
    size_t width; /* bytes of a value, 0 for BYTE_ARRAY */
    int scale;    /* of a decimal */
    int def, rep; /* largest levels */
} cs_parquet_leaf;

/* The schema in pre-order; node 0 is the row. */
typedef struct cs_parquet_node {
    const char *name; /* UTF-8, not terminated; borrowed from the file */
    size_t name_len;
    uint32_t end;     /* node behind the last one inside */
    uint32_t leaf, n_leaves; /* the leaves inside */
    cs_parquet_shape shape;
    enum { CS_PARQUET_REQUIRED, CS_PARQUET_OPTIONAL, CS_PARQUET_REPEATED } repetition;
    int def, rep; /* levels at which it is there */
} cs_parquet_node;

/* One column of one row group. */
typedef struct cs_parquet_chunk {
    int64_t codec, n_values, unpacked_bytes;
    uint32_t encodings; /* bit i: encoding number i */
    size_t start, bytes; /* pages lie in [start, start + bytes) of the file */
} cs_parquet_chunk;

typedef struct cs_parquet_group {
    size_t at; /* offset of its description in the file */
    int64_t n_rows;
} cs_parquet_group;

typedef struct cs_parquet {
    const uint8_t *bytes; /* of the file; borrowed, as the name */
    size_t size, footer;  /* footer: offset where pages must end */
    const char *name;
    const char *writer;   /* created_by, not terminated; "" when absent */
    size_t writer_len;
    size_t slack; /* bytes that a column's pages may reach beyond the size in its metadata, for a writer that did not count a page header */
    int64_t n_rows;
    cs_parquet_node *nodes;
    cs_parquet_leaf *leaves;
    cs_parquet_group *groups;
    size_t n_nodes, n_leaves, n_groups;
} cs_parquet;

/* True when the bytes begin (and, where the first page does not say enough, end) like a Parquet file. */
bool cs_parquet_is(const uint8_t *bytes, size_t size);
/* Reads and checks the footer of the file bytes[0..size), which must outlive `p`. CS_E_FORMAT with the offset; CS_E_NOMEM. On failure nothing is
 * held. */
cs_status cs_parquet_init(cs_parquet *p, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
void cs_parquet_release(cs_parquet *p);
/* Row group `group` into chunks[n_leaves]. CS_E_FORMAT. */
cs_status cs_parquet_chunks(const cs_parquet *p, size_t group, cs_parquet_chunk *chunks, cs_error *err);
/* "a.list.element" of a leaf into buf, cut to n bytes. */
void cs_parquet_path(const cs_parquet *p, size_t leaf, char *buf, size_t n);
/* "INT64", ...; "SNAPPY", ...; "PLAIN", ...; "unknown" for other numbers. */
const char *cs_parquet_type_name(cs_parquet_type type);
const char *cs_parquet_codec_name(int64_t codec);
const char *cs_parquet_encoding_name(int encoding);

typedef struct cs_parquet_rows cs_parquet_rows;
/* The rows of `p` (which must outlive them) in order. `limit`: most bytes of one row. CS_E_NOMEM. */
cs_status cs_parquet_rows_create(const cs_parquet *p, size_t limit, cs_parquet_rows **out, cs_error *err);
void cs_parquet_rows_destroy(cs_parquet_rows *r);
/* Before the first row: only the columns of these names are decoded and become members; names that are no columns are passed over. */
void cs_parquet_rows_want(cs_parquet_rows *r, const char *const *keys, size_t n_keys);
/* The next row: *text (borrowed until the next call; UTF-8 and free of line ends) and its number from 1; *text = NULL at the end. CS_E_FORMAT names
 * file, offset of the page, row group and column; CS_E_NOMEM. After an error there are no more rows. */
cs_status cs_parquet_rows_next(cs_parquet_rows *r, const char **text, size_t *len, int64_t *row, cs_error *err);

#endif
