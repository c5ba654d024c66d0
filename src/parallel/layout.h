/* How a model is laid out over ranks: TP x PP x DP, chunks of an interleaved pipeline, ZeRO stage, sequence parallelism, recomputation; its legality
 * and what follows from it. Arithmetic only: no communication, nothing is allocated. */
#ifndef CS_PARALLEL_LAYOUT_H
#define CS_PARALLEL_LAYOUT_H

#include "model/spec.h"

typedef enum cs_recompute { CS_RECOMPUTE_NONE, CS_RECOMPUTE_UNIFORM, CS_RECOMPUTE_BLOCK } cs_recompute;

typedef struct cs_layout {
    /* asked for */
    int64_t world, tp, pp;
    int64_t virtual_layers; /* layers of a chunk of an interleaved pipeline; 0 = one chunk per stage */
    int64_t zero;           /* ZeRO stage 0..3; 1 = distributed optimizer */
    bool sequence_parallel;
    int64_t micro_batch, global_batch; /* samples; global 0 = micro batch * dp */
    int64_t seq_length;
    cs_recompute recompute;
    int64_t recompute_layers; /* UNIFORM: of a group whose input alone is kept; BLOCK: the first ones of each chunk */
    bool inference;           /* the rules of batches and optimizer do not apply */
    /* filled by cs_layout_check */
    int64_t dp, chunks, n_micro;
} cs_layout;

/* Fills the derived fields. CS_E_USAGE with one line per broken rule, each with the legal values, appended to *err. `spec` NULL: the rules that need
 * no model. */
cs_status cs_layout_check(cs_layout *l, const cs_spec *spec, cs_error *err);

/* Forward results of so many (micro-batch, chunk) pairs wait for their backward on a stage at once: 1F1B, or interleaved as in Narayanan et al.,
 * "Efficient Large-Scale Language Model Training on GPU Clusters", 2021. */
int64_t cs_layout_in_flight(const cs_layout *l, int64_t stage);

/* Share of a step in which a stage waits: (p-1)/(m+p-1), divided by the chunks of an interleaved pipeline. */
double cs_layout_bubble(const cs_layout *l);

#endif
