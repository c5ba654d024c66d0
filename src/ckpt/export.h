/* Writing a Hugging Face folder from any source of weights, one slice of a tensor at a time. */
#ifndef CS_CKPT_EXPORT_H
#define CS_CKPT_EXPORT_H

#include "base/str.h"
#include "ckpt/hf.h"
#include "fmt/llama2c.h"
#include "model/param.h"

/* Where weights come from: exactly one of `hf` and `l2c` is set. The table (names and shapes only) says what there is. */
typedef struct cs_source {
    cs_spec spec;
    cs_param_table table;
    cs_arena arena; /* owns the table's rows */
    cs_hf hf;
    cs_map map; /* of the llama2.c file */
    cs_llama2c l2c;
    bool is_l2c;
    char *dir;  /* folder of an HF source, owned; NULL else */
} cs_source;

/* Opens an HF folder, a checkpoint (checked against its manifest), a run folder or a llama2.c model file, told apart by content.
 * CS_E_IO, CS_E_FORMAT, CS_E_CKPT, CS_E_NOMEM. Release with cs_source_release, after a failure too. */
cs_status cs_source_init(cs_source *src, const char *path, cs_error *err);
void cs_source_release(cs_source *src);
/* The files' type of view i. */
cs_dtype cs_source_dtype(const cs_source *src, int64_t i);
/* Rows [lo, lo+n) of view i (elements for a vector), converted to `type`, into out. */
void cs_source_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out);

typedef struct cs_export_args {
    const char *output;      /* folder to make; must not exist or be empty */
    bool keep_dtype;
    cs_dtype dtype;          /* unless keep_dtype */
    size_t max_shard_bytes;  /* 0 = one file */
    const char *tokenizer;   /* file or folder to carry over instead of the source's own; NULL = the source's */
} cs_export_args;

/* Writes config.json, generation_config.json, weights and tokenizer files into a temporary folder that gets its name at the end.
 * *bytes_out (may be NULL) gets the bytes of all weights. CS_E_USAGE when `output` is not empty, CS_E_IO, CS_E_FORMAT, CS_E_NOMEM. */
cs_status cs_export_hf(const cs_source *src, const cs_export_args *args, size_t *bytes_out, cs_error *err);

#endif
