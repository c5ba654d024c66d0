/* Texts to token files: reader -> tokenizer threads -> ordered writer. The bytes written do not depend on the number of threads, nor does
 * which error is reported: the first one in the order of the input. Memory: a few batches of about 256 KiB of text a thread, or
 * one long record each. */
#ifndef CS_DATA_PREP_H
#define CS_DATA_PREP_H

#include "base/dtype.h"
#include "base/options.h"
#include "data/handler.h"
#include "data/inputs.h"

typedef struct cs_prep_config {
    const cs_inputs *inputs;
    const cs_handler *handler;
    cs_columns columns;  /* of a handler that uses them */
    cs_strlist keys;     /* CS_HANDLER_KEYS: JSON keys, each makes an output */
    cs_strlist outputs;  /* names: output k is PREFIX_NAME_document; see cs_prep_outputs */
    cs_emit_rules rules; /* tokenizer and all */
    const char *prefix;
    int64_t max_records;  /* the first so many are read; 0 = all */
    bool skip_bad;        /* bad records are counted and left out, and so is the rest of a file that cannot be read on */
    int64_t workers;      /* tokenizer threads, 1..256 */
    int64_t log_interval; /* a line every so many documents; 0 = progress bar */
} cs_prep_config;

/* Names of the outputs of a handler; borrowed constants, or `keys`. */
cs_strlist cs_prep_outputs(const cs_handler *h, const cs_strlist *keys);
/* Tokens of samples are 32 bits (labels are negative), those of documents what the vocabulary needs. */
cs_dtype cs_prep_dtype(const cs_prep_config *cfg);

/* Writes PREFIX_NAME_document.{bin,idx} of every output, or none of them. Texts with more than one key count once a key.
 * CS_E_FORMAT (bad record with file and line; no documents at all), CS_E_IO, CS_E_NOMEM, CS_E_USAGE (text files need a handler that takes them and
 * the key "text"). */
cs_status cs_preprocess_run(const cs_prep_config *cfg, cs_prep_counts *counts, cs_error *err);

#endif
