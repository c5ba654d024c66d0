/* The parameter table: the single truth about every parameter. Init, load, save, HF names, weight decay, gradient reduction, optimizer ranges
 * and the norm all read it; none re-derives it. Local tensors are views into flat buffers, each aligned to CS_PARAM_ALIGN elements; the gaps are
 * zero. Fused parameters (q|k|v, gate|up) are one row with several parts: each part is one tensor of the Hugging Face file, split by output rows.
 * Where a family's file has the rows of a tensor in another order (cs_qkv_layout), views say so in runs. */
#ifndef CS_MODEL_PARAM_H
#define CS_MODEL_PARAM_H

#include "base/mem.h"
#include "comm/mesh.h"
#include "model/spec.h"
#include "tensor/kernels.h"

enum { CS_PARAM_ALIGN = 64, CS_PARAM_MAX_PARTS = 3 };

typedef enum cs_init_kind { CS_INIT_ZEROS, CS_INIT_ONES, CS_INIT_NORMAL } cs_init_kind;

typedef struct cs_param_part {
    const char *name; /* full HF tensor name, "model.layers.0.self_attn.q_proj.weight" */
    int64_t rows;     /* of this part; cols are the parameter's */
} cs_param_part;

typedef struct cs_param {
    const char *name; /* own name, "layers.0.qkv.weight" */
    int64_t rows, cols;
    int ndim;         /* of the HF tensors: 1 = [cols] (stored as rows elements, cols == 1), 2 = [rows, cols] */
    int n_parts;
    cs_param_part part[CS_PARAM_MAX_PARTS];
    bool decay;       /* weight decay applies */
    cs_init_kind init;
    double init_std;
    int64_t group, head_rows; /* CS_QKV_BY_HEAD: query heads per key head and rows per head; 0 = rows lie in the files as here */
    int64_t offset, n; /* elements in the flat buffers: [offset, offset+n) */
    cs_weight weight;  /* for the GEMMs of a 2-D parameter */
} cs_param;

typedef struct cs_param_table {
    cs_param *row;
    int64_t n_rows, n_views, n_elements; /* n_elements: length of the flat buffers, a multiple of CS_PARAM_ALIGN */
    cs_precision prec;
    void *store;  /* S [n_elements]: what the kernels read */
    void *master; /* A: what the optimizer updates, elements [master_lo, master_hi) (index 0 = element master_lo). Where S == A it is the store itself
                   * (whole range); else the data-parallel engine allocates it for its own range. NULL without training */
    int64_t master_lo, master_hi;
    bool store_shared; /* the store belongs to a communicator */
    void *grad;   /* A [n_elements]; NULL without training */
} cs_param_table;

/* Rows of the table, as indices: per layer L the CS_ROW_PER_LAYER rows from cs_param_layer_row(L, 0). A part that the spec lacks (a
 * bias) has n == 0. */
enum {
    CS_ROW_EMBED, CS_ROW_EMBED_NORM, CS_ROW_EMBED_NORM_BIAS, CS_ROW_FINAL_NORM, CS_ROW_FINAL_NORM_BIAS, CS_ROW_HEAD, CS_ROW_FIRST_LAYER
};
typedef enum cs_layer_row {
    CS_ROW_NORM1, CS_ROW_NORM1_BIAS, CS_ROW_QKV, CS_ROW_QKV_BIAS, CS_ROW_OUT, CS_ROW_OUT_BIAS, CS_ROW_NORM2, CS_ROW_NORM2_BIAS, CS_ROW_UP,
    CS_ROW_UP_BIAS, CS_ROW_DOWN, CS_ROW_DOWN_BIAS, CS_ROW_PER_LAYER
} cs_layer_row;

/* Lays out the table of a model: rows, names, offsets; no buffers yet. `arena` owns rows and names. `decay_norms`: AscendSpeed's rule that RMSNorm
 * weights decay too; otherwise norms and biases do not. A tied head is a row with n == 0 whose weight aliases the embedding's. CS_E_NOMEM. */
cs_status cs_param_table_init(cs_param_table *t, const cs_spec *spec, cs_precision prec, bool decay_norms, cs_arena *arena, cs_error *err);
/* Allocates the zeroed store; with `training` and S == A it is the master too (a separate master and the gradients belong to the data-parallel
 * engine, parallel/dp.h). In training with a group of several ranks the store comes from cs_comm_alloc of `dp` (collective over dp; NULL = none), so
 * that new weights spread without a copy. CS_E_NOMEM. */
cs_status cs_param_table_alloc(cs_param_table *t, bool training, cs_comm *dp, cs_error *err);
/* Frees the store and packed weights (not `grad`, not a separate master). */
void cs_param_table_release(cs_param_table *t, const cs_kernels *k);
/* Initial weights keyed by (seed, HF tensor name, element): the same whatever the layout. Writes master and store. */
void cs_param_table_fill(cs_param_table *t, uint64_t seed);

/* True for a matrix that nothing but products reads: no row of it is looked up, no other matrix is made from it. */
static inline bool cs_param_for_products_only(const cs_spec *s, const cs_param_table *t, const cs_param *p)
{
    return p->n > 0 && p->ndim == 2 && p != &t->row[CS_ROW_EMBED] && !(s->norm_head && p == &t->row[CS_ROW_HEAD]);
}

static inline cs_param *cs_param_layer(const cs_param_table *t, int64_t layer, cs_layer_row r)
{
    return &t->row[CS_ROW_FIRST_LAYER + layer * CS_ROW_PER_LAYER + (int64_t)r];
}

/* One tensor of the HF file as it lies in the flat buffers. For a 1-D parameter `rows` of a part counts its elements (cols == 1). */
typedef struct cs_param_view {
    const char *name;
    int ndim;
    int64_t shape[2]; /* ndim entries */
    int64_t offset, n; /* its elements in the flat buffers, in file order run by run */
    int64_t n_runs;    /* > 1 only where the file has the rows in another order */
    const cs_param *param;
} cs_param_view;

/* Neighbours in the file that are neighbours in the flat buffers. */
typedef struct cs_param_run {
    int64_t at;     /* first element within the file's tensor */
    int64_t offset; /* and in the flat buffers */
    int64_t n;
} cs_param_run;

/* Number of HF tensors, and the i-th in file order. A tied head is not a tensor. */
int64_t cs_param_n_views(const cs_param_table *t);
cs_param_view cs_param_view_at(const cs_param_table *t, int64_t i);
/* Run i of n_runs; runs are in file order, all of one length. */
cs_param_run cs_param_view_run(const cs_param_view *v, int64_t i);

/* Pointer to element `offset` of a flat buffer with element type `type`. */
static inline void *cs_flat_at(void *flat, cs_dtype type, int64_t offset)
{
    return (char *)flat + (size_t)offset * cs_dtype_size(type);
}

/* Tells the GEMMs that the values changed (after an optimizer step or a load). */
void cs_param_touch(cs_param_table *t);

#endif
