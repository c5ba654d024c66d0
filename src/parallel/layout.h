/* How a model is laid out over ranks: TP x PP x DP, the pipeline's pieces and schedule, sizes of micro-batches, ZeRO stage, sequence parallelism,
 * recomputation; its legality and what follows from it. Arithmetic only: no communication; only cs_layout_schedule allocates.
 *
 * The model's layers are cut into pp * chunks pieces; chunk c of stage p is piece c * pp + p. */
#ifndef CS_PARALLEL_LAYOUT_H
#define CS_PARALLEL_LAYOUT_H

#include "base/options.h"
#include "model/block.h"
#include "model/param.h"
#include "parallel/schedule.h"

/* Whole layers (UNIFORM, BLOCK), or of all layers some of what they keep (SELECTIVE). */
typedef enum cs_recompute { CS_RECOMPUTE_NONE, CS_RECOMPUTE_UNIFORM, CS_RECOMPUTE_BLOCK, CS_RECOMPUTE_SELECTIVE } cs_recompute;

typedef enum cs_fold { CS_FOLD_NONE, CS_FOLD_AIAO, CS_FOLD_FIFO } cs_fold;

enum {
    CS_LAYOUT_MAX_LIST = 1024,       /* numbers of --manual-mbs, of --manual-layers */
    CS_LAYOUT_MAX_PAIRS = 1 << 22    /* pieces x micro-batches */
};

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
    bool recompute_up_to;     /* BLOCK: a chunk may have fewer layers */
    cs_strlist recompute_list; /* BLOCK: a number for each stage instead, 0 or more; borrowed */
    cs_strlist recompute_modules; /* SELECTIVE: layernorm, qkv, core_attn, mlp (none = layernorm); borrowed */
    const unsigned char *drop_of; /* [layers of the model] CS_DROP_*, instead of all that says what is recomputed; borrowed, NULL = none */
    bool inference;           /* the rules of batches and optimizer do not apply */
    cs_fold fold;             /* acts only where a stage has several chunks */
    bool optimized;           /* micro-batches of different sizes: */
    cs_strlist manual_mbs;    /* numbers with commas or as words, or example-config-1, example-config-2; borrowed */
    bool manual_allocation;   /* layers of every piece: */
    cs_strlist manual_layers; /* pp numbers, or pp * chunks in the order of the pieces; borrowed */
    /* filled by cs_layout_check */
    int64_t dp, chunks, n_micro;
    cs_schedule_kind schedule;
    int64_t largest_mbs;      /* samples of the largest micro-batch: what buffers are sized by */
    int64_t n_layers;         /* of the model, 0 = not known */
    int64_t n_mbs, mbs[CS_LAYOUT_MAX_LIST];                   /* n_mbs 0: all are micro_batch */
    int64_t n_stage_again, stage_again[CS_LAYOUT_MAX_LIST];   /* n_stage_again 0: no recompute_list */
    unsigned drop;            /* SELECTIVE: CS_DROP_* */
    int64_t n_piece_layers, piece_layers[CS_LAYOUT_MAX_LIST]; /* n_piece_layers 0: all pieces are equal */
} cs_layout;

/* Fills the derived fields. CS_E_USAGE with one line per broken rule, each with the legal values, appended to *err. `spec` NULL: the rules that need
 * no model. */
cs_status cs_layout_check(cs_layout *l, const cs_spec *spec, cs_error *err);

/* One note for each flag that has no effect in this (checked) layout. */
void cs_layout_note(const cs_layout *l);

/* Of a checked layout: samples of micro-batch `micro` on one data-parallel rank, and the first of them counted within the step's global batch: of the
 * samples that one micro-batch takes from it, rank r has the r-th block. */
int64_t cs_layout_mbs(const cs_layout *l, int64_t micro);
int64_t cs_layout_first_sample(const cs_layout *l, int64_t micro, int64_t dp_rank);

/* Of a layout checked with its spec: chunk `chunk` of stage `stage` has layers [first, first + n). */
int64_t cs_layout_first_layer(const cs_layout *l, int64_t stage, int64_t chunk);
int64_t cs_layout_n_layers(const cs_layout *l, int64_t stage, int64_t chunk);
/* What the rank (stage, tp_rank) of a layout checked with its spec holds; chunk [chunks] gets its layers. */
cs_place cs_layout_place(const cs_layout *l, int64_t stage, int64_t tp_rank, cs_layers *chunk);
/* Layers of all chunks of a stage; of the largest piece. */
int64_t cs_layout_stage_layers(const cs_layout *l, int64_t stage);
int64_t cs_layout_largest_piece(const cs_layout *l);

/* What layer i of a chunk of a stage does not keep for its backward pass: CS_DROP_*. Layouts checked with their spec, from here on. */
unsigned cs_layout_drop(const cs_layout *l, int64_t stage, int64_t chunk, int64_t i);
/* The same for all layers of the model, as cs_model_options wants it: drop [n_layers]. */
void cs_layout_drops(const cs_layout *l, unsigned char *drop);
/* Of so many layers in a row that run again as a whole the first one's input is kept. */
int64_t cs_layout_group(const cs_layout *l);
/* Is layer i of a chunk the last of its group (model/stage.c)? A layer that does not run again as a whole is a group. */
bool cs_layout_ends_group(const cs_layout *l, int64_t stage, int64_t chunk, int64_t i);
/* "layernorm core_attn" for CS_DROP_NORMS | CS_DROP_ATTENTION, "nothing" for 0, "all" for CS_DROP_LAYER. */
void cs_layout_drop_text(unsigned drop, char *text, size_t size);

/* The schedule of a checked layout, in `arena`. CS_E_NOMEM. */
cs_status cs_layout_schedule(const cs_layout *l, cs_arena *arena, cs_schedule *out, cs_error *err);

#endif
