/* Which keys of a record hold what, for the handlers alpaca, sharegpt and openai: their own names, or those of an entry in a dataset_info.json as
 * LLaMA-Factory has it. */
#ifndef CS_DATA_COLUMNS_H
#define CS_DATA_COLUMNS_H

#include "base/error.h"
#include "base/mem.h"

/* Keys; NULL = there is none. */
typedef struct cs_columns {
    const char *prompt, *query, *response, *history; /* alpaca: question, more of it, answer, [[question, answer], ..] before */
    const char *messages;                            /* sharegpt, openai: the list of turns */
    const char *system, *tools;
    const char *role_tag, *content_tag;                                        /* keys of a turn */
    const char *user_tag, *assistant_tag, *observation_tag, *function_tag, *system_tag; /* values of its role */
} cs_columns;

extern const cs_columns cs_columns_alpaca, cs_columns_sharegpt, cs_columns_openai;

/* An entry of dataset_info.json. */
typedef struct cs_dataset_entry {
    const char *file_name; /* as it stands there */
    bool sharegpt;         /* formatting; alpaca is the other one */
    int64_t num_samples;   /* 0 = all */
    cs_columns columns;
} cs_dataset_entry;

/* The entry `name` of the file at `path`, or with name NULL the one whose file_name ends with `file` as its last part; *found says whether there is
 * one. A missing `name` is CS_E_USAGE with the nearest one. Strings live in `perm`. CS_E_IO, CS_E_FORMAT (file, entry and key: wrong types; ranking
 * and other kinds of data set that are not for instruction tuning; data that would have to be fetched), CS_E_NOMEM. */
cs_status cs_dataset_entry_load(const char *path, const char *name, const char *file, cs_arena *perm, bool *found, cs_dataset_entry *out,
                                cs_error *err);

#endif
