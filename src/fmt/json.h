/* JSON trees (jansson) behind one gate. All ways into it refuse: nesting deeper than 64, more than 256 MiB, an integer outside of -2^63..2^63-1, a
 * real beyond a double, NaN and Infinity, anything but UTF-8, a NUL byte, a byte order mark, text behind the value. An escaped NUL is kept in a
 * string and read as U+FFFD in a key. Messages: "name:line:column: expected ..., found ...". Linear time: the scan is one pass, jansson's tables are
 * seeded at random. Pure: bytes in, tree out. */
#ifndef CS_FMT_JSON_H
#define CS_FMT_JSON_H

#include "base/error.h"
#include "base/str.h"

#include <jansson.h>

/* The strict gate, for everything a model or a program is made from. Exactly one JSON value, white space around it allowed; a repeated key and a
 * lone surrogate are errors. `name` is only for messages ("dir/config.json" or "data.jsonl:17"). CS_E_FORMAT, CS_E_NOMEM. Free with json_decref. */
cs_status cs_json_parse(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err);
/* The lenient gate, for records that other programs wrote: of a repeated key the last value counts, a lone surrogate is read as U+FFFD. */
cs_status cs_json_parse_lenient(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err);
/* As cs_json_parse_lenient, for the record that begins in line `line` of the file `name`: messages have the file's lines. */
cs_status cs_json_parse_record(const char *bytes, size_t len, const char *name, int64_t line, json_t **out_create, cs_error *err);
/* The strict gate, but an integer beyond int64 is read as a real of 14 digits or more: tokenizer_config.json has "model_max_length":
 * 1000000000000000019884624838656. */
cs_status cs_json_parse_config(const char *bytes, size_t len, const char *name, json_t **out_create, cs_error *err);
/* Reads a whole file of at most `limit` bytes through io.c and parses it. Adds CS_E_IO. */
cs_status cs_json_load(const char *path, size_t limit, json_t **out_create, cs_error *err);
/* Serialises with the given indent (0 = one line) and sorted = insertion order; floats keep 17 digits. Appends to *out. */
cs_status cs_json_dump(const json_t *value, int indent, cs_str *out, cs_error *err);

/* Typed members of an object. A missing or null key leaves *out as it is; a wrong type is CS_E_FORMAT naming `name` and key. */
cs_status cs_json_get_int(const json_t *obj, const char *key, const char *name, int64_t *out, cs_error *err);
cs_status cs_json_get_real(const json_t *obj, const char *key, const char *name, double *out, cs_error *err);
cs_status cs_json_get_bool(const json_t *obj, const char *key, const char *name, bool *out, cs_error *err);
cs_status cs_json_get_str(const json_t *obj, const char *key, const char *name, const char **out, cs_error *err); /* borrowed from obj */

#endif
