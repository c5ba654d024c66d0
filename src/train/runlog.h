/* The records of a run: the run folder with its lock, metrics.jsonl, log.txt, TensorBoard events, command.txt, env.json, config.json.
 * Only rank 0 has them; on other ranks (and without --save) every call is a no-op. */
#ifndef CS_TRAIN_RUNLOG_H
#define CS_TRAIN_RUNLOG_H

#include "base/io.h"
#include "base/log.h"

#include <jansson.h>

typedef struct cs_runlog {
    bool active;          /* has a folder */
    bool speaks;          /* writes lines to stderr */
    char *dir;            /* owned */
    int lock;             /* fd, -1 = none */
    cs_writer metrics, log, events;
    bool has_events;
    cs_progress bar;
} cs_runlog;

/* Makes and locks the folder (waits up to 10 s for another run; CS_E_IO names its pid). dir NULL: no folder. */
cs_status cs_runlog_init(cs_runlog *r, const char *dir, bool speaks, cs_error *err);
/* Opens the files for a run that starts after `step` steps: a torn last row of metrics.jsonl and rows past `step` are dropped;
 * step 0 starts the file anew. events_dir NULL: the run folder. */
cs_status cs_runlog_open(cs_runlog *r, int64_t step, const char *events_dir, cs_error *err);
/* Writes DIR/name atomically. */
cs_status cs_runlog_file(cs_runlog *r, const char *name, const char *text, cs_error *err);
/* Appends one object as a row of metrics.jsonl, in one write. */
cs_status cs_runlog_row(cs_runlog *r, const json_t *row, cs_error *err);
/* One TensorBoard scalar (float) at `step`. */
cs_status cs_runlog_scalar(cs_runlog *r, const char *tag, int64_t step, double value, cs_error *err);
/* One line to log.txt, and to stderr when this rank speaks and stderr is no terminal with a bar (or `always`). */
void cs_runlog_line(cs_runlog *r, bool always, const char *fmt, ...) CS_PRINTF(3, 4);
void cs_runlog_release(cs_runlog *r);

#endif
