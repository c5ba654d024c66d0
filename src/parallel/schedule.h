/* A pipeline schedule is data: what every stage of the pipeline does, in order. Generators make it, one executor runs it (parallel/pipeline.h), the
 * same table is checked for deadlock, drawn, and run on a virtual clock. Arithmetic only: no communication.
 *
 * The model is cut into pp * chunks pieces; piece chunk * pp + stage is the stage's `chunk`. A message is told apart by (pass, piece that sends it,
 * micro-batch). Sends never block, receives do. An action receives, starts the reduction it names, computes, sends. */
#ifndef CS_PARALLEL_SCHEDULE_H
#define CS_PARALLEL_SCHEDULE_H

#include "base/error.h"
#include "base/mem.h"

enum { CS_SCHEDULE_MAX_CHUNKS = 1024 }; /* of a stage */

typedef enum cs_schedule_kind {
    CS_SCHEDULE_1F1B,        /* one chunk a stage; also the "optimized" pipeline: micro-batches of different sizes change no order */
    CS_SCHEDULE_INTERLEAVED, /* v chunks a stage (Narayanan et al. 2021) */
    CS_SCHEDULE_AIAO,        /* Fold3D, all in, all out: all forwards of chunk 0, of chunk 1, ..; then all backwards of the last chunk, .. */
    CS_SCHEDULE_FIFO,        /* Fold3D in the interleaved order */
    CS_SCHEDULE_FORWARD      /* forward passes only: evaluation; nothing is kept */
} cs_schedule_kind;

typedef enum cs_pass { CS_PASS_FORWARD, CS_PASS_BACKWARD } cs_pass;

typedef struct cs_action {
    cs_pass pass;
    int chunk;          /* of this stage: 0..v-1; the model's piece is chunk * pp + stage */
    int64_t micro;      /* micro-batch 0..m-1 */
    int recv_from;      /* stage that sends this action's input (activations, or gradients in a backward), -1 = none */
    int send_to;        /* stage that gets its output, -1 = none */
    int64_t slot;       /* stash slot of (chunk, micro): taken by the forward, given back by the backward; -1 in a FORWARD schedule */
    int start_reduce;   /* chunk whose gradients are complete and whose reduction over DP starts BEFORE this action computes, -1 = none;
                         * chunks that no action names are reduced at the end of the step */
} cs_action;

typedef struct cs_stage_plan {
    cs_action *action;
    int64_t n_actions, n_slots; /* slots: the most that are taken at once */
} cs_stage_plan;

typedef struct cs_schedule {
    cs_schedule_kind kind;
    int pp, chunks;
    int64_t n_micro;
    cs_stage_plan *stage; /* [pp] */
} cs_schedule;

/* "1f1b", "interleaved", "aiao", "fifo", "forward". Borrowed constant. */
const char *cs_schedule_name(cs_schedule_kind kind);

/* Tables in `arena`. Legal: pp, chunks, n_micro >= 1; with several chunks pp >= 2; 1F1B has one chunk; INTERLEAVED and FIFO over several stages need
 * n_micro to be a multiple of pp. With pp = 1 every kind but FORWARD is F0 B0 F1 B1 ...
 * CS_E_NOMEM; CS_E_USAGE with the rule that is broken. */
cs_status cs_schedule_init(cs_schedule *s, cs_schedule_kind kind, int pp, int chunks, int64_t n_micro, cs_arena *arena, cs_error *err);

/* Any table: every (chunk, micro-batch) forward once, backward once and after it (FORWARD: never); slots within n_slots and never shared; each
 * message is received by the stage that holds the next piece (backward: the one before) and sent to no other; a reduction starts after the chunk's
 * last backward on that stage and once; with non-blocking sends and blocking receives all stages come to their end.
 * CS_E_INTERNAL naming stage, action and rule; CS_E_NOMEM. `scratch` is left as it was. */
cs_status cs_schedule_check(const cs_schedule *s, cs_arena *scratch, cs_error *err);

#endif
