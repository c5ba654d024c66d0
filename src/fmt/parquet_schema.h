/* The tree of columns from the schema elements of a footer. */
#ifndef CS_FMT_PARQUET_SCHEMA_H
#define CS_FMT_PARQUET_SCHEMA_H

#include "fmt/parquet.h"
#include "fmt/thrift.h"

/* Field 2 of FileMetaData, whose header has been read, into p->nodes and p->leaves. CS_E_FORMAT, CS_E_NOMEM; what was allocated stays in `p`. */
cs_status cs_parquet_schema_read(cs_parquet *p, cs_thrift *t, const cs_thrift_field *f, cs_error *err);

#endif
