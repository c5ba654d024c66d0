/* The CPU kernels for one store type S (float or cs_bf16) and one vector width; lds and sts convert between S and vectors of f32.
 * Accumulate type is f32. Work is cut over threads by rows, columns or fixed chunks, so that no sum depends on the number of threads. */
#include <float.h>
#include <math.h>
#include <omp.h>

enum { COL_CHUNK = 4 * W, SMALL = 16384, FLAT_CHUNK = 4096, SUMSQ_BATCH = 2048 };

#include "kern/cpu/vec_rows.inc.h"
#include "kern/cpu/vec_flat.inc.h"
#include "kern/cpu/vec_loss.inc.h"
#include "kern/cpu/vec_attn.inc.h"
#include "kern/cpu/vec_attn_bwd.inc.h"

void VEC_INSTALL(cs_kernels *table)
{
    table->bias_grad = bias_grad;
    table->rmsnorm_fwd = rmsnorm_fwd;
    table->rmsnorm_bwd = rmsnorm_bwd;
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
    table->rope = rope;
    table->attn_fwd = attn_fwd;
    table->attn_bwd = attn_bwd;
    table->attn_work_bytes = attn_work_bytes;
    table->swiglu_fwd = swiglu_fwd;
    table->swiglu_bwd = swiglu_bwd;
    table->gelu_fwd = gelu_fwd;
    table->gelu_bwd = gelu_bwd;
    table->embed_fwd = embed_fwd;
    table->embed_bwd = embed_bwd;
    table->ce_stats = ce_stats;
    table->ce_grad = ce_grad;
    table->add = add;
    table->acc_add = acc_add;
    table->acc_scale = acc_scale;
    table->acc_sumsq = acc_sumsq;
    table->acc_finite = acc_finite;
    table->to_acc = to_acc;
    table->from_acc = from_acc;
    table->adamw = adamw;
    table->sgd = sgd;
}
