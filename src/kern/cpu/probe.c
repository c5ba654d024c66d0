/* Limits of the machine, measured by loops that do nothing else. */
#include "kern/cpu/cpu.h"
#include "kern/cpu/probe.h"

#include "base/clock.h"

#include <omp.h>

enum { STEPS = 2000000, PAGE = 4096 };

/* Keeps a result alive. */
static void use(double x)
{
    __asm__ volatile("" : : "m"(x) : "memory");
}

static float fma_generic(int64_t steps)
{
    float acc[CS_PROBE_CHAINS] = {0}, m = 0.5f, a = 1.0f, sum = 0;
    for (int64_t s = 0; s < steps; s++)
        for (int i = 0; i < CS_PROBE_CHAINS; i++)
            acc[i] = acc[i] * m + a;
    for (int i = 0; i < CS_PROBE_CHAINS; i++)
        sum += acc[i];
    return sum;
}

static uint64_t read_generic(const void *src, size_t bytes)
{
    const uint64_t *p = src;
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes / 8; i++)
        sum += p[i];
    return sum;
}

static void copy_generic(void *dst, const void *src, size_t bytes)
{
    memcpy(dst, src, bytes);
}

typedef struct loops {
    float (*fma)(int64_t);
    int fma_lanes;
    float (*dot)(int64_t);
    uint64_t (*read)(const void *, size_t);
    void (*copy)(void *, const void *, size_t);
} loops;

static loops find_loops(void)
{
#if defined(__x86_64__)
    cs_isa isa = cs_cpu_detect();
    if (isa >= CS_ISA_AVX512)
        return (loops){cs_probe_fma_avx512, 16, isa >= CS_ISA_AVX512BF16 ? cs_probe_dot_avx512bf16 : NULL, cs_probe_read_avx512,
                       cs_probe_copy_avx512};
    if (isa == CS_ISA_AVX2)
        return (loops){cs_probe_fma_avx2, 8, NULL, cs_probe_read_avx2, cs_probe_copy_avx2};
#endif
    return (loops){fma_generic, 1, NULL, read_generic, copy_generic};
}

double cs_probe_flops(cs_dtype type, int threads, double *work)
{
    loops l = find_loops();
    float (*run)(int64_t) = type == CS_BF16 ? l.dot : type == CS_F32 ? l.fma : NULL;
    if (!run)
        return 0;
    *work = (type == CS_BF16 ? 64.0 : 2.0 * l.fma_lanes) * CS_PROBE_CHAINS * STEPS * threads;
    double start = cs_clock_now();
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++)
        use(run(STEPS));
    return cs_clock_now() - start;
}

/* Bytes before the part of thread t of n. */
static size_t part_at(size_t bytes, int t, int n)
{
    return bytes / PAGE * (size_t)t / (size_t)n * PAGE;
}

double cs_probe_read(const void *src, size_t bytes, int threads)
{
    loops l = find_loops();
    double start = cs_clock_now();
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++) {
        size_t lo = part_at(bytes, t, threads), hi = part_at(bytes, t + 1, threads);
        use((double)l.read((const char *)src + lo, hi - lo));
    }
    return cs_clock_now() - start;
}

double cs_probe_copy(void *dst, const void *src, size_t bytes, int threads)
{
    loops l = find_loops();
    double start = cs_clock_now();
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++) {
        size_t lo = part_at(bytes, t, threads), hi = part_at(bytes, t + 1, threads);
        l.copy((char *)dst + lo, (const char *)src + lo, hi - lo);
    }
    return cs_clock_now() - start;
}
