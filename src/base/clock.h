/* Monotonic seconds for intervals; wall clock for records only. */
#ifndef CS_BASE_CLOCK_H
#define CS_BASE_CLOCK_H

#include <time.h>

static inline double cs_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Processor seconds of the calling thread: time in which others had the core does not count. */
static inline double cs_clock_thread(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Unix time in seconds. */
static inline double cs_clock_wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
