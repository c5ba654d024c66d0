/* What every layer of a stage should keep for its backward pass so that the rank fits into so much memory and computes as little as possible again.
 * Every layer may drop any of the parts of model/block.h, or run again as a whole; layers of a stage are alike, so that measured times of one do for
 * all. */
#ifndef CS_PARALLEL_RECOMPUTE_H
#define CS_PARALLEL_RECOMPUTE_H

#include "parallel/memory.h"

typedef struct cs_recompute_choice {
    bool fits;
    int64_t bytes;              /* of the stage's largest rank: cs_memory.total */
    double seconds, all_seconds; /* what is computed again for a micro-batch, all chunks together; if every layer ran again as a whole */
} cs_recompute_choice;

/* The least time within `most` bytes, by a knapsack over the layers of each chunk; the first layers of a chunk drop most. drop [layers of the model]
 * gets the layers of the stage, others stay. If nothing fits, what takes least memory. q->layout.drop_of and recompute are not looked at.
 * CS_E_NOMEM, CS_E_USAGE as cs_memory_of_stage. */
cs_status cs_recompute_choose(const cs_memory_request *q, int64_t stage, const cs_part_times *times, int64_t most, unsigned char *drop,
                              cs_recompute_choice *out, cs_error *err);

#endif
