/* Several data sets behind one another as one. */
#ifndef CS_DATA_MERGE_H
#define CS_DATA_MERGE_H

#include "base/options.h"

typedef struct cs_merge_counts {
    int64_t documents, sequences, tokens;
    bool samples; /* three pairs, counted once */
} cs_merge_counts;

/* inputs: at least one prefix, all of one kind. P names the pair P.{bin,idx}, which make OUTPUT.{bin,idx}, or the three pairs
 * P_packed_{input_ids,attention_mask,labels}_document, which make those of OUTPUT. All outputs appear or none; bytes are copied, holes as holes.
 * CS_E_IO (neither is there), CS_E_FORMAT (damaged, other tokens, the parts of a sample set are not of one length), CS_E_USAGE (both kinds),
 * CS_E_NOMEM. */
cs_status cs_merge_run(const cs_strlist *inputs, const char *output, cs_merge_counts *counts, cs_error *err);

#endif
