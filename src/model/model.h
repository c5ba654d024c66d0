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
} cs_model_options;

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
    cs_embed embed;
    cs_norm embed_norm; /* w NULL = none */
    cs_norm_saved embed_norm_saved;
    cs_block *block;  /* [n_layers] */
    cs_norm final_norm;
    cs_normhead norm_head; /* raw NULL = the head is used as it is */
    cs_loss loss;
    cs_block_saved *saved; /* [n_layers], used between forward and backward of one micro-batch */
    cs_arena perm, scratch, stash;
} cs_model;

/* Allocates everything; weights are zero until cs_param_table_fill or a load. CS_E_USAGE (kernels), CS_E_NOMEM.
 * Collective over the DP group of opt->mesh. Destroy with cs_model_destroy. */
cs_status cs_model_create(const cs_spec *spec, const cs_model_options *opt, cs_model **out, cs_error *err);
/* From now on there are forward passes only and the weights stay as they are: matrices whose products work on packed copies get these one by one,
 * and what they were made from is given back; the table's store no longer holds them. */
void cs_model_seal(cs_model *m);
void cs_model_destroy(cs_model *m);
/* Points the modules at their parts of the flat gradient buffer A [table.n_elements] (borrowed). */
void cs_model_bind_grad(cs_model *m, void *grad);

/* Sum over the batch of weight * -log p(label), no gradients. */
double cs_model_loss(cs_model *m, const cs_batch *batch);
/* The same sum; the flat gradient buffer gets += scale * d(sum)/d(parameter). */
double cs_model_loss_backward(cs_model *m, const cs_batch *batch, double scale);
/* Logits A [n_rows, V] of the given rows of the batch (row numbers ascending; NULL = all rows). kv may be NULL; the caller advances its n_past. */
void cs_model_logits(cs_model *m, const cs_batch *batch, const cs_kv *kv, const int64_t *rows, int64_t n_rows, void *logits);
/* After cs_model_loss_backward in f32/bf16: index of the first layer whose gradients are not finite, -1 = none; for messages. n_layers = head or
 * final norm, -2 = embedding only. */
int64_t cs_model_bad_layer(const cs_model *m);

#endif
