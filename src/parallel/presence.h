/* What the parts that ZeRO 2 and 3 move hold of a rank's memory when they hold most: a walk through the events of a micro-batch in the order of
 * parallel/dp.c (gathered when entered, the next one begun with it; gradients of a layer summed under the one before it) and model/stage.c (who
 * changes the order there changes it here). Arithmetic only. */
#ifndef CS_PARALLEL_PRESENCE_H
#define CS_PARALLEL_PRESENCE_H

#include "model/param.h"
#include "parallel/layout.h"

/* Of the embedding, its norm, one layer, or final norm and head. */
typedef struct cs_presence_unit {
    int64_t n, own;  /* elements: all, of the rank in question */
    int64_t pack[2]; /* bytes of the products' own copies: for y = x W^T, for dx = dy W */
} cs_presence_unit;

enum { CS_PRESENCE_EMBED, CS_PRESENCE_EMBED_NORM, CS_PRESENCE_FIRST_LAYER };

/* Which data-parallel rank holds most and what that is: elements of its parts, of weights (zero 3) and gradients beyond them, bytes of packs (3).
 * unit: [n_layers + 3], the last one of final norm and head; n and own are written. state: bytes of an own element's optimizer state. */
typedef struct cs_presence {
    int64_t own, weights, grads, packed;
} cs_presence;
cs_presence cs_presence_most(const cs_param_table *t, const cs_layout *l, int64_t state, cs_presence_unit *unit);

#endif
