/* A whole model: spec, parameter table, kernels, the blocks, and the arenas a forward and a backward need. */
#ifndef CS_MODEL_MODEL_H
#define CS_MODEL_MODEL_H

#include "model/block.h"
#include "model/param.h"
#include "nn/embed.h"
#include "nn/loss.h"
#include "nn/normhead.h"

typedef struct cs_model_options {
    cs_kernels_request kernels; /* store type, isa, gemm */
    bool training;              /* a master and, once bound, gradients */
    bool decay_norms;           /* AscendSpeed's rule: RMSNorm weights decay too */
    int64_t n_pos;              /* positions of the rotary tables: the longest sequence there will be */
    const cs_mesh *mesh;        /* borrowed; NULL = a group of one. Its data-parallel group shares the store's memory */
    const cs_place *place;      /* the part of the model that this rank holds, as the mesh says; NULL = all of it */
    bool sequence_parallel;     /* over the mesh's tensor parallel group; no effect in a group of one */
    bool sparse;                /* weights come and go as the hooks say (ZeRO 3) */
    const unsigned char *drop;  /* [n_layers] of the whole model: what each layer does not keep (CS_DROP_*); NULL = all is kept */
    int64_t recompute_group;    /* of so many layers in a row that run again as a whole only the first one's input is kept */
} cs_model_options;

/* Told when parameters of a layer (-1 = the embedding, n_layers = final norm and head) are about to be used in a pass, and when that use is over:
 * then, after a backward pass, their gradients of this micro-batch are complete. Between the two the weights must be in the table's store. */
typedef struct cs_model_hooks {
    void *context; /* NULL = nobody wants to know */
    void (*enter)(void *context, int64_t layer, bool backward);
    void (*leave)(void *context, int64_t layer, bool backward);
} cs_model_hooks;

/* What the forward pass of one chunk on one micro-batch keeps for its backward pass. */
typedef struct cs_stash {
    cs_arena arena;
    cs_tensor *input;      /* [layers of the largest chunk] what entered each layer, where it is kept */
    cs_block_saved *block; /* the same */
    cs_norm_saved embed_norm, final_norm;
    cs_loss_saved loss;
} cs_stash;

typedef struct cs_model {
    cs_spec spec;
    cs_param_table table;
    cs_precision prec;
    const cs_kernels *k;
    const char *gemm; /* "own" or "onednn": the choice that was made */
    cs_mesh alone;    /* the group of one, when no mesh was given */
    const cs_mesh *mesh;
    double forward_s, backward_s; /* seconds spent so far; the owner may reset them */
    cs_rope rope;
    double *alibi;    /* [n_heads] where positions are ALiBi's, else NULL */
    bool sequence_parallel;
    int64_t recompute_group;
    cs_embed embed;
    cs_norm embed_norm; /* w NULL = none */
    cs_block *block;  /* [n_layers]; those of other stages are empty */
    cs_norm final_norm;
    cs_normhead norm_head; /* raw NULL = the head is used as it is */
    cs_loss loss;
    cs_model_hooks hooks;
    cs_timeline *timeline; /* borrowed; NULL = nobody records */
    cs_stash *stash;  /* [n_stashes]; one from the start */
    int64_t n_stashes;
    cs_arena perm, scratch;
    cs_arena refill;  /* what layers keep that are computed again in backward */
} cs_model;

/* Allocates everything; weights are zero until cs_param_table_fill or a load. CS_E_USAGE (kernels), CS_E_NOMEM.
 * Collective over the world of opt->mesh, the same status on all its ranks. Destroy with cs_model_destroy. */
cs_status cs_model_create(const cs_spec *spec, const cs_model_options *opt, cs_model **out, cs_error *err);
/* From now on there are forward passes only and the weights stay as they are: matrices whose products work on packed copies get these one by one,
 * and what they were made from is given back; the table's store no longer holds them. */
void cs_model_seal(cs_model *m);
void cs_model_destroy(cs_model *m);
/* Points the modules at their parts of the flat gradient buffer A [table.n_elements] (borrowed). */
void cs_model_bind_grad(cs_model *m, void *grad);

/* What training needs at most, in bytes: of one stash, of layers that are computed again, of temporary activations. 0: not known, grows with use. */
typedef struct cs_model_room {
    int64_t stash, refill, scratch;
} cs_model_room;
/* Makes n stashes; those that have not been used, and the other arenas likewise, get their memory. CS_E_NOMEM. */
cs_status cs_model_make_room(cs_model *m, int64_t n, cs_model_room room, cs_error *err);
/* From now on all layers add their seconds to *times (borrowed; NULL = no more). */
void cs_model_measure(cs_model *m, cs_part_times *times);
/* Changes what the layers do not keep, between two steps: drop [n_layers] as in the options. The memory of the arenas above is given back. */
void cs_model_set_drops(cs_model *m, const unsigned char *drop);

/* The chunks of this rank one by one, for a pipeline. R = rows of the batch, or under sequence parallelism this rank's share of them
 * (cs_model_rows). */
int64_t cs_model_rows(const cs_model *m, const cs_batch *batch);
/* True for the chunk that begins with the embedding, and for the one that ends with the loss. */
bool cs_model_is_first(const cs_model *m, int64_t chunk);
bool cs_model_is_last(const cs_model *m, int64_t chunk);
/* Where the input of a chunk that is not the first goes: S [R, H] in the stash, which must be empty (cs_model_drop), or (NULL) in m->scratch. */
cs_tensor cs_model_input(cs_model *m, const cs_batch *batch, cs_stash *stash);
/* Forward pass of a chunk. x from cs_model_input with the same stash (first chunk: {0}). The output S [R, H] comes back and lies beside the input; of
 * the last chunk it is {0} and *loss gets the sum over the batch of weight * -log p(label), the same on all tensor parallel ranks. With a stash the
 * last chunk's gradients are for scale * that sum. Without one nothing is kept, and who called restores m->scratch. Collective over the tensor
 * parallel group. */
cs_tensor cs_model_forward(cs_model *m, int64_t chunk, const cs_batch *batch, cs_tensor x, double scale, cs_stash *stash, double *loss);
/* Backward pass: d S [R, H] is the gradient of the chunk's output (last chunk: overwritten without being read) and becomes that of its input (first
 * chunk: undefined); parameter gradients add to the bound buffer. The stash is used up and empty afterwards. Collective as forward. */
void cs_model_backward(cs_model *m, int64_t chunk, const cs_batch *batch, cs_tensor d, cs_stash *stash);
/* Empties a stash whose backward pass will not come. */
void cs_model_drop(cs_stash *stash);

/* A model that is not cut into stages, as a whole. */
/* Sum over the batch of weight * -log p(label), no gradients. */
double cs_model_loss(cs_model *m, const cs_batch *batch);
/* The same sum; the flat gradient buffer gets += scale * d(sum)/d(parameter). */
double cs_model_loss_backward(cs_model *m, const cs_batch *batch, double scale);
/* Logits A [n_rows, V] of the given rows of the batch (row numbers ascending; NULL = all rows). kv may be NULL; the caller advances its n_past. */
void cs_model_logits(cs_model *m, const cs_batch *batch, const cs_kv *kv, const int64_t *rows, int64_t n_rows, void *logits);
/* After a backward pass: index of the first layer on this rank whose gradients are not finite, -1 = none; for messages. n_layers = head or final
 * norm, -2 = embedding only. */
int64_t cs_model_bad_layer(const cs_model *m);

#endif
