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

/* A growing list of paths; what it outgrows is thrown away in the arena. Zero-initialised but for `perm` = empty. */
typedef struct cs_paths {
    cs_arena *perm;
    const char **items;
    size_t n, cap;
} cs_paths;
/* `path` must live as long as the list. CS_E_NOMEM. */
cs_status cs_paths_add(cs_paths *paths, const char *path, cs_error *err);
/* The same for a data file. CS_E_FORMAT for a script and for kinds that are not read. */
cs_status cs_paths_add_data(cs_paths *paths, const char *path, cs_error *err);
/* The commonest kind among the paths or names, of equals the one that comes first; CS_INPUT_OTHER where none has a known extension. */
cs_input_kind cs_paths_commonest(const char *const *names, size_t n);

/* A border inside a sequence of records: the record of that number, from its end when negative; percent: of their number. */
typedef struct cs_input_bound {
    bool given, percent;
    int64_t value;
} cs_input_bound;

/* Files whose records are one sequence, of which [from, to) is read. `files` live in an arena. */
typedef struct cs_input_part {
    cs_strlist files;
    cs_record_kind kind;
    cs_input_bound from, to;
} cs_input_part;

/* Everything that is read, part after part. */
typedef struct cs_inputs {
    cs_input_part *parts;
    size_t n, n_files;
    int64_t bytes; /* sum of the sizes, 0 when stdin is among them */
} cs_inputs;

/* One part: files in the order given. A folder stands for its files of the commonest of the seven extensions (of equals the one whose first file
 * comes first), sorted bytewise; a folder without such files, but with folders that have some, for its training split (hf_folder.h). What is no file
 * and has * ? or [ in it is a pattern (glob.h). "-" is stdin. All of it lives in `perm`.
 * CS_E_IO (missing, pipe), CS_E_FORMAT (script, kind that is not read, folder without data), CS_E_NOMEM. */
cs_status cs_inputs_expand(const cs_strlist *given, cs_record_kind kind, cs_arena *perm, cs_inputs *out, cs_error *err);
/* Sets n_files and bytes from the parts. */
void cs_inputs_count(cs_inputs *in);

#endif
