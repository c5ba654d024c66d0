/* One thread's part of the raw loops behind cs_probe_*. Private to src/kern/cpu. */
#ifndef CS_KERN_CPU_PROBE_H
#define CS_KERN_CPU_PROBE_H

#include <stddef.h>
#include <stdint.h>

enum { CS_PROBE_CHAINS = 12 }; /* independent accumulators: hides the latency of two units */

/* Each runs `steps` rounds over the accumulators and returns their sum, so that nothing can be left out. */
float cs_probe_fma_avx2(int64_t steps);
float cs_probe_fma_avx512(int64_t steps);
float cs_probe_dot_avx512bf16(int64_t steps);
uint64_t cs_probe_read_avx2(const void *src, size_t bytes);
uint64_t cs_probe_read_avx512(const void *src, size_t bytes);
void cs_probe_copy_avx2(void *dst, const void *src, size_t bytes);
void cs_probe_copy_avx512(void *dst, const void *src, size_t bytes);

#endif
