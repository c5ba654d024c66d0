/* The fastest layouts for a number of ranks: every legal product of TP, PP, chunks, schedule, micro-batch, ZeRO, sequence parallelism and
 * recomputation that fits into the memory of a rank, on the virtual clock. */
#ifndef CS_PARALLEL_SEARCH_H
#define CS_PARALLEL_SEARCH_H

#include "parallel/simulate.h"

enum { CS_SEARCH_MAX_MICRO = 64, CS_SEARCH_MAX_CHUNKS = 8, CS_SEARCH_TOKENS = 1 << 16 }; /* sizes tried; tokens of a micro-batch */

typedef struct cs_search_result {
    cs_layout layout; /* checked; lists of layers borrowed from the arena of the search */
    double step_s;
    int64_t bytes;    /* of the largest rank */
} cs_search_result;

typedef struct cs_search_count {
    int64_t tried, legal, timed; /* the others are too large or slower than what is found, by their busiest stage alone */
} cs_search_count;

/* base: as for the memory of a stage; of its layout world, global_batch and seq_length are kept. memory: bytes of a rank. Fills best[0..*n),
 * *n <= max, the fastest first. CS_E_USAGE when nothing fits; CS_E_NOMEM. */
cs_status cs_search(const cs_memory_request *base, const cs_machine *m, int64_t memory, cs_arena *arena, cs_search_result *best, int max, int *n,
                    cs_search_count *count, cs_error *err);

#endif
