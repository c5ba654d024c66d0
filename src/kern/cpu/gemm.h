/* The matrix products of the CPU backend: C[M,N] = A[M,K] B[K,N] in three forms (y = x W^T, dx = dy W, dW += dy^T x).
 * Three layers: a cs_gemm_kind is one micro-kernel with its packing routines (one per instruction set and type); gemm.c drives any
 * kind over blocks and threads; a cs_gemm_ops row is one complete way to do the products that the kernel table can be filled with.
 * Invariant: an element of C is summed by one thread, over k in ascending order inside blocks of kc elements, and the block sums are
 * added in ascending order. So its bits depend neither on the number of threads nor on M, N or the position in the matrix.
 * Private to src/kern/cpu. */
#ifndef CS_KERN_CPU_GEMM_H
#define CS_KERN_CPU_GEMM_H

#include "kern/cpu/cpu.h"

/* Packed panels are made of 32-bit words: an f32 value, or a pair of bf16 or f16 that are neighbours along K (the lower k in the low half).
 * A panel of width pw holds words [k][pw]. */
typedef struct cs_gemm_kind {
    cs_dtype store;        /* type of x, W, dy: CS_F32, CS_BF16 or CS_F16 */
    bool a_pairs, b_pairs; /* the panels of A, of B hold pairs */
    int mr, nr;            /* rows and columns of C that the micro-kernel holds in registers */
    int64_t kc, mc;        /* block of K (elements, even) and of M */
    /* c[mr,nr] = (add ? c : 0) + A panel (width pw >= mr) times B panel (width kind->nr), both of `words` words. B has A's word type. */
    void (*tile)(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add);
    /* The same sums for few rows: B comes as packed (pairs stay pairs) and is read once, from memory. */
    void (*tile_stream)(int64_t words, const uint32_t *a, int pw, const uint32_t *b, float *c, int64_t ldc, int mr, int nr, bool add);
    /* Pack n rows (or columns) and k inner elements into a panel; beyond n and an odd k: zeros.
     * _rows: element (i, k) at src + i*ld + k. _cols: at src + k*ld + i. */
    void (*pack_a_rows)(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst);
    void (*pack_a_cols)(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst);
    void (*pack_b_rows)(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst);
    void (*pack_b_cols)(int64_t k, int n, const void *src, int64_t ld, int pw, uint32_t *dst);
    /* B panel of `words` pair rows -> 2*words f32 rows; NULL when A and B have the same word type. */
    void (*widen)(int64_t words, const uint32_t *src, uint32_t *dst);
    /* c = bias + (beta ? y : 0) as f32; bias (store type) may be NULL; y of type y_dtype; c may be y. */
    void (*start)(int mr, int nr, const void *bias, const void *y, int64_t ldy, cs_dtype y_dtype, int beta, float *c, int64_t ldc);
    /* y = c rounded to the 16-bit store type. */
    void (*round)(int mr, int nr, const float *c, int64_t ldc, uint16_t *y, int64_t ldy);
} cs_gemm_kind;

enum { CS_GEMM_MAX_TILE = 14 * 32 }; /* largest mr * nr */

/* The three products over one kind; arguments as in the kernel table. Packed weights: see gemm.c. */
void cs_gemm_run_fwd(const cs_gemm_kind *g, int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy,
                     cs_dtype y_dtype, int beta);
void cs_gemm_run_dgrad(const cs_gemm_kind *g, int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta);
void cs_gemm_run_wgrad(const cs_gemm_kind *g, int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx,
                       void *dw);
/* As the kernel table's weight_pack. */
void cs_gemm_run_pack(const cs_gemm_kind *g, cs_weight *w);
/* Frees pack[0] and pack[1] that cs_gemm_run_* made. */
void cs_gemm_run_release(cs_weight *w);

/* As the kernel table's gemm_bytes. */
cs_gemm_bytes cs_gemm_run_bytes(const cs_gemm_kind *g, int64_t T, int64_t rows, int64_t cols, int threads);

/* One complete way to do the products, as it goes into a kernel table. */
typedef struct cs_gemm_ops {
    void (*fwd)(int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy, cs_dtype y_dtype, int beta);
    void (*dgrad)(int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta);
    void (*wgrad)(int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw);
    void (*pack)(cs_weight *w); /* NULL: plain weights are read too */
    void (*release)(cs_weight *w);
    cs_gemm_bytes (*bytes)(int64_t T, int64_t rows, int64_t cols, int threads);
} cs_gemm_ops;

/* Defines `name`, the products over the cs_gemm_kind `kind` of the same file. */
#define CS_GEMM_OPS(name, kind)                                                                                                                  \
    static void kind##_fwd(int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy, cs_dtype y_dtype,        \
                           int beta)                                                                                                             \
    {                                                                                                                                            \
        cs_gemm_run_fwd(&kind, T, x, ldx, w, bias, y, ldy, y_dtype, beta);                                                                       \
    }                                                                                                                                            \
    static void kind##_dgrad(int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta)                              \
    {                                                                                                                                            \
        cs_gemm_run_dgrad(&kind, T, dy, ldy, w, dx, ldx, beta);                                                                                  \
    }                                                                                                                                            \
    static void kind##_wgrad(int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw)                 \
    {                                                                                                                                            \
        cs_gemm_run_wgrad(&kind, T, N, K, dy, ldy, x, ldx, dw);                                                                                  \
    }                                                                                                                                            \
    static void kind##_pack(cs_weight *w)                                                                                                        \
    {                                                                                                                                            \
        cs_gemm_run_pack(&kind, w);                                                                                                              \
    }                                                                                                                                            \
    static cs_gemm_bytes kind##_bytes(int64_t T, int64_t rows, int64_t cols, int threads)                                                        \
    {                                                                                                                                            \
        return cs_gemm_run_bytes(&kind, T, rows, cols, threads);                                                                                 \
    }                                                                                                                                            \
    const cs_gemm_ops name = {kind##_fwd, kind##_dgrad, kind##_wgrad, kind##_pack, cs_gemm_run_release, kind##_bytes}

extern const cs_gemm_ops cs_gemm_f32_avx2, cs_gemm_f32_avx512;
extern const cs_gemm_ops cs_gemm_bf16_avx2, cs_gemm_bf16_avx512; /* bf16 in memory, f32 arithmetic */
extern const cs_gemm_ops cs_gemm_f16_avx2, cs_gemm_f16_avx512;   /* f16 in memory, f32 arithmetic */
extern const cs_gemm_ops cs_gemm_bf16_dot;                       /* vdpbf16ps */
#ifdef CS_HAVE_DNNL
/* NULL when oneDNN has no fast product of this type for `isa`. */
const cs_gemm_ops *cs_gemm_dnnl(cs_dtype store, cs_isa isa);
#endif

#endif
