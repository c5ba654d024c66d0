/* Values of Parquet columns as JSON. */
#ifndef CS_FMT_PARQUET_PUT_H
#define CS_FMT_PARQUET_PUT_H

#include "fmt/parquet_value.h"

/* A string of JSON from UTF-8; false when it is none, and a part of it may have been added. */
bool cs_parquet_put_text(cs_str *out, const void *text, size_t n);
/* A value of the leaf's form. NULL, or what is wrong with it. */
const char *cs_parquet_put(cs_str *out, const cs_parquet_leaf *leaf, cs_view value);

#endif
