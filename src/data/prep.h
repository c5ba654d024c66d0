/* Texts to token files: reader -> tokenizer threads -> ordered writer. The bytes written do not depend on the number of threads, nor does
 * which error is reported: the first one in the order of the input. Memory: a few batches of about 256 KiB of text a thread, or
 * one long record each. */
#ifndef CS_DATA_PREP_H
#define CS_DATA_PREP_H

#include "base/options.h"
#include "data/inputs.h"
#include "text/tokenizer.h"

typedef struct cs_prep_config {
    const cs_tokenizer *tokenizer;
    const cs_inputs *inputs;
    cs_strlist keys;       /* JSON keys; each makes PREFIX_KEY_document */
    const char *prefix;
    bool append_eod;       /* the tokenizer has an EOS */
    bool skip_bad;         /* bad records are counted and left out, and so is the rest of a file that cannot be read on */
    int64_t workers;       /* tokenizer threads, 1..256 */
    int64_t log_interval;  /* a line every so many documents; 0 = progress bar */
} cs_prep_config;

typedef struct cs_prep_counts {
    int64_t documents, empty, bad; /* empty: texts without bytes or tokens; bad: records skipped */
    int64_t text_bytes, tokens;
    double seconds;
} cs_prep_counts;

/* Writes PREFIX_KEY_document.{bin,idx} for every key, or none of them. Texts with more than one key count once a key.
 * CS_E_FORMAT (bad record with file and line; no documents at all), CS_E_IO, CS_E_NOMEM, CS_E_USAGE (text files need the key "text"). */
cs_status cs_preprocess_run(const cs_prep_config *cfg, cs_prep_counts *counts, cs_error *err);

#endif
