/* The allocations of one forward and backward, replayed on arenas without memory: the order and the sizes are those of model/model.c,
 * model/block.c and nn/, the growth that of the arenas in base/mem.c. */
#ifndef CS_PARALLEL_WALK_H
#define CS_PARALLEL_WALK_H

#include "parallel/memory.h"

typedef struct cs_activations {
    int64_t stash;   /* all slots in flight, each as large as the largest chunk of the stage, and what recomputation fills again */
    int64_t scratch; /* high-water mark, logits included */
    int64_t logits;  /* of one chunk, with the statistics of its rows */
    int64_t slot, refill; /* a stash; what layers keep that are computed again */
    int64_t slack;   /* asked for by the arenas and not used: inference; in training they are made as large as they have to be (cs_model_make_room) */
} cs_activations;

/* false: a size does not fit. */
bool cs_walk_stage(const cs_memory_request *q, int64_t stage, cs_activations *out);

/* What a layer keeps of a micro-batch: its output and what backward wants, less `drop`. *scratch: temporary activations of both passes. */
int64_t cs_walk_layer(const cs_memory_request *q, unsigned drop, int64_t *scratch);

/* The model's own tables (cs_model_create): bytes used, and asked for beyond them. */
bool cs_walk_tables(const cs_memory_request *q, int64_t stage, int64_t *used, int64_t *unused);

/* a * b, saturated at INT64_MAX; sums likewise. Sizes here are never negative. */
int64_t cs_walk_mul(int64_t a, int64_t b);
int64_t cs_walk_add(int64_t a, int64_t b);

#endif
