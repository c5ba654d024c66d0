/* NormHead module. */
#include "nn/normhead.h"

#include <string.h>

cs_status cs_normhead_init(cs_normhead *n, cs_weight *raw, bool training, cs_precision prec, cs_arena *arena, cs_error *err)
{
    size_t elements = (size_t)(raw->rows * raw->cols), store = elements * cs_dtype_size(prec.store), acc = elements * cs_dtype_size(prec.acc);
    void *unit = cs_arena_alloc(arena, store);
    *n = (cs_normhead){.raw = raw, .unit = {.data = unit, .dtype = prec.store, .rows = raw->rows, .cols = raw->cols, .ld = raw->cols}};
    n->length = cs_arena_alloc(arena, (size_t)raw->rows * cs_dtype_size(prec.acc));
    n->dunit = training ? cs_arena_alloc(arena, acc) : NULL;
    return unit && n->length && (n->dunit || !training) ? CS_OK : cs_fail_nomem(err, store + acc, "the head's scaled rows");
}

void cs_normhead_forward(cs_normhead *n, const cs_kernels *k)
{
    if (n->unit.version != n->raw->version) {
        k->unit_rows_fwd(n->raw->rows, n->raw->cols, n->raw->data, (void *)n->unit.data, n->length);
        n->unit.version = n->raw->version;
    }
    if (n->dunit)
        memset(n->dunit, 0, (size_t)(n->raw->rows * n->raw->cols) * cs_dtype_size(k->acc));
}

void cs_normhead_backward(const cs_normhead *n, const cs_kernels *k)
{
    k->unit_rows_bwd(n->raw->rows, n->raw->cols, n->dunit, n->unit.data, n->length, n->draw);
}
