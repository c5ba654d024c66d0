/* The arithmetic of reductions: sums over several buffers in a fixed order, written to one or more results. Private to comm/. */
#ifndef CS_COMM_SUM_H
#define CS_COMM_SUM_H

#include "base/dtype.h"

/* out[k][i] = ((in[0][i] + in[1][i]) + in[2][i]) + ..  for every k < n_out. BF16 and F16 are added in f32 and rounded once; integers wrap.
 * An output may be the same memory as an input. `whole`: bytes that the operation writes over all ranks and calls, by which it is decided whether to
 * write past the caches; an output that is an input is not, since its lines are there already. */
void cs_sum_ordered(void *const *out, int n_out, const void *const *in, int n_in, int64_t n, cs_dtype t, size_t whole);

/* out[i] = largest of in[r][i]; NaN when one of them is NaN. F64, I64. `out` may be one of the inputs. */
void cs_max_ordered(void *out, const void *const *in, int n_in, int64_t n, cs_dtype t);

/* memcpy, past the caches when `whole` (as above) is large. */
void cs_copy_shared(void *dst, const void *src, size_t bytes, size_t whole);

#endif
