/* What a rank will hold, in bytes, from the parameter table and the layout alone: the model is never allocated. The modules' allocations are walked
 * through in the order of nn/ and model/ (who changes one there changes it here; tests/cli/test_plan.sh compares with real runs). Tensor and pipeline
 * parallel ranks: parameters by the table of their place; heads, feed-forward and vocabulary are divided, the residual stream is not, or by
 * rows under sequence parallelism. ZeRO 2 and 3: what is whole at a time, by parallel/presence.h. */
#ifndef CS_PARALLEL_MEMORY_H
#define CS_PARALLEL_MEMORY_H

#include "model/block.h"
#include "model/param.h"
#include "parallel/layout.h"

typedef enum cs_memory_kind {
    CS_MEMORY_WEIGHTS, CS_MEMORY_GRADS, CS_MEMORY_MASTER, CS_MEMORY_MOMENTS,
    CS_MEMORY_PACKED,  /* the matrix products' own copies of the weights */
    CS_MEMORY_STASH,   /* activations kept for backward */
    CS_MEMORY_LOGITS,
    CS_MEMORY_SCRATCH, /* temporary activations beyond the memory of the logits, which serves them too */
    CS_MEMORY_MESSAGES, /* to neighbour stages: one each way; a stage that runs ahead of its neighbour takes one more for each */
    CS_MEMORY_CACHE,   /* keys and values: filled positions, or those copied from and to while the last sequence's block grows */
    CS_MEMORY_WORK,    /* of the matrix products */
    CS_MEMORY_TABLES,  /* positions, parameter table, batches */
    CS_MEMORY_LOADING, /* inference: what loading takes beyond all of the above */
    CS_MEMORY_COUNT
} cs_memory_kind;

/* "weights", "gradients", ... (for a table's row) and "weights_bytes", ... (a key). Borrowed constants. */
const char *cs_memory_name(cs_memory_kind kind);
const char *cs_memory_key(cs_memory_kind kind);

typedef struct cs_memory_request {
    const cs_spec *spec;
    const cs_param_table *table; /* cs_param_table_init was called, nothing allocated */
    int64_t table_bytes;         /* that the table itself takes */
    const cs_kernels *kernels;
    int threads;                 /* of a rank */
    cs_layout layout;            /* checked */
    const cs_schedule *schedule; /* of the layout; NULL for inference */
    cs_update_rule rule;         /* of the optimizer */
    bool evaluates;              /* training with evaluations */
    bool offloads;               /* moments and master weights lie in a file */
    /* layout.inference: the micro batch is the number of sequences */
    int64_t rows;                /* of one forward call */
    int64_t cache_positions, cache_growth; /* room per sequence, and of the block that the last growth copies from (0 = never grown) */
} cs_memory_request;

typedef struct cs_memory {
    int64_t first_layer, n_layers; /* of the stage's first chunk; layers over all its chunks */
    int64_t parameters;            /* of the rank, of the one with most of the vocabulary */
    int64_t in_flight;             /* (micro-batch, chunk) pairs */
    int64_t bytes[CS_MEMORY_COUNT], total;
    int64_t offloaded;             /* bytes of the file that the optimizer state lies in, 0 = none */
    int64_t reserved;              /* total plus room that is asked for and never touched: the arenas' and the cache's */
} cs_memory;

/* The largest rank of a stage; activations sized by the largest micro-batch. CS_E_USAGE when a size does not fit in 63 bits. */
cs_status cs_memory_of_stage(const cs_memory_request *q, int64_t stage, cs_memory *out, cs_error *err);

/* Per trained token: 6 N + 12 L h s, N = parameters in matrix products, h = heads * head size; *executed adds what recomputed layers compute
 * again (all layers: 2 N + 4 L h s without the head's share). */
double cs_flops_per_token(const cs_memory_request *q, double *executed);

#endif
