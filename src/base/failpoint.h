/* Deliberate failures for tests: always compiled, off by default. A spec is a comma list of KIND[:WHAT]@N or KIND[:WHAT]@N+
 * (the N-th call from 1, `+` = that and every later one), for example `io:enospc@17`, `mem@203`, `kill@write:41`.
 * Kinds: mem (allocation returns NULL), io:eio|enospc|eintr|short (a call of io.c fails so), and
 * kill@SITE:N (SIGKILL to oneself at the N-th call of that site; sites are open read write fsync rename mmap mkdir unlink). */
#ifndef CS_BASE_FAILPOINT_H
#define CS_BASE_FAILPOINT_H

#include "base/error.h"

/* Parses and arms `spec` (borrowed for the program's life; NULL = nothing). CS_E_USAGE on a malformed spec. */
cs_status cs_failpoint_arm(const char *spec, cs_error *err);

/* True when the allocation failpoint fires at this call. */
bool cs_failpoint(const char *kind);

/* For io.c: counts one call of `site`; returns 0 or the errno that this call must fail with (-1 = do a short transfer). */
int cs_failpoint_io(const char *site);

#endif
