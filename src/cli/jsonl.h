/* One JSON object per line, from memory. */
#ifndef CS_CLI_JSONL_H
#define CS_CLI_JSONL_H

#include "fmt/json.h"

typedef struct cs_jsonl {
    const char *at, *end;
    const char *path; /* for messages */
    int64_t line;     /* of the last object, from 1 */
    char name[600];   /* "path:line" of it */
} cs_jsonl;

/* Over bytes[0..len), borrowed. */
void cs_jsonl_init(cs_jsonl *it, const char *bytes, size_t len, const char *path);
/* The next object (json_decref it), *out = NULL at the end. Blank lines are passed over. CS_E_FORMAT naming path and line. */
cs_status cs_jsonl_next(cs_jsonl *it, json_t **out, cs_error *err);

#endif
