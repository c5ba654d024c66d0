/* The parameter table: the single truth about every parameter. Init, load, save, HF names, weight decay, gradient reduction, optimizer ranges
 * and the norm all read it; none re-derives it. Local tensors are views into flat buffers, each aligned to CS_PARAM_ALIGN elements; the gaps are zero.
 * Fused parameters (q|k|v, gate|up) are one row with several parts: each part is one tensor of the Hugging Face file, split by output rows. */
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
    int64_t offset, n; /* elements in the flat buffers: [offset, offset+n) */
    cs_weight weight;  /* for the GEMMs of a 2-D parameter */
} cs_param;

typedef struct cs_param_table {
    cs_param *row;
    int64_t n_rows, n_elements; /* n_elements: length of the flat buffers, a multiple of CS_PARAM_ALIGN */
    cs_precision prec;
    void *store;  /* S [n_elements]: what the kernels read */
    void *master; /* A [n_elements]: what the optimizer updates; the same memory as store where S == A; NULL without optimizer */
    void *grad;   /* A [n_elements]; NULL without training */
} cs_param_table;

/* One tensor of the HF file as it lies in the flat buffers. For a 1-D parameter `rows` of a part counts its elements (cols == 1). */
typedef struct cs_param_view {
    const char *name;
    int ndim;
    int64_t shape[2]; /* ndim entries */
    int64_t offset, n; /* contiguous elements in the flat buffers */
    const cs_param *param;
} cs_param_view;

/* Number of HF tensors, and the i-th in file order. A tied head is not a tensor. */
int64_t cs_param_n_views(const cs_param_table *t);
cs_param_view cs_param_view_at(const cs_param_table *t, int64_t i);

/* Pointer to element `offset` of a flat buffer with element type `type`. */
static inline void *cs_flat_at(void *flat, cs_dtype type, int64_t offset)
{
    return (char *)flat + (size_t)offset * cs_dtype_size(type);
}

/* Tells the GEMMs that the values changed (after an optimizer step or a load). */
void cs_param_touch(cs_param_table *t);

#endif
