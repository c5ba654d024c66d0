/* What the parts of `cspeed tokenize` share. Private to src/cli. */
#ifndef CS_CLI_TOKENIZE_H
#define CS_CLI_TOKENIZE_H

#include "base/str.h"
#include "text/tokenizer.h"

typedef struct cs_tokenize_config {
    const char *load, *tokenizer;
    bool jsonl, no_special, no_parse_special, keep_special, decode, pieces;
    int64_t workers; /* 0 = all threads */
} cs_tokenize_config;

/* One thread's part: what is asked for, working memory, and where results go. */
typedef struct cs_tokenize_job {
    const cs_tokenize_config *cfg;
    const cs_tokenizer *tok;
    bool json; /* results are JSON */
    cs_ids ids, ranges;
    cs_str *out;
} cs_tokenize_job;

void cs_tokenize_job_release(cs_tokenize_job *j);

/* Numbers between blanks, commas or brackets, in parts of any size. Zero-initialise. */
typedef struct cs_id_reader {
    int64_t id;
    bool inside;  /* a number has begun */
    size_t count; /* of numbers so far */
} cs_id_reader;
/* Appends the ids below `limit` that end in text[0..n); a last one ends at the end of everything: n = 0. CS_E_FORMAT naming the item; those before it
 * are there then. `name` is for messages. */
cs_status cs_id_reader_feed(cs_id_reader *r, const char *text, size_t n, int32_t limit, const char *name, cs_ids *out, cs_error *err);

/* Text to a line of ids or to pieces. */
cs_status cs_tokenize_encode(cs_tokenize_job *j, const char *text, size_t len, cs_error *err);
/* One line of --jsonl. */
cs_status cs_tokenize_line(cs_tokenize_job *j, const char *line, size_t len, const char *name, cs_error *err);
/* j->ids as pieces without byte ranges. */
cs_status cs_tokenize_put_pieces(cs_tokenize_job *j, cs_error *err);

/* Hands text to standard output at once and empties it. *gone = nobody can take it: the reader went away or the disk is full, which main reports. */
cs_status cs_tokenize_write(cs_str *text, bool *gone, cs_error *err);

/* --jsonl: standard input line by line on `workers` threads, results in order; what is in front of the first bad line is written. */
cs_status cs_tokenize_lines(const cs_tokenize_config *cfg, const cs_tokenizer *tok, int workers, cs_error *err);

#endif
