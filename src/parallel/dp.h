/* The data-parallel engine: owns gradients, master weights and Adam moments of a parameter table, sums gradients over the
 * data-parallel group, updates, and spreads the new weights. What is split over the group is policy, not code path:
 * with shard_optim (ZeRO stage 1) a rank keeps optimizer state for its own range [lo, hi) only.
 * Ranges are cut by elements, ignoring parameter borders, at multiples of a unit that depends on the table alone: norm and weights
 * have the same bits with and without sharding. A group of one communicates nothing.
 * Gradients are summed, not averaged: the loss is already divided by the global token count. */
#ifndef CS_PARALLEL_DP_H
#define CS_PARALLEL_DP_H

#include "ckpt/ckpt.h"
#include "comm/comm.h"
#include "model/param.h"
#include "tensor/kernels.h"

typedef struct cs_dp_policy {
    bool shard_optim;             /* ZeRO 1 */
    bool shard_grad, shard_param; /* ZeRO 2, 3: CS_E_USAGE in this version */
} cs_dp_policy;

typedef struct cs_dp {
    cs_dp_policy policy;
    cs_param_table *table;    /* borrowed */
    const cs_kernels *kernels;
    cs_comm *group;           /* borrowed */
    int64_t lo, hi;               /* elements whose optimizer state this rank holds: [0, n_elements) without sharding */
    int64_t unit, n_units;        /* the flat buffers in pieces of `unit` elements (the last may be shorter) */
    int64_t *units, *counts;      /* per rank: pieces and elements of its part, parts in rank order */
    int64_t first_unit;           /* of this rank's part */
    void *grad;                   /* A [n_elements], shared between the ranks of a host */
    void *master, *m, *v;         /* A [hi-lo]; master NULL where the store is the master */
    double *norm_part;            /* [n_units] sums of squares */
} cs_dp;

/* Allocates and sets table->grad and, where master weights are separate, table->master with its range. table->store must be there (from
 * cs_comm_alloc of the same group, spreading the weights needs no copy). Initialise or load the weights after it.
 * Collective over group; same status on all ranks. CS_E_NOMEM, CS_E_USAGE. */
cs_status cs_dp_init(cs_dp *dp, cs_param_table *table, const cs_kernels *kernels, cs_comm *group, cs_dp_policy policy, cs_error *err);
/* Collective over group. Clears table->grad and table->master. */
void cs_dp_release(cs_dp *dp);

/* Once after weights were initialised or loaded into table->store and table->master, before the first step and before the trainer's state is
 * loaded: starts the moments and gradients from zero. Not collective. Every rank must hold the same weights. */
void cs_dp_adopt_weights(cs_dp *dp);

/* The optimizer state for saving and loading; buffers are borrowed. Load it after cs_dp_adopt_weights. */
cs_opt_state cs_dp_opt_state(cs_dp *dp);

/* Of a flat buffer over `size` ranks: the elements of the largest part, and the number of units (one f64 each for the norm). */
int64_t cs_dp_largest_part(int64_t n_elements, int64_t size);
int64_t cs_dp_n_units(int64_t n_elements);

void cs_dp_zero_grads(cs_dp *dp);
/* Sums the gradients over the group: everywhere, or into the own range when sharded. Collective over group. */
void cs_dp_reduce_grads(cs_dp *dp);
/* Global L2 norm of the reduced gradients in f64; *finite is false if any is inf or NaN. Same bits on all ranks. Collective over group. */
double cs_dp_grad_norm(cs_dp *dp, bool *finite);
/* One AdamW update of all parameters (weight decay only where the parameter asks for it), then the new values on every rank.
 * Collective over group. */
void cs_dp_step(cs_dp *dp, const cs_adamw *h);

#endif
