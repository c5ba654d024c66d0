/* Progress and messages on stderr. The level is the one allowed global besides the kernel table, set in main. */
#ifndef CS_BASE_LOG_H
#define CS_BASE_LOG_H

#include "base/error.h"

typedef enum cs_log_level { CS_LOG_QUIET, CS_LOG_NORMAL, CS_LOG_VERBOSE } cs_log_level;

void cs_log_set(cs_log_level level);
cs_log_level cs_log_get(void);
/* "cspeed: text" to stderr unless quiet. */
void cs_note(const char *fmt, ...) CS_PRINTF(1, 2);
/* "cspeed: warning: text", also when quiet. */
void cs_warn(const char *fmt, ...) CS_PRINTF(1, 2);
/* Only with --verbose. */
void cs_debug(const char *fmt, ...) CS_PRINTF(1, 2);

/* A bar with rate and ETA on a terminal, a plain line every 10 s elsewhere, nothing when quiet or before 2 s have passed. */
typedef struct cs_progress {
    const char *label, *unit;
    double start, last_draw;
    int64_t total; /* 0 = unknown */
    bool tty, drawn;
} cs_progress;
void cs_progress_init(cs_progress *p, const char *label, const char *unit, int64_t total);
void cs_progress_update(cs_progress *p, int64_t done, const char *extra); /* extra: short text at the end, may be NULL */
void cs_progress_finish(cs_progress *p, int64_t done);

#endif
