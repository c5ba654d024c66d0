/* What the pieces of a model cost on a machine: seconds of one forward and backward, of the transfers around them, of the optimizer. From the
 * operations and bytes of the modules in nn/ as a rank runs them. Arithmetic only. */
#ifndef CS_PARALLEL_COST_H
#define CS_PARALLEL_COST_H

#include "parallel/machine.h"
#include "parallel/memory.h"

/* Seconds on one rank. */
typedef struct cs_piece_cost {
    double forward, backward;               /* computing, recomputation included */
    double tensor_forward, tensor_backward; /* tensor-parallel collectives: nothing goes on beside them */
    cs_sim_time gather_forward, gather_backward; /* ZeRO 2 and 3: weights gathered, gradients scattered, for every micro-batch */
    double message_bytes;                   /* of what goes to a neighbour stage, by each tensor-parallel rank */
} cs_piece_cost;

/* Chunk `chunk` of stage `stage` with one micro-batch of `samples`. */
cs_piece_cost cs_cost_piece(const cs_memory_request *q, const cs_machine *m, int64_t stage, int64_t chunk, int64_t samples);

/* Parameters of a chunk on one rank, vocabulary padding included. */
int64_t cs_cost_parameters(const cs_memory_request *q, int64_t stage, int64_t chunk);

/* The reduction of a chunk's gradients over DP at ZeRO 0 and 1 (2 and 3 have it in the pieces), of a tied embedding between first and last stage. */
cs_sim_time cs_cost_reduction(const cs_memory_request *q, const cs_machine *m, int64_t stage, int64_t chunk);
double cs_cost_tied(const cs_memory_request *q, const cs_machine *m);

/* Clearing, norm and update of a stage's parameters, and their packing for the next step's products. The weights gathered again at ZeRO 1 and 2. */
double cs_cost_optimizer(const cs_memory_request *q, const cs_machine *m, int64_t stage);
double cs_cost_spread(const cs_memory_request *q, const cs_machine *m, int64_t stage);

/* Do all ranks of two stages, and those between, lie on one host, so that no message leaves it? */
bool cs_cost_neighbours(const cs_layout *l, const cs_machine *m, int64_t stage, int64_t other);

#endif
