/* One training run on one rank: everything it owns, its setup, one step, evaluation, saving, and the loop over them. */
#ifndef CS_TRAIN_TRAINER_H
#define CS_TRAIN_TRAINER_H

#include "model/model.h"
#include "parallel/dp.h"
#include "parallel/pipeline.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/guard.h"
#include "train/runlog.h"
#include "train/state.h"

typedef struct cs_step_result {
    double loss;        /* mean over the step's trained tokens, before its update */
    double grad_norm;   /* before clipping */
    double lr;          /* rate of this update */
    double loss_scale;  /* of this step; 1 without fp16 */
    double tokens;      /* trained tokens of the step, all ranks */
    int64_t batch;      /* samples of the step, all ranks */
    bool finite;        /* false: the step was skipped */
    double forward_s, backward_s, comm_s, optimizer_s, total_s;
} cs_step_result;

typedef struct cs_trainer {
    cs_train_config cfg;
    cs_lr_schedule schedule;
    cs_ramp ramp;
    int64_t total_iters;
    cs_comm *world;
    cs_mesh mesh;
    cs_layout layout;
    cs_layers *chunk;    /* [layout.chunks] of this stage */
    unsigned char *drop; /* [layers of the model] what each does not keep: CS_DROP_* */
    cs_part_times times; /* of the steps that measure them, of which there were `profiled`; train/autorecompute.c */
    int64_t profiled;
    cs_tokenizer *tok; /* NULL = none */
    cs_model *model;
    cs_dp dp;
    bool has_dp;
    cs_dataset *data[CS_SPLIT_COUNT];
    cs_batcher *batcher[CS_SPLIT_COUNT];
    cs_batch *batch;     /* [n_micro of the largest step] */
    double *share, *losses; /* the same: what a micro-batch's summed loss is multiplied by; the sums */
    cs_arena tables[2];  /* of the schedules */
    cs_schedule pipeline[2]; /* of a training step, of an evaluation; n_micro 0 = not made yet */
    cs_train_state state;
    cs_train_identity identity;
    cs_guard guard;
    cs_fault fault;
    cs_timeline timeline;
    double timeline_origin;
    cs_runlog log;
    double started;      /* monotonic seconds */
    double peak_flops;   /* measured peak of this rank's threads for the dtype, operations per second; 0 = unknown */
    int64_t last_saved;  /* step, -1 = none */
    cs_status save_failed; /* why the last save failed */
} cs_trainer;

/* What the command line gives to every rank. */
typedef struct cs_train_request {
    const cs_train_config *cfg;
    const char *config_json; /* effective options, for RUN/config.json */
    const char *command;     /* for RUN/command.txt */
    int64_t threads;         /* per rank, 0 = cores / ranks on this host */
} cs_train_request;

/* Runs the whole training on this rank. Collective over world. CS_E_* with the message of the first failing rank on all of them. */
cs_status cs_train_run(const cs_train_request *req, cs_comm *world, cs_error *err);

/* The parts, in order of use; all collective over world unless said. */
cs_status cs_trainer_init(cs_trainer *t, const cs_train_request *req, cs_comm *world, cs_error *err);
void cs_trainer_release(cs_trainer *t);
cs_status cs_trainer_step(cs_trainer *t, cs_step_result *out, cs_error *err);
/* Memory for the activations of steps like the last one, after cs_model_set_drops. Not collective. CS_E_NOMEM. */
cs_status cs_trainer_make_room(cs_trainer *t, cs_error *err);
/* Mean loss over eval_iters batches of a split. */
cs_status cs_trainer_evaluate(cs_trainer *t, cs_split split, double *loss, cs_error *err);
cs_status cs_trainer_save(cs_trainer *t, cs_error *err);

/* Steps from here on: the log line, the row, the events (train/report.c; rank 0 only). */
typedef struct cs_report {
    int64_t steps;
    double loss_sum;
    cs_step_result sum; /* times and tokens summed */
    double last_norm, last_lr, last_scale, val_loss;
    bool has_val;
} cs_report;
void cs_report_init(cs_report *r);
void cs_report_add(cs_report *r, cs_trainer *t, const cs_step_result *s);
/* Writes one row for the steps since the last one. */
cs_status cs_report_write(cs_report *r, cs_trainer *t, cs_error *err);
void cs_report_validation(cs_report *r, cs_trainer *t, const char *where, double loss);

#endif
