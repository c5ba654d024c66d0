/* A training step on a virtual clock: every stage runs its part of the schedule's table, as the executor does, with the costs of parallel/cost.h in
 * place of the work. The data-parallel and tensor-parallel ranks of a stage do the same at the same time, so one of each is run: thousands of ranks
 * cost no more than the pipeline's actions.
 *
 * A stage receives (and waits), starts the reduction that the action names, computes, sends. What a machine can do beside computing (the `overlap`
 * of cs_machine) leaves the stage free at once; messages go before a reduction that is under way. After its last action a stage reduces what is
 * left; when all are done comes the optimizer. */
#ifndef CS_PARALLEL_SIMULATE_H
#define CS_PARALLEL_SIMULATE_H

#include "parallel/cost.h"

/* Computing of one action, in seconds from the step's start. */
typedef struct cs_sim_span {
    double start, end;
} cs_sim_span;

/* Seconds of a stage in one step. */
typedef struct cs_sim_stage {
    double compute, tensor, messages;
    double busy, wait; /* of the time up to the end of the pipeline's last action; busy: computing and whatever takes the processor */
    double pipeline_end, reduced;           /* when its last action and its last reduction were done */
    double optimizer;                       /* and the gathering of weights */
    cs_sim_span *span;                      /* [n_actions] */
} cs_sim_stage;

typedef struct cs_simulation {
    double step_s, pipeline_s; /* the whole; up to the last action of the last stage */
    double tokens_per_s;       /* of all ranks */
    double bubble;             /* share of pipeline_s in which a stage waits, mean over the stages */
    /* means over the stages; exposed = what the step would be shorter without */
    double compute_s, tensor_s, messages_s, messages_exposed_s;
    double gradients_s, gradients_exposed_s; /* of the stage with most: reduction over DP, gathers of ZeRO, tied embedding */
    double optimizer_s;
    cs_sim_stage *stage; /* [pp] */
} cs_simulation;

/* q: of a training layout, with its schedule. Results in `arena`. CS_E_NOMEM. */
cs_status cs_simulate(const cs_memory_request *q, const cs_machine *m, cs_arena *arena, cs_simulation *out, cs_error *err);

/* step_s alone, nothing kept in `scratch`; what a search asks thousands of times. */
cs_status cs_simulate_step(const cs_memory_request *q, const cs_machine *m, cs_arena *scratch, double *step_s, cs_error *err);

/* A time below which no schedule of the layout gets: the busiest stage without any waiting. */
double cs_simulate_bound(const cs_memory_request *q, const cs_machine *m);

#endif
