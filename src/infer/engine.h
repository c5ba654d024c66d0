/* A model ready to be used: weights, tokenizer, and what generation_config.json says. */
#ifndef CS_INFER_ENGINE_H
#define CS_INFER_ENGINE_H

#include "base/options.h"
#include "model/model.h"
#include "text/tokenizer.h"

#include <jansson.h>

typedef struct cs_engine_options {
    const char *load;      /* model folder, checkpoint or run folder */
    const char *tokenizer; /* NULL = the one in the model folder */
    int dtype;             /* 0 auto (the checkpoint's own), 1 f32, 2 bf16, 3 f64, 4 fp16 */
} cs_engine_options;

extern const cs_option cs_engine_option_rows[];
extern const size_t cs_engine_n_option_rows;

typedef struct cs_engine {
    cs_model *model;
    cs_tokenizer *tok;   /* NULL: none was asked for so far */
    char *dir;           /* the folder that was loaded */
    int32_t bos;         /* -1 = none; the tokenizer's, else config.json's */
    cs_ids eos;          /* ids that end a text: generation_config.json, else config.json, else the tokenizer given to init */
    json_t *generation;  /* generation_config.json, NULL when there is none */
    char generation_name[512];
} cs_engine;

/* Resolves, loads and checks. CS_E_USAGE (no --load, a file where a folder belongs), else as cs_ckpt_* and cs_tokenizer_create. */
cs_status cs_engine_init(cs_engine *e, const cs_engine_options *o, bool with_tokenizer, cs_error *err);
void cs_engine_release(cs_engine *e);
/* Loads the tokenizer (`path` NULL = the one in the model folder) unless there is one already. As cs_tokenizer_create. */
cs_status cs_engine_load_tokenizer(cs_engine *e, const char *path, cs_error *err);

/* Appends the ids of a prompt with the tokenizer's special tokens; an empty prompt is BOS alone. `what` names the prompt in messages.
 * CS_E_USAGE when nothing comes out or there are more ids than positions; CS_E_FORMAT when the tokenizer does not fit the model. */
cs_status cs_engine_encode(const cs_engine *e, const char *text, size_t len, const char *what, cs_ids *out, cs_error *err);
/* Ids within the vocabulary (CS_E_USAGE naming the position), not empty, not more than the model's positions (CS_E_USAGE). */
cs_status cs_engine_check_ids(const cs_engine *e, const int32_t *ids, size_t n, const char *what, cs_error *err);

/* A batch for inference over arrays that the caller fills: n_seq sequences, ids one after the other. */
typedef struct cs_rows {
    int64_t max_rows, max_seq, rows, n_seq;
    int64_t *seq_start; /* [max_seq+1] */
    int32_t *tokens, *pos; /* [max_rows] */
} cs_rows;
/* CS_E_NOMEM. */
cs_status cs_rows_init(cs_rows *r, int64_t max_rows, int64_t max_seq, cs_error *err);
void cs_rows_release(cs_rows *r);
void cs_rows_clear(cs_rows *r);
/* Adds a sequence of n ids whose first stands at position `pos`. There must be room. */
void cs_rows_add(cs_rows *r, const int32_t *ids, int64_t n, int64_t pos);
/* Borrowed view; labels and weights are NULL. */
cs_batch cs_rows_batch(const cs_rows *r);

#endif
