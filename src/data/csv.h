/* Rows of comma or tab separated text (RFC 4180) as JSON objects. The first row names the columns; every value becomes a JSON string with the bytes
 * of its field: no number, date or NULL is guessed, so "007" and "NA" stay what they are, and an empty field is the empty string. A field that begins
 * with a quote ends with one, holds "" for a quote and may hold delimiters and line breaks; in any other field a quote is a character as others.
 * Pure: bytes in, bytes out. */
#ifndef CS_DATA_CSV_H
#define CS_DATA_CSV_H

#include "base/str.h"

/* How far a row reaches. Zero-initialised = at the start of a row. */
typedef struct cs_csv_cut {
    size_t at; /* bytes looked at so far */
    int state;
} cs_csv_cut;

/* Reads on at bytes[cut->at..n). True: the row is bytes[0, cut->at) and a line feed follows; false: it goes on behind n. */
bool cs_csv_cut_row(cs_csv_cut *cut, char delimiter, const char *bytes, size_t n);
/* True when a quote is open at the bytes looked at last. */
bool cs_csv_cut_open(const cs_csv_cut *cut);

/* What names a row's columns, and memory for one row. Zero-initialised, with a delimiter; release frees. */
typedef struct cs_csv {
    char delimiter;
    cs_str keys; /* "name": of every column, one after the other */
    size_t n_keys, cap;
    size_t *key_end; /* [n_keys] in keys */
    cs_str json, field;
} cs_csv;

void cs_csv_release(cs_csv *csv);
/* ',' unless the first line of bytes[0..n) has none and a tab or ';' outside of quotes, which is then the delimiter. */
char cs_csv_guess_delimiter(const char *bytes, size_t n);
/* The row that names the columns, without its line feed; `file` and `line` (of its first byte, from 1) are for messages "file:line:column: ...". A
 * column without a name is "Unnamed: i", i from 0. CS_E_FORMAT (a name twice or none at all, more than CS_LIMIT_CSV_COLUMNS, no UTF-8, wrong quotes),
 * CS_E_NOMEM. */
cs_status cs_csv_header(cs_csv *csv, const char *row, size_t n, const char *file, int64_t line, cs_error *err);
/* A row as one JSON object in csv->json, valid until the next call. CS_E_FORMAT (another number of fields than columns, no UTF-8, wrong quotes),
 * CS_E_NOMEM. */
cs_status cs_csv_row(cs_csv *csv, const char *row, size_t n, const char *file, int64_t line, cs_error *err);

#endif
