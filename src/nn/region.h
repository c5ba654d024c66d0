/* Where tensors go from whole to parts and back: the only tensor and sequence parallel communication, called by linear, embed and loss. Without
 * sequence parallelism a whole tensor [T, n] is the same on every rank of the tensor parallel group; with it every rank has its share of the rows.
 * In a group of one all of this does nothing. The pairs are each other's backward: gather and sum of rows, no-op and sum. */
#ifndef CS_NN_REGION_H
#define CS_NN_REGION_H

#include "nn/ctx.h"

/* All T rows of x S [cs_ctx_rows, n], contiguous: x itself, or under sequence parallelism a new tensor in ctx->scratch. */
cs_tensor cs_region_gather(const cs_ctx *ctx, cs_tensor x);
/* Where this rank's term of a sum for y S [cs_ctx_rows, n] (contiguous) is to be written: y itself, or a new tensor [T, n] in ctx->scratch. */
cs_tensor cs_region_terms(const cs_ctx *ctx, cs_tensor y);
/* y = sum of the ranks' terms, in rank order; under sequence parallelism of this rank's rows alone. */
void cs_region_sum(const cs_ctx *ctx, cs_tensor terms, cs_tensor y);

#endif
