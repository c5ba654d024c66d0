/* The data-parallel engine: owns gradients, master weights and moments of a rank's parameter table, sums gradients over the ranks that hold the
 * same parameters, updates, and spreads the new weights. What is split over the data-parallel group is policy, not code path: with shard_optim (ZeRO
 * stage 1; Rajbhandari et al. 2020) a rank keeps optimizer state for its own part of every group of the table only.
 * A group is cut by elements, ignoring parameter borders, at multiples of a unit that depends on the number of parameters alone: norm and weights
 * have the same bits with and without sharding and for any number of data-parallel ranks. A communicator of one communicates nothing.
 * Gradients are summed, not averaged: the loss is already divided by the global token count. */
#ifndef CS_PARALLEL_DP_H
#define CS_PARALLEL_DP_H

#include "ckpt/ckpt.h"
#include "comm/mesh.h"
#include "model/model.h"
#include "parallel/offload.h"
#include "tensor/kernels.h"

typedef struct cs_dp_policy {
    bool shard_optim;             /* ZeRO 1: optimizer state, of the own part only */
    bool shard_grad;              /* ZeRO 2, with shard_optim: gradients of other parts go as soon as a layer's backward pass is over */
    bool shard_param;             /* ZeRO 3, with shard_grad: weights of other parts come when a layer is used and go afterwards */
    bool sequence_parallel;       /* gradients of what every tensor parallel rank holds are terms of a sum over them: each saw its rows only */
    cs_update_rule rule;          /* of the updates, hence the moments there are */
    const char *offload_dir;      /* folder for mapped files that hold the optimizer state; NULL = memory. Borrowed during cs_dp_init */
} cs_dp_policy;

typedef struct cs_dp {
    cs_dp_policy policy;
    cs_param_table *table;    /* borrowed */
    const cs_kernels *kernels;
    const cs_mesh *mesh;      /* borrowed */
    cs_comm *group;           /* its data-parallel group */
    int64_t unit;             /* the groups of the table in pieces of `unit` elements (the last of each may be shorter) */
    int64_t *counts;          /* [n_groups][size] elements of every rank's part of a group, parts in rank order */
    int64_t *units, *cursor;  /* [size] pieces of a rank, all groups together; where the norm's sum is in each rank's pieces */
    cs_flat_range *part;      /* [n_groups] this rank's part; `at` counts its parts one behind the other */
    cs_flat_range *own;       /* [n_groups] the same elements in buffers of the table's size */
    cs_flat_range whole;      /* all elements */
    int64_t n_part, n_state;  /* elements of all parts; whose optimizer state this rank holds: n_part or all */
    void *grad;               /* A [n_elements], shared between the ranks of a host */
    void *master, *m, *v;     /* A [n_state]; master NULL where the store is the master, moments NULL that the rule does not have */
    cs_offload offload;       /* what they lie in */
    cs_xfer *under_way;       /* [n_groups] reductions that were begun */
    bool *begun, *written;    /* [n_groups]; written: with shard_grad, more than the own part of its gradients is in memory */
    cs_xfer *gathering;       /* [n_groups] weights that come, ZeRO 3 */
    unsigned char *presence;  /* [n_groups] of their weights: away, coming, here */
    int64_t held;             /* bytes of sparse buffers that are in use and counted by cs_mem_hold */
    double *norm_part;        /* sums of squares of the pieces, rank by rank, there group by group */
} cs_dp;

/* Allocates and sets table->grad and, where master weights are separate, table->master with its ranges; with shard_param also what the store is to
 * hold. table->store must be there (from cs_comm_alloc of the same group, spreading the weights needs no copy). Initialise or load the weights after
 * it. Collective over the mesh's world; same status on all its ranks. CS_E_NOMEM, CS_E_USAGE, with
 * offload_dir CS_E_IO. */
cs_status cs_dp_init(cs_dp *dp, cs_param_table *table, const cs_kernels *kernels, const cs_mesh *mesh, cs_dp_policy policy, cs_error *err);
/* Collective over the data-parallel group. Clears table->grad and table->master. */
void cs_dp_release(cs_dp *dp);

/* Once after weights were initialised or loaded into table->store and table->master, before the first step and before the trainer's state is
 * loaded: starts the moments and gradients from zero. Not collective. Ranks of the same place in the model must hold the same weights. */
void cs_dp_adopt_weights(cs_dp *dp);

/* The optimizer state for saving and loading; buffers are borrowed. Load it after cs_dp_adopt_weights. */
cs_opt_state cs_dp_opt_state(cs_dp *dp);

/* Of a table: elements of a piece; of a group those that a rank of `size` data-parallel ones owns; number of pieces (one f64 each for the norm). */
int64_t cs_dp_unit(const cs_param_table *table);
int64_t cs_dp_part(const cs_param_table *table, int64_t unit, int64_t group, int64_t rank, int64_t size);
int64_t cs_dp_n_units(const cs_param_table *table);

/* What the model of the table has to tell this engine: set them as its hooks where shard_grad or shard_param asks for it (else the context is NULL).
 * Weights of a layer are gathered when it is entered, those of the next one begin to come. */
cs_model_hooks cs_dp_hooks(cs_dp *dp);

void cs_dp_zero_grads(cs_dp *dp);
/* Begins to sum the gradients of a chunk of layers (of table->place), which are complete on this rank; compute goes on meanwhile. Collective over the
 * tensor parallel and data-parallel groups, in the same order of chunks on all their ranks; completed by cs_dp_reduce_grads. */
void cs_dp_begin_reduce(cs_dp *dp, int64_t chunk);
/* Sums the gradients: over the tensor parallel group where each rank has a term, over both ends of the pipeline for a tied embedding, then over the
 * data-parallel group: everywhere, or into the own part when sharded. Collective over these groups. */
void cs_dp_reduce_grads(cs_dp *dp);
/* Global L2 norm of the reduced gradients of the whole model in f64, each parameter once; *finite is false if any is inf or NaN. Same bits on all
 * ranks. Collective over the mesh's three groups. */
double cs_dp_grad_norm(cs_dp *dp, bool *finite);
/* One update of all parameters by the policy's rule (weight decay only where the parameter asks for it), then the new values on every rank.
 * Collective over the data-parallel group. */
void cs_dp_step(cs_dp *dp, const cs_update *h);

#endif
