/* The arithmetic of reductions: sums over several buffers in a fixed order, written to one or more results. Private to comm/. */
#ifndef CS_COMM_SUM_H
#define CS_COMM_SUM_H

#include "base/dtype.h"

/* out[k][i] = ((in[0][i] + in[1][i]) + in[2][i]) + ..  for every k < n_out. BF16 and F16 are added in f32 and rounded once; integers wrap.
 * An output may be the same memory as an input. `stream`: write past the caches (large buffers that others read next). */
void cs_sum_ordered(void *const *out, int n_out, const void *const *in, int n_in, int64_t n, cs_dtype t, bool stream);

/* out[i] = largest of in[r][i]; NaN when one of them is NaN. F64, I64. `out` may be one of the inputs. */
void cs_max_ordered(void *out, const void *const *in, int n_in, int64_t n, cs_dtype t);

/* memcpy past the caches. */
void cs_copy_stream(void *dst, const void *src, size_t bytes);

#endif
