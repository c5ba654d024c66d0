/* CPU kernels compiled for avx512. */
#include "kern/cpu/cpu.h"

void cs_cpu_install_avx512(cs_kernels *table)
{
    (void)table;
}
