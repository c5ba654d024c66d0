/* Which files --input names. */
#ifndef CS_DATA_INPUTS_H
#define CS_DATA_INPUTS_H

#include "base/options.h"
#include "data/records.h"

/* By the extension, without .gz, .zst or .zstd behind it. */
typedef enum cs_input_kind {
    CS_INPUT_PARQUET, CS_INPUT_ARROW, CS_INPUT_CSV, CS_INPUT_TSV, CS_INPUT_JSON, CS_INPUT_JSONL, CS_INPUT_TXT, CS_INPUT_OTHER
} cs_input_kind;
cs_input_kind cs_input_kind_of(const char *path);

/* Files whose records are one sequence. `files` live in an arena. */
typedef struct cs_input_part {
    cs_strlist files;
    cs_record_kind kind;
} cs_input_part;

/* Everything that is read, part after part. */
typedef struct cs_inputs {
    cs_input_part *parts;
    size_t n, n_files;
    int64_t bytes; /* sum of the sizes, 0 when stdin is among them */
} cs_inputs;

/* One part: files in the order given; a folder stands for its files of the commonest of the seven extensions (of equals the one whose first file
 * comes first), sorted bytewise; "-" is stdin. All of it lives in `perm`.
 * CS_E_IO (missing, pipe), CS_E_FORMAT (script, kind that is not read, folder without data), CS_E_NOMEM. */
cs_status cs_inputs_expand(const cs_strlist *given, cs_record_kind kind, cs_arena *perm, cs_inputs *out, cs_error *err);

#endif
