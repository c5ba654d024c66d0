/* Choice between matrix products of the CPU back end. */
#include <string.h>

#include "kern/cpu/cpu.h"

bool cs_cpu_gemm_install(cs_kernels *table, cs_isa isa, const char *gemm)
{
    (void)table, (void)isa;
    return strcmp(gemm, "own") == 0; /* the reference product stays */
}

const char *cs_cpu_gemm_measure(const cs_kernels *own, const cs_kernels *onednn)
{
    (void)own, (void)onednn;
    return "own";
}
