/* What a run of several ranks does against its own ranks: deadlines for their waits, a check that they were started alike, and faults on purpose. */
#ifndef CS_TRAIN_GUARD_H
#define CS_TRAIN_GUARD_H

#include "comm/comm.h"

enum { CS_GUARD_STEPS = 31 };

/* Seconds of the last steps, in a ring. */
typedef struct cs_guard {
    double given;       /* seconds of --comm-deadline; < 0: from the steps */
    double state_bytes; /* what all ranks together read and write as a checkpoint; 0 = not known yet */
    double seconds[CS_GUARD_STEPS];
    int64_t n;    /* steps so far */
} cs_guard;

typedef enum cs_fault_kind { CS_FAULT_NONE, CS_FAULT_KILL, CS_FAULT_HANG, CS_FAULT_EXIT0, CS_FAULT_SLOW } cs_fault_kind;
/* KIND@RANK:STEP of --simulate. */
typedef struct cs_fault {
    cs_fault_kind kind;
    int64_t rank, step;
} cs_fault;

/* text NULL: none. CS_E_USAGE: not KIND@RANK:STEP with a rank of `world`. */
cs_status cs_fault_parse(const char *text, int64_t world, cs_fault *out, cs_error *err);
/* Before `step` on this rank: kill ends the process by SIGKILL, hang stops it for ever, exit0 ends it as if all were well; slow takes a second more,
 * in this step and all later ones. */
void cs_fault_strike(const cs_fault *fault, int64_t rank, int64_t step);

/* The deadline of the waits from here on. Steps (step >= 0): 10 times the median of the last steps, 60 s at least; before there is a step, and in
 * sections without one (step -1: "init", "save", "end"): 600 s and a second for every 50 MB of the checkpoint. `given` replaces all of them; 0 =
 * none. Not collective. */
void cs_guard_section(const cs_guard *g, cs_comm *c, const char *name, int64_t step);
void cs_guard_note_step(cs_guard *g, double seconds);

/* Compares JSON objects, key by key, over all ranks: CS_E_USAGE on all of them names the ranks that differ and the first such key with both values.
 * `json` is this rank's. Collective over c. CS_E_NOMEM. */
cs_status cs_guard_check_same(cs_comm *c, const char *json, cs_error *err);

#endif
