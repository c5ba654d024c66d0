/* Private to kern/: what select.c asks of the CPU kernels. Each install function sets slots of a table that starts as a copy of the
 * reference table of its store type (f32, bf16 or f16) and leaves the other slots alone. */
#ifndef CS_KERN_CPU_H
#define CS_KERN_CPU_H

#include "tensor/kernels.h"

/* In rising order: a CPU of one level runs every level below it. */
typedef enum cs_isa {
    CS_ISA_GENERIC,    /* no x86 vectors assumed */
    CS_ISA_AVX2,       /* + FMA, F16C */
    CS_ISA_AVX512,     /* F, BW, VL, DQ */
    CS_ISA_AVX512BF16, /* + AVX512_BF16 dot products */
} cs_isa;

/* What this CPU (and its operating system) can run. */
cs_isa cs_cpu_detect(void);

/* Sets gemm_fwd, gemm_dgrad, gemm_wgrad, weight_release and gemm_bytes of `table` (table->store says which type) for code up to `isa`.
 * gemm: "own" (on a CPU with bf16 dot products: those), "own-f32" (bf16 in memory, f32 arithmetic, where "own" is the other) or
 * "onednn". Returns false, table untouched, when this build or `isa` has no such product. */
bool cs_cpu_gemm_install(cs_kernels *table, cs_isa isa, const char *gemm);

/* Times the products of n <= 4 tables of one store type on a shape of a transformer layer on one thread, some 30 ms in all, and returns the index of
 * the fastest. All are valid; results differ in rounding only. */
int cs_cpu_gemm_measure(const cs_kernels *const *tables, int n);

/* Everything but the products, for a table of that store type. No-op in a build for another CPU. */
void cs_cpu_install_f32_avx2(cs_kernels *table);
void cs_cpu_install_f32_avx512(cs_kernels *table);
void cs_cpu_install_bf16_avx2(cs_kernels *table);
void cs_cpu_install_bf16_avx512(cs_kernels *table);
void cs_cpu_install_f16_avx2(cs_kernels *table);
void cs_cpu_install_f16_avx512(cs_kernels *table);

/* The reference product in f64 compiled with wider vectors: same sums, same bits. No-op in a build for another CPU. */
void cs_cpu_install_f64_avx2(cs_kernels *table);

#endif
