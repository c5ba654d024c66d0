/* The records of one input file: lines of text, the whole text, lines of JSON, the elements of one JSON array, or the rows of a table. Text and JSON
 * are handed out as they stand in the file (JSON is parsed by who needs it), a row as one JSON object (see csv.h and fmt/parquet.h), so that
 * cutting is cheap and one bad record does not hide the next. Memory: the longest record, at most CS_LIMIT_RECORD_BYTES bytes
 * (CS_LIMIT_DOCUMENT_BYTES for WHOLE), and a page of each wanted column of Parquet. */
#ifndef CS_DATA_RECORDS_H
#define CS_DATA_RECORDS_H

#include "base/error.h"

typedef enum cs_record_kind {
    CS_RECORD_AUTO,  /* Parquet by its first bytes; else by the name (.txt; .json, .jsonl; .csv, .tsv), else by the first bytes: JSON or text */
    CS_RECORD_LINES, /* one text a line, without its \n or \r\n */
    CS_RECORD_WHOLE,
    CS_RECORD_JSON, /* lines; one array when the first byte is '['; objects over several lines when the first line leaves one open */
    CS_RECORD_JSON_ARRAY,
    CS_RECORD_CSV, /* a file .csv may be delimited by tabs or ';' too: cs_csv_guess_delimiter */
    CS_RECORD_TSV,
    CS_RECORD_PARQUET,
} cs_record_kind;

typedef struct cs_records cs_records;

/* `path` ("-" is stdin) is borrowed. A byte order mark at the start is left out. Errors as cs_stream_create. */
cs_status cs_records_create(const char *path, cs_record_kind kind, cs_records **out, cs_error *err);
void cs_records_destroy(cs_records *r);
/* Before the first record: only members of these names are needed. Parquet then decodes these columns alone; other kinds stay as they are. */
void cs_records_want(cs_records *r, const char *const *keys, size_t n_keys);
/* What AUTO became. */
cs_record_kind cs_records_kind(const cs_records *r);
/* True when every record is one JSON text, false when it is plain text. */
bool cs_records_are_json(const cs_records *r);
/* The next record: *text (borrowed until the next call), its length and first line (from 1; of Parquet the row); *text = NULL at the end. Lines of
 * JSON and rows that hold only blanks are passed over. CS_E_FORMAT (record over the limit, array not closed, text behind it, row that is none,
 * damaged compressed data), CS_E_IO, CS_E_NOMEM. After CS_E_FORMAT the next call goes on behind what is bad; where nothing behind it can be read it
 * is at the end, and cs_records_lost is true. */
cs_status cs_records_next(cs_records *r, const char **text, size_t *len, int64_t *line, cs_error *err);
bool cs_records_lost(const cs_records *r);
/* True when the file unpacks to no byte at all; before the first cs_records_next. */
bool cs_records_empty(const cs_records *r);
int64_t cs_records_consumed(const cs_records *r);
const char *cs_records_name(const cs_records *r);

#endif
