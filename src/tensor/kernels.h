/* The kernel table: every arithmetic loop of the program behind a function pointer.
 * One table per store type S (f64, f32, bf16, f16) with accumulate type A (f64 for f64, else f32). `kern/ref` fills all slots in
 * plain C and is the oracle; `kern/cpu` overrides slots. Chosen once, const afterwards.
 * Letters: T rows (tokens), H hidden, N out features, K in features, D head dim, V vocabulary, F ffn width. Pointers typed void*
 * hold S unless said; "A*" holds the accumulate type. Results never depend on the number of threads. Outputs never alias inputs unless said. */
#ifndef CS_TENSOR_KERNELS_H
#define CS_TENSOR_KERNELS_H

#include "base/error.h"
#include "tensor/tensor.h"

/* Causal attention over sequences laid one after the other, for training, prefill and decode alike.
 * Sequence s has query rows [q_start[s], q_start[s+1]) and n_keys[s] >= n_q keys; query i of n_q is at key position n_keys-n_q+i and
 * sees keys 0..that position. Query head h uses key head h / (n_heads/n_kv_heads).
 * q(row,h) = q + row*ldq + h*D;  k(s,p,g) = k[s] + p*k_ld + g*k_head (elements), the same for v.
 * score(i, p) = scale * q.k + alibi[h] * (p - position of query i)  (Press et al., "Train Short, Test Long", 2022). */
typedef struct cs_attn {
    int64_t n_seq, n_heads, n_kv_heads, head_dim; /* head_dim <= 256 */
    const int64_t *q_start; /* [n_seq+1] */
    const int64_t *n_keys;  /* [n_seq] */
    const void *q;
    int64_t ldq;
    const void *const *k;
    const void *const *v; /* [n_seq] */
    int64_t k_ld, k_head;
    double scale; /* 1/sqrt(D) */
    const double *alibi; /* slope of each query head [n_heads], >= 0; NULL = none */
    int64_t window;      /* a query sees the last `window` keys up to its own position; 0 = all (Mistral's sliding window) */
    void *out;    /* S [T, n_heads*D], row stride ld_out */
    int64_t ld_out;
    void *lse;    /* A [n_heads, T] (head-major), T = q_start[n_seq]; natural log of sum exp of scaled scores; NULL = not wanted */
} cs_attn;

/* Backward of cs_attn for training (n_keys == n_q for every sequence). Gradients overwrite. */
typedef struct cs_attn_grad {
    const cs_attn *fwd;  /* with out and lse filled */
    const void *dout;    /* S [T, n_heads*D] */
    int64_t ld_dout;
    void *dq;            /* S, addressed as q with ld_dq */
    int64_t ld_dq;
    void *dk, *dv;       /* S, dk(row,g) = dk + row*ld_dkv + g*D; row counts over all sequences as q rows do */
    int64_t ld_dkv;
    void *work;          /* attn_work_bytes */
} cs_attn_grad;

/* How parameters are updated. What an element of them keeps between the updates: two moments, one, nothing. */
typedef enum cs_update_rule { CS_UPDATE_ADAMW, CS_UPDATE_MOMENTUM, CS_UPDATE_SGD } cs_update_rule;

static inline int cs_update_moments(cs_update_rule rule)
{
    return CS_UPDATE_SGD - (int)rule;
}

typedef struct cs_update {
    double lr, beta1, beta2, eps; /* AdamW; eps outside the square root */
    double weight_decay;          /* AdamW: decoupled, p -= lr*wd*p first; else added to the gradient, g += wd*p */
    int64_t step;                 /* AdamW: from 1, for bias correction */
    double grad_scale;            /* gradients are multiplied by this first (clipping) */
    double momentum;              /* CS_UPDATE_MOMENTUM */
} cs_update;

/* What the products with one weight hold besides their operands, in bytes. */
typedef struct cs_gemm_bytes {
    size_t pack[2]; /* the packed copy for y = x W^T [0] and for dx = dy W [1]; kept with the weight */
    size_t work[2]; /* workspace of y = x W^T alone [0], of all three products [1]; one for all weights, as large as the largest */
} cs_gemm_bytes;

typedef struct cs_kernels {
    const char *name;
    cs_dtype store, acc;

    /* --- matrix products. W is [N, K]; beta: 0 overwrites, 1 adds. ---------------------------------------------------- */
    /* y[T,N] = x[T,K] W^T (+ bias[N] when bias != NULL) + beta*y.  y has type y_dtype: S or A. */
    void (*gemm_fwd)(int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy, cs_dtype y_dtype, int beta);
    /* dx[T,K] = dy[T,N] W + beta*dx */
    void (*gemm_dgrad)(int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta);
    /* dw (A) [N,K] += dy[T,N]^T x[T,K]; dw row stride = K */
    void (*gemm_wgrad)(int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw);
    /* Packs w for y = x W^T, which from then on does not read w->data while the version stays. NULL where the products read w->data itself. */
    void (*weight_pack)(cs_weight *w);
    /* Frees what the backend packed. */
    void (*weight_release)(cs_weight *w);
    /* For T rows and a weight [rows, cols] on `threads` threads; allocates nothing. */
    cs_gemm_bytes (*gemm_bytes)(int64_t T, int64_t rows, int64_t cols, int threads);
    /* db (A) [N] += column sums of dy */
    void (*bias_grad)(int64_t T, int64_t N, const void *dy, int64_t ldy, void *db);

    /* --- per row ------------------------------------------------------------------------------------------------------- */
    /* RMSNorm (Zhang & Sennrich 2019): y = x * rstd * w, rstd = 1/sqrt(mean(x^2)+eps). rstd (A) [T] is always written. x, y contiguous. */
    void (*rmsnorm_fwd)(int64_t T, int64_t H, const void *x, const void *w, double eps, void *y, void *rstd);
    /* dx overwritten, dw (A) [H] +=. dx may be the same memory as dy. */
    void (*rmsnorm_bwd)(int64_t T, int64_t H, const void *dy, const void *x, const void *w, const void *rstd, void *dx, void *dw);
    /* LayerNorm (Ba et al. 2016): y = (x - mean) * rstd * w + b, rstd = 1/sqrt(var+eps), var without Bessel's correction. mean, rstd (A) [T] are
     * always written. x, y contiguous. */
    void (*layernorm_fwd)(int64_t T, int64_t H, const void *x, const void *w, const void *b, double eps, void *y, void *mean, void *rstd);
    /* dx overwritten, dw and db (A) [H] +=. dx may be the same memory as dy. */
    void (*layernorm_bwd)(int64_t T, int64_t H, const void *dy, const void *x, const void *w, const void *mean, const void *rstd, void *dx, void *dw,
                          void *db);
    /* y[r] = x[r] / max(|x[r]|, 1e-12) for N rows of K; length (A) [N] gets the divisor. */
    void (*unit_rows_fwd)(int64_t N, int64_t K, const void *x, void *y, void *length);
    /* dx (A) [N,K] += (dy - y (y . dy)) / length, dy (A). */
    void (*unit_rows_bwd)(int64_t N, int64_t K, const void *dy, const void *y, const void *length, void *dx);
    /* Rotates halves in place (HF rotate_half): n_heads heads of D at x + row*ldx + h*D by table row pos[row]; cos/sin (A) [max_pos, D/2].
     * sign +1 forward, -1 backward. */
    void (*rope)(int64_t T, int64_t n_heads, int64_t D, void *x, int64_t ldx, const int32_t *pos, const void *cos_table, const void *sin_table,
                 int sign);
    void (*attn_fwd)(const cs_attn *a);
    void (*attn_bwd)(const cs_attn_grad *g);
    /* Scratch that attn_bwd needs for T rows. */
    size_t (*attn_work_bytes)(int64_t T, int64_t n_heads, int64_t n_kv_heads, int64_t D);
    /* h[T,F] = silu(g) * u, gu = [T, 2F] holding g | u */
    void (*swiglu_fwd)(int64_t T, int64_t F, const void *gu, void *h);
    /* dgu[T,2F] = (dg | du); also writes h again, with the bits of swiglu_fwd, when h != NULL (recompute). dgu may be gu. */
    void (*swiglu_bwd)(int64_t T, int64_t F, const void *dh, const void *gu, void *dgu, void *h);
    /* h = gelu(x) in the tanh form (Hendrycks & Gimpel 2016, as BLOOM has it): 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). x, h [T, F]. */
    void (*gelu_fwd)(int64_t T, int64_t F, const void *x, void *h);
    /* dx = dh * gelu'(x); also writes h again, with the bits of gelu_fwd, when h != NULL (recompute). dx may be x. */
    void (*gelu_bwd)(int64_t T, int64_t F, const void *dh, const void *x, void *dx, void *h);

    /* --- embedding and loss ---------------------------------------------------------------------------------------------- */
    /* Rows [first, first+V) of a vocabulary lie here: w S [V,H], dw A [V,H]. A row whose id lies on another rank is skipped.
     * y[t] = w[ids[t] - first], or zeros. */
    void (*embed_fwd)(int64_t T, int64_t H, int64_t V, int64_t first, const int32_t *ids, const void *w, void *y);
    /* dw[ids[t] - first] += dy[t], in row order (same bits for any number of threads). */
    void (*embed_bwd)(int64_t T, int64_t H, int64_t V, int64_t first, const int32_t *ids, const void *dy, void *dw);
    /* Cross-entropy over the V columns that lie here, in two steps, so that the statistics of several ranks can be joined between them.
     * logits (A) [T, V] row stride V; label[t] counts from the first column here and is outside [0, V) where it lies on another rank; V may be 0.
     * Statistics, f64 [T]: top[t] = largest logit (-inf for V = 0), sum[t] = sum of exp(logit - top[t]) (0 where top is -inf), picked[t] =
     * logits[t][label[t]], or 0 where the label is not here. A row of weight 0 is not looked at: top 0, sum 1, picked 0.
     * Loss of a row: weight * (lse - picked) with lse = top + log(sum). */
    void (*ce_stats)(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double *top, double *sum, double *picked);
    /* dlogits (S) = weight * scale * (exp(logit - lse[t]) - onehot(label[t])), onehot only where the label is here; rows of weight 0 give 0.
     * dlogits may be the same memory as logits: row t then starts where row t of logits starts, with ldd = V elements of A counted in S. */
    void (*ce_grad)(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double scale, const double *lse,
                    void *dlogits, int64_t ldd);

    /* --- flat vectors ---------------------------------------------------------------------------------------------------- */
    void (*add)(int64_t n, void *y, const void *x);                       /* y += x, both S */
    void (*acc_add)(int64_t n, void *y, const void *x);                   /* y += x, both A */
    void (*acc_scale)(int64_t n, void *y, double a);                      /* y *= a, A */
    double (*acc_sumsq)(int64_t n, const void *x);                        /* f64 sum of squares of A, cut in chunks of 4096 summed in order */
    bool (*acc_finite)(int64_t n, const void *x);                         /* all finite, A */
    void (*to_acc)(int64_t n, const void *x, void *y);                    /* S -> A */
    void (*from_acc)(int64_t n, const void *x, void *y);                  /* A -> S, round to nearest even */
    /* One fused pass of AdamW (Loshchilov & Hutter 2019) over master p, moments m, v, gradient g (all A); writes S copy to `store`
     * when store != NULL and store != p. */
    void (*adamw)(int64_t n, void *p, void *m, void *v, const void *g, const cs_update *h, void *store);
    /* The same for gradient descent: d = g + wd*p; with m != NULL d = m = momentum*m + d (torch's form, without dampening); p -= lr*d. */
    void (*sgd)(int64_t n, void *p, void *m, const void *g, const cs_update *h, void *store);
} cs_kernels;

/* The complete reference table for a store type (f64, f32, bf16, f16). */
const cs_kernels *cs_kernels_ref(cs_dtype store);

/* How a table may be asked for. `isa`: "auto", "ref", "avx2", "avx512" (an ISA this CPU lacks: CS_E_USAGE). `gemm`: "auto" (a short
 * measurement decides), "own", "own-f32" (bf16 in memory, f32 arithmetic, on a CPU whose "own" is the bf16 dot product), "onednn" (not in
 * this build or not for this CPU and type: CS_E_USAGE). */
typedef struct cs_kernels_request {
    cs_dtype store;
    const char *isa, *gemm;
} cs_kernels_request;

/* The table to use: CPU kernels laid over the reference. f64 always gets the reference (with a faster GEMM loop of the same sums).
 * *gemm_chosen (may be NULL) gets "own", "own-f32" or "onednn": recorded in trainer/state.json and asked for again on resume. */
cs_status cs_kernels_select(const cs_kernels_request *req, const cs_kernels **out, const char **gemm_chosen, cs_error *err);

/* "avx512+bf16", "avx2", "generic": what run-time dispatch found on this CPU. */
const char *cs_kernels_cpu_isa(void);

/* Every table of this build that this CPU can run, for tests: fills up to `max`, returns the number. */
int cs_kernels_all(const cs_kernels **out, int max);

/* Raw loops for `bench`: what this machine can do at most, on `threads` OpenMP threads, with the widest vectors it has. */
/* Work done in *work (multiply and add count as two), seconds returned. type F32: fused multiply-adds; BF16: dot products into f32.
 * 0 when this CPU has no such instruction. */
double cs_probe_flops(cs_dtype type, int threads, double *work);
/* Seconds to read `bytes` (a multiple of 4096) from memory, each thread its own sequential part. */
double cs_probe_read(const void *src, size_t bytes, int threads);
/* Seconds to copy with stores that bypass the caches. dst and src 64-byte aligned. */
double cs_probe_copy(void *dst, const void *src, size_t bytes, int threads);

#endif
