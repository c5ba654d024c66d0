/* Where a run stands: what trainer/state.json holds besides the optimizer's tensors. */
#ifndef CS_TRAIN_STATE_H
#define CS_TRAIN_STATE_H

#include "base/str.h"
#include "optim/lr.h"
#include "optim/scaler.h"

#include <jansson.h>

typedef struct cs_train_state {
    int64_t step;             /* steps done, skipped ones included */
    int64_t consumed_samples; /* of the training set, skipped steps included */
    int64_t consumed_valid;   /* of the validation set */
    int64_t lr_samples;       /* samples of steps that were not skipped: where the learning rate stands */
    int64_t updates;          /* optimizer updates done (bias correction) */
    int64_t skipped, nan_steps;
    int64_t bad_in_a_row;
    cs_scaler scaler;         /* fp16; else scale 1 */
    /* since the last row of metrics.jsonl */
    double loss_sum;
    int64_t loss_count;
} cs_train_state;

/* What must be the same for the resumed run to repeat the unbroken one; also recorded. */
typedef struct cs_train_identity {
    int64_t seed, seq_length, global_batch, micro_batch, world, threads;
    const char *dtype, *isa, *gemm; /* kernel choices, replayed on resume */
    const char *optimizer;          /* cs_optimizer_rule_name */
    uint64_t data_hash, tokenizer_hash;
    bool dist_optimizer;
    cs_lr_schedule schedule;
} cs_train_identity;

cs_status cs_train_state_to_json(const cs_train_state *st, const cs_train_identity *id, cs_str *out, cs_error *err);
/* Reads both; id's strings are borrowed from `state`. Missing keys: CS_E_CKPT naming `name`. */
cs_status cs_train_state_from_json(const json_t *state, const char *name, cs_train_state *st, cs_train_identity *id, cs_error *err);

#endif
