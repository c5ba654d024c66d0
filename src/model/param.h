/* The parameter table: the single truth about every parameter. Init, load, save, HF names, weight decay, gradient reduction, optimizer ranges
 * and the norm all read it; none re-derives it. Local tensors are views into flat buffers, each aligned to CS_PARAM_ALIGN elements; the gaps are
 * zero. Fused parameters (q|k|v, gate|up) are one row with several parts: each part is one tensor of the Hugging Face file, split by output rows.
 * A rank holds the part of the model that its place (cs_place) says: some layers, and of a matrix some rows or columns. Names and full shapes of
 * all tensors are there on every rank. Where the elements of a rank are not one stretch of the file's tensor, views say so in runs. */
#ifndef CS_MODEL_PARAM_H
#define CS_MODEL_PARAM_H

#include "base/mem.h"
#include "comm/mesh.h"
#include "model/spec.h"
#include "tensor/kernels.h"

enum { CS_PARAM_ALIGN = 64, CS_PARAM_MAX_PARTS = 3 };

typedef enum cs_init_kind { CS_INIT_ZEROS, CS_INIT_ONES, CS_INIT_NORMAL } cs_init_kind;

/* Layers [lo, hi) of the model. */
typedef struct cs_layers {
    int64_t lo, hi;
} cs_layers;

/* The part of a model that a rank holds: tensor parallel rank tp_rank of tp, pipeline stage `stage` of n_stages with its chunks of layers. The first
 * stage has the embedding, the last one the final norm and the head. */
typedef struct cs_place {
    int64_t tp, tp_rank, n_stages, stage, n_chunks;
    const cs_layers *chunk; /* [n_chunks], ascending; borrowed */
} cs_place;

typedef struct cs_param_part {
    const char *name; /* full HF tensor name, "model.layers.0.self_attn.q_proj.weight" */
    int64_t rows;     /* of the whole tensor; its columns are full_cols */
    int64_t lo, n;    /* rows of it that this rank has, when cut by rows */
} cs_param_part;

typedef struct cs_param {
    const char *name; /* own name, "layers.0.qkv.weight" */
    int64_t rows, cols; /* on this rank */
    int64_t full_cols, col_lo; /* columns of the whole, and the first one here */
    cs_cut cut;
    int ndim;         /* of the HF tensors: 1 = [cols] (stored as rows elements, cols == 1), 2 = [rows, cols] */
    int n_parts;      /* 0 = the model has no such parameter */
    cs_param_part part[CS_PARAM_MAX_PARTS];
    bool decay;       /* weight decay applies */
    cs_init_kind init;
    double init_std;
    int64_t head_rows, q_heads, kv_heads; /* of one fused tensor q|k|v whose heads are moved one by one: rows per head, heads of the model; else 0 */
    int64_t offset, n; /* elements in the flat buffers: [offset, offset+n); n == 0 = not on this rank */
    int64_t in_group;  /* index of its cs_param_group, where n > 0 */
    cs_weight weight;  /* for the GEMMs of a 2-D parameter */
} cs_param;

/* Elements [lo, hi) of the flat buffers in a buffer that does not hold all of them: element lo at index `at`. */
typedef struct cs_flat_range {
    int64_t lo, hi, at;
} cs_flat_range;

/* A stretch of the flat buffers that is reduced, gathered and cut over data-parallel ranks as one: of the embedding (layer -1), of one layer, or of
 * final norm and head (layer n_layers); first the parameters that are cut over the tensor parallel group, then those that all its ranks have. */
typedef struct cs_param_group {
    int64_t layer, lo, hi; /* elements */
    bool replicated;       /* all ranks of the tensor parallel group hold the same */
    bool copy;             /* a tied head's weight on the last stage: the embedding of the first stage counts */
} cs_param_group;

typedef struct cs_param_table {
    cs_param *row;
    cs_place place;
    cs_param_group *group;
    int64_t n_groups;
    bool by_head; /* the file's q|k|v tensor lies by key head (CS_QKV_BY_HEAD) */
    int64_t n_rows, n_views, n_elements; /* n_elements: length of the flat buffers, a multiple of CS_PARAM_ALIGN */
    cs_precision prec;
    void *store;  /* S [n_elements]: what the kernels read */
    void *master; /* A: what the optimizer updates. Where S == A it is the store itself; else the data-parallel engine allocates it for the elements
                   * master_range[n_master_ranges]. NULL without training */
    const cs_flat_range *master_range;
    int64_t n_master_ranges;
    const cs_flat_range *store_range; /* NULL = the store holds everything; else these elements, each in its place, and others come and go */
    int64_t n_store_ranges;
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
 * weights decay too; otherwise norms and biases do not. A tied head is no row of its own: the last stage has the embedding's row for it.
 * `place` NULL: the whole model. CS_E_NOMEM. */
cs_status cs_param_table_init(cs_param_table *t, const cs_spec *spec, cs_precision prec, bool decay_norms, const cs_place *place, cs_arena *arena,
                              cs_error *err);
/* The elements that a load or a fill is to put into the store: those of `range` within [lo, hi); false = none. */
bool cs_param_store_clip(const cs_param_table *t, int64_t lo, int64_t hi, cs_flat_range *out);

/* Allocates the zeroed store; with `training` and S == A it is the master too (a separate master and the gradients belong to the data-parallel
 * engine, parallel/dp.h). In training with a group of several ranks the store comes from cs_comm_alloc of `dp` (collective over dp; NULL = none), so
 * that new weights spread without a copy. `sparse`: memory that is taken as it is used, for a store whose parts come and go. CS_E_NOMEM. */
cs_status cs_param_table_alloc(cs_param_table *t, bool training, bool sparse, cs_comm *dp, cs_error *err);
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

/* One tensor of the HF file, and what of it lies in the flat buffers of this rank. For a 1-D parameter `rows` of a part counts its elements (cols ==
 * 1). */
typedef struct cs_param_view {
    const char *name;
    int ndim;
    int64_t shape[2]; /* ndim entries, of the whole tensor */
    int64_t offset, n; /* its elements in the flat buffers, all runs together; n == 0 = not on this rank */
    int64_t n_runs;    /* 1 where they are one stretch of the file, 0 without elements */
    const cs_param *param;
    const cs_param_part *part;
    const cs_param_table *table;
} cs_param_view;

/* Neighbours in the file that are neighbours in the flat buffers. */
typedef struct cs_param_run {
    int64_t at;     /* first element within the file's tensor */
    int64_t offset; /* and in the flat buffers */
    int64_t n;
} cs_param_run;

/* Number of HF tensors of the whole model, and the i-th in file order. A tied head is not a tensor. */
int64_t cs_param_n_views(const cs_param_table *t);
cs_param_view cs_param_view_at(const cs_param_table *t, int64_t i);
/* Run i of n_runs; runs are in file order, all of one length. */
cs_param_run cs_param_view_run(const cs_param_view *v, int64_t i);
/* Elements of the whole tensor. */
static inline int64_t cs_param_view_total(const cs_param_view *v)
{
    return v->shape[0] * (v->ndim == 2 ? v->shape[1] : 1);
}
/* True on the ranks that write the tensor's elements here into a checkpoint: of those that hold the same, the first tensor parallel rank, and the
 * stage of the embedding. */
bool cs_param_view_is_owner(const cs_param_view *v);

/* The part of elements [lo, hi) that a buffer of these ranges (ascending, apart) holds; false = nothing. Elements of one parameter lie in one range
 * at most: a group is cut once for a rank. */
bool cs_flat_clip(const cs_flat_range *range, int64_t n_ranges, int64_t lo, int64_t hi, cs_flat_range *out);

/* Pointer to element `offset` of a flat buffer with element type `type`. */
static inline void *cs_flat_at(void *flat, cs_dtype type, int64_t offset)
{
    return (char *)flat + (size_t)offset * cs_dtype_size(type);
}

/* Tells the GEMMs that the values changed (after an optimizer step or a load). */
void cs_param_touch(cs_param_table *t);

#endif
