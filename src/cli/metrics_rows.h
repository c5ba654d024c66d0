/* Reads RUN/metrics.jsonl, one JSON object a line, into columns. */
#ifndef CS_CLI_METRICS_ROWS_H
#define CS_CLI_METRICS_ROWS_H

#include "base/error.h"

typedef struct cs_metrics {
    char *name, *path; /* run as the user named it, file that was read */
    size_t n_rows, n_keys;
    double *step;      /* [n_rows], strictly ascending */
    double *value;     /* [n_keys][n_rows]; NaN where the row has no number under that key */
    bool torn;         /* the last line was cut and is left out */
} cs_metrics;

/* `run` is a run folder or the file itself. A row that starts over at an earlier step replaces the rows from there on.
 * CS_E_IO; CS_E_FORMAT naming the line (a cut last line is no error); CS_E_NOMEM. Release also after a failure. */
cs_status cs_metrics_init(cs_metrics *m, const char *run, const char *const *keys, size_t n_keys, cs_error *err);
void cs_metrics_release(cs_metrics *m);
/* Finite points of a key as x (step, or the values of key x_key >= 0) and y into x[n_rows], y[n_rows]; returns their number. */
size_t cs_metrics_points(const cs_metrics *m, size_t key, int x_key, double *x, double *y);

#endif
