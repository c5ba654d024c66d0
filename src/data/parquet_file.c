/* See parquet_file.h. */
#include "data/parquet_file.h"

#include "base/io.h"
#include "fmt/limits.h"

#include <string.h>

struct cs_parquet_file {
    cs_map map;
    cs_parquet parquet;
    cs_parquet_rows *rows;
    int64_t given;
};

cs_status cs_parquet_file_create(const char *path, bool must, cs_parquet_file **out, cs_error *err)
{
    cs_map map;
    *out = NULL;
    if (!must && (strcmp(path, "-") == 0 || cs_io_kind(path, NULL) != CS_FILE_REGULAR))
        return CS_OK;
    CS_TRY(cs_map_init(&map, path, err));
    if (!must && !cs_parquet_is(map.data, map.size)) {
        cs_map_release(&map);
        return CS_OK;
    }
    cs_parquet_file *f = cs_calloc(1, sizeof *f);
    if (!f) {
        cs_map_release(&map);
        return cs_fail_nomem(err, sizeof *f, path);
    }
    f->map = map;
    cs_status s = cs_parquet_init(&f->parquet, map.data, map.size, path, err);
    if (s == CS_OK)
        s = cs_parquet_rows_create(&f->parquet, CS_LIMIT_RECORD_BYTES, &f->rows, err);
    if (s != CS_OK)
        cs_parquet_file_destroy(f);
    else
        *out = f;
    return s;
}

void cs_parquet_file_destroy(cs_parquet_file *f)
{
    if (!f)
        return;
    cs_parquet_rows_destroy(f->rows);
    cs_parquet_release(&f->parquet);
    cs_map_release(&f->map);
    cs_free(f);
}

void cs_parquet_file_want(cs_parquet_file *f, const char *const *keys, size_t n_keys)
{
    cs_parquet_rows_want(f->rows, keys, n_keys);
}

cs_status cs_parquet_file_next(cs_parquet_file *f, const char **text, size_t *len, int64_t *row, cs_error *err)
{
    cs_status s = cs_parquet_rows_next(f->rows, text, len, row, err);
    f->given += s == CS_OK && *text;
    return s;
}

int64_t cs_parquet_file_consumed(const cs_parquet_file *f)
{
    double part = f->parquet.n_rows > 0 ? (double)f->given / (double)f->parquet.n_rows : 1;
    return (int64_t)((double)f->map.size * part);
}
