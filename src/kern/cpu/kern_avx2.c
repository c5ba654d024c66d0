/* CPU kernels compiled for avx2. */
#include "kern/cpu/cpu.h"

void cs_cpu_install_avx2(cs_kernels *table)
{
    (void)table;
}
