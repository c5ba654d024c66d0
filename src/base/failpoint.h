/* Deliberate failures for tests: always compiled, off by default. A spec is a comma list of
 *   mem@N            the N-th allocation returns NULL (also what stands for one: the memory that ranks share)
 *   io:ERROR@N       the N-th call that can fail so fails; ERROR is eio, enospc, emfile, eagain, eintr, or short (moves less than was asked)
 *   io:ERROR:SITE@N  the same for one kind of call only
 *   kill@SITE:N      SIGKILL to oneself at the N-th call of that site
 * N counts from 1. `+` behind it means that call and every later one; `#R` at the end means in forked rank R only.
 * Sites: open create read write fsync close rename mmap mkdir link unlink rmdir list lock truncate of io.c, thread and fork elsewhere. Each
 * process counts for itself, forked ranks from where the launching process was. eintr, short and enospc meet (and count) only the sites
 * where the system may answer so: a full disk can still be read and cleaned. */
#ifndef CS_BASE_FAILPOINT_H
#define CS_BASE_FAILPOINT_H

#include "base/error.h"

#include <stdatomic.h>

/* What the armed points met; may lie in memory that forked processes share. */
typedef struct cs_failpoint_report {
    atomic_llong calls; /* most calls that one point of one process has counted */
    atomic_llong fired; /* calls that were made to fail */
    atomic_uint sites;  /* bit 1 << cs_failpoint_site(name) of each io site that failed */
} cs_failpoint_report;

/* Parses and arms `spec` (borrowed for the program's life; NULL = nothing). CS_E_USAGE on a malformed spec. */
cs_status cs_failpoint_arm(const char *spec, cs_error *err);
/* Where to write what happens from now on (borrowed; NULL = nowhere). */
void cs_failpoint_watch(cs_failpoint_report *report);
/* Says that this process is forked rank `rank`; for points with #R. */
void cs_failpoint_set_rank(int rank);

/* True when the allocation failpoint fires at this call. */
bool cs_failpoint_mem(void);

/* Counts one call of `site`; returns 0 or the errno that this call must fail with (-1 = do a short transfer). */
int cs_failpoint_io(const char *site);
/* Number of an io site, -1 if there is none of that name. */
int cs_failpoint_site(const char *name);

#endif
