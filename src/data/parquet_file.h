/* A Parquet file as a source of records. */
#ifndef CS_DATA_PARQUET_FILE_H
#define CS_DATA_PARQUET_FILE_H

#include "fmt/parquet.h"

typedef struct cs_parquet_file cs_parquet_file;

/* Opens `path` (borrowed) if it is a regular file that begins like Parquet; else *out = NULL, which is an error only with `must`.
 * CS_E_FORMAT with the offset; CS_E_IO; CS_E_NOMEM. */
cs_status cs_parquet_file_create(const char *path, bool must, cs_parquet_file **out, cs_error *err);
void cs_parquet_file_destroy(cs_parquet_file *f);
/* As cs_parquet_rows_want. */
void cs_parquet_file_want(cs_parquet_file *f, const char *const *keys, size_t n_keys);
/* As cs_parquet_rows_next. */
cs_status cs_parquet_file_next(cs_parquet_file *f, const char **text, size_t *len, int64_t *row, cs_error *err);
/* The part of the file's bytes that the rows given so far stand for. */
int64_t cs_parquet_file_consumed(const cs_parquet_file *f);

#endif
