/* What the parts of `cspeed plan` share. Private to src/cli. */
#ifndef CS_CLI_PLAN_H
#define CS_CLI_PLAN_H

#include "base/str.h"
#include "parallel/search.h"
#include "train/config.h"

enum { CS_PLAN_BEST = 10 };

typedef struct cs_plan {
    cs_spec spec;
    cs_param_table table;
    cs_schedule schedule;
    cs_memory_request request;
    cs_memory *stage;     /* [pp] */
    int64_t parameters;
    double flops, executed;
    cs_machine machine;   /* training only, as the rest */
    bool measured;
    cs_simulation sim;
    double steps;         /* of the whole run; 0 = not told */
    cs_search_result *best; /* [n_best] of a search */
    int n_best;
    cs_search_count count;
    int64_t columns;      /* of the diagram; 0 = none */
} cs_plan;

int64_t cs_plan_largest_stage(const cs_plan *p);
void cs_plan_print_text(const cs_plan *p);
/* CS_E_NOMEM. */
cs_status cs_plan_print_json(const cs_plan *p, cs_error *err);

/* The step as characters, one row per stage (two where a stage has several chunks: micro-batch, chunk), at most `columns` wide; appended to *out. */
void cs_plan_diagram(const cs_plan *p, int64_t columns, cs_str *out);
/* The whole step as SVG text, appended to *out. */
void cs_plan_svg(const cs_plan *p, cs_str *out);
/* The step as a Chrome trace, appended to *out. CS_E_NOMEM. */
cs_status cs_plan_trace(const cs_plan *p, cs_str *out, cs_error *err);

/* Measures this machine with ranks_per_host forked ranks at once, of q->threads threads each (q needs spec, layout and threads only): arithmetic with
 * the products and the attention of the model's own shapes, packing, memory, sums between ranks. What lies between hosts is assumed. `gemm` gets
 * the choice of products for the kernels asked for. Comes before anything that starts a thread. Takes a few seconds. */
cs_status cs_plan_measure(const cs_memory_request *q, const cs_kernels_request *ask, int64_t ranks_per_host, cs_machine *out, char gemm[16],
                          cs_error *err);

#endif
