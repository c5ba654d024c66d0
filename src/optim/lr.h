/* Learning rate as a pure function of consumed samples, and the batch size ramp.
 * Megatron's schedules: the rate counts samples, so that a ramp of the batch size does not bend it; n is 0 at the first update, so that
 * with a warm-up the first step runs at rate 0. A step that was skipped does not advance n. */
#ifndef CS_OPTIM_LR_H
#define CS_OPTIM_LR_H

#include "base/options.h"

typedef enum cs_lr_style { CS_LR_CONSTANT, CS_LR_LINEAR, CS_LR_COSINE, CS_LR_INVERSE_SQRT } cs_lr_style;

typedef struct cs_lr_schedule {
    cs_lr_style style;
    double lr, min_lr;
    double warmup, decay; /* in samples; warmup may have a fraction (warmup-fraction * decay) */
} cs_lr_schedule;

/* Rate for an update before which n samples were consumed by updates that were not skipped. */
double cs_lr_at(const cs_lr_schedule *s, int64_t n);

/* Global batch for a step before which `consumed` samples were used: start + inc * floor(consumed / (n / ((gbs-start)/inc))), gbs past n. */
int64_t cs_ramp_batch_size(int64_t start, int64_t inc, int64_t n, int64_t gbs, int64_t consumed);

/* Batch sizes over a run. start == gbs: no ramp. */
typedef struct cs_ramp {
    int64_t start, inc, n, gbs;
} cs_ramp;
int64_t cs_ramp_at(const cs_ramp *r, int64_t consumed);

/* The flags. 0 = not given for the counts and the fraction. */
typedef struct cs_lr_options {
    double lr, min_lr, warmup_fraction;
    int style; /* cs_lr_style */
    int64_t decay_iters, decay_samples, warmup_iters, warmup_samples;
    bool override_scheduler, use_checkpoint_scheduler;
    cs_strlist rampup; /* start, increment, samples */
} cs_lr_options;

extern const cs_option cs_lr_option_rows[];
extern const size_t cs_lr_n_option_rows;

/* What the schedule needs to know about the run. Exactly one of train_iters and train_samples is > 0. */
typedef struct cs_lr_run {
    int64_t train_iters, train_samples, global_batch_size;
    int64_t batch_multiple; /* micro batch size * data-parallel size: every batch size must be a multiple of it */
} cs_lr_run;

/* Checks the flags and fills schedule and ramp. CS_E_USAGE with one line per mistake, appended to what *err already holds. */
cs_status cs_lr_init(const cs_lr_options *o, const cs_lr_run *run, cs_lr_schedule *schedule, cs_ramp *ramp, cs_error *err);

/* On resume: `saved` from the checkpoint must equal *s; with override_scheduler *s stays, with use_checkpoint_scheduler it becomes `saved`.
 * CS_E_USAGE naming every value that differs. */
cs_status cs_lr_resume(const cs_lr_options *o, const cs_lr_schedule *saved, cs_lr_schedule *s, cs_error *err);

/* "linear", ... Borrowed constant. */
const char *cs_lr_style_name(cs_lr_style style);

#endif
