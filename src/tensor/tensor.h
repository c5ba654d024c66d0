/* A small view: dtype, shape, row stride, data. Owns nothing, passed by value, contiguous within a row. */
#ifndef CS_TENSOR_TENSOR_H
#define CS_TENSOR_TENSOR_H

#include "base/dtype.h"

typedef struct cs_tensor {
    void *data; /* NULL = absent part (no bias); kernels accept it where their comment says so */
    cs_dtype dtype;
    int64_t rows, cols; /* 1-D tensors: rows == 1 */
    int64_t ld;         /* elements from one row to the next, >= cols */
} cs_tensor;

static inline cs_tensor cs_tensor_2d(void *data, cs_dtype t, int64_t rows, int64_t cols)
{
    return (cs_tensor){data, t, rows, cols, cols};
}

/* Rows [lo, lo+n). */
static inline cs_tensor cs_tensor_rows(cs_tensor x, int64_t lo, int64_t n)
{
    x.data = (char *)x.data + (size_t)(lo * x.ld) * cs_dtype_size(x.dtype);
    x.rows = n;
    return x;
}

/* Columns [lo, lo+n) of every row; the row stride stays. */
static inline cs_tensor cs_tensor_cols(cs_tensor x, int64_t lo, int64_t n)
{
    x.data = (char *)x.data + (size_t)lo * cs_dtype_size(x.dtype);
    x.cols = n;
    return x;
}

/* What one run computes in: storage of weights and activations, accumulation (gradients, statistics, logits), master weights. */
typedef struct cs_precision {
    cs_dtype store, acc, master;
} cs_precision;

static inline cs_precision cs_precision_of(cs_dtype store)
{
    return store == CS_F64 ? (cs_precision){CS_F64, CS_F64, CS_F64} : (cs_precision){store, CS_F32, CS_F32};
}

/* What a GEMM multiplies by: a matrix [rows = out, cols = in] and the backend's packed copies of it.
 * The owner bumps `version` whenever the values change; a backend repacks when pack_version differs. */
typedef struct cs_weight {
    const void *data;
    cs_dtype dtype;
    int64_t rows, cols, ld;
    uint64_t version;         /* >= 1 */
    void *pack[2];            /* backend-private; [0] for y = x W^T, [1] for dx = dy W */
    uint64_t pack_version[2]; /* 0 = never packed */
} cs_weight;

#endif
