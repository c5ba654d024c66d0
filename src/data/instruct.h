/* Instruction data: PREFIX_packed_{input_ids,attention_mask,labels}_document.{bin,idx}, record i of the three being of one length. Labels are token
 * ids, or -100 where nothing is learnt.
 * Row i of a record has token i and is trained on label i+1. What AscendSpeed pads is left out here, because it changes no number: there is no
 * padding on the right, a row whose mask is 0 is nobody's key and is not trained, and rows behind the last trained one are nobody's business. */
#ifndef CS_DATA_INSTRUCT_H
#define CS_DATA_INSTRUCT_H

#include "fmt/idxbin.h"

enum { CS_LABEL_IGNORED = -100 };

typedef struct cs_instruct {
    cs_idxbin ids, mask, labels;
} cs_instruct;

/* `prefix` without or with "_packed" or "_packed_input_ids_document" at its end; out (CS_E_NOMEM: NULL) gets the prefix without it, to be freed with
 * cs_free. */
cs_status cs_instruct_prefix(const char *prefix, char **out, cs_error *err);
/* Maps the three pairs of a prefix from cs_instruct_prefix. CS_E_FORMAT when they do not belong together, CS_E_IO, CS_E_NOMEM. Nothing to release on
 * failure. */
cs_status cs_instruct_init(cs_instruct *in, const char *prefix, cs_error *err);
void cs_instruct_release(cs_instruct *in);

/* Rows of a record at most, whatever its mask is: its tokens but the last, at most `limit`. */
int64_t cs_instruct_rows(const cs_instruct *in, int64_t record, int64_t limit);
/* Rows of a record through its last trained one, of the first `limit`; 0 = none is. Reads from the end on. CS_E_FORMAT for tokens that are none. */
cs_status cs_instruct_trained_rows(const cs_instruct *in, int64_t record, int64_t limit, int64_t *rows, cs_error *err);

/* The rows of a micro-batch that grows (data/batch.h). */
typedef struct cs_batch_rows {
    int64_t n, n_seq;
    int64_t *seq_start; /* [n_seq], room for one more than there are rows */
    int32_t *tokens, *labels, *pos;
    float *weights;
} cs_batch_rows;

/* Appends a record as a sequence of its own, at most `limit` rows; one without a trained token appends nothing. work [3*limit].
 * CS_E_FORMAT for ids outside of 0..vocab-1, labels that are neither that nor -100, masks that are neither 0 nor 1. */
cs_status cs_instruct_append(const cs_instruct *in, int64_t record, int64_t limit, int64_t vocab, int32_t *work, cs_batch_rows *to, cs_error *err);

#endif
