/* One step: micro-batches, gradients summed over the ranks, the check for finite numbers, clipping, the update. Evaluation beside it. */
#include "train/trainer.h"

#include "base/clock.h"
#include "parallel/walk.h"

#include <math.h>

enum { TRAINING, EVALUATION };

/* Micro-batches of a step of `batch` samples. */
static int64_t count_micro(const cs_trainer *t, int64_t batch)
{
    return t->layout.n_mbs > 0 ? t->layout.n_mbs : batch / (t->cfg.micro_batch * t->layout.dp);
}

/* Micro-batches of the step whose samples start at `consumed`; returns this rank's trained tokens through *trained. All ranks of a model (tensor and
 * pipeline parallel) read the same. */
static cs_status fill_batches(cs_trainer *t, cs_split split, int64_t consumed, int64_t n_micro, double *trained, cs_error *err)
{
    *trained = 0;
    for (int64_t i = 0; i < n_micro; i++) {
        int64_t first = cs_layout_first_sample(&t->layout, i, 0);
        CS_TRY(cs_batcher_fill(t->batcher[split], i, consumed + first, cs_layout_mbs(&t->layout, i), &t->batch[i], err));
        *trained += t->batch[i].trained;
    }
    return CS_OK;
}

/* Memory for the activations of a step by that schedule, as `cspeed plan` counts it. */
cs_status cs_trainer_make_room(cs_trainer *t, cs_error *err)
{
    const cs_schedule *s = &t->pipeline[TRAINING];
    cs_activations a;
    int stage = t->mesh.coord[CS_AXIS_PP];
    const cs_memory_request q = {.spec = &t->model->spec, .table = &t->model->table, .kernels = t->model->k, .threads = (int)t->identity.threads,
                                 .layout = t->layout, .schedule = s, .evaluates = t->cfg.eval_iters > 0};
    if (!cs_walk_stage(&q, stage, &a))
        return cs_fail(err, CS_E_USAGE, "the activations of a rank do not fit in 63 bits; use smaller sizes");
    return cs_model_make_room(t->model, s->stage[stage].n_slots, (cs_model_room){a.slot, a.refill, a.scratch}, err);
}

/* The schedule for n_micro micro-batches, kept until their number changes. Stashes for it are there afterwards. */
static cs_status make_schedule(cs_trainer *t, int which, int64_t n_micro, cs_error *err)
{
    cs_schedule *s = &t->pipeline[which];
    const cs_layout *l = &t->layout;
    if (s->n_micro == n_micro)
        return CS_OK;
    cs_arena_release(&t->tables[which]);
    CS_TRY(cs_schedule_init(s, which == TRAINING ? l->schedule : CS_SCHEDULE_FORWARD, (int)l->pp, (int)l->chunks, n_micro, &t->tables[which], err));
    return which == TRAINING ? cs_trainer_make_room(t, err) : CS_OK;
}

/* What one micro-batch's summed loss is multiplied by: 1/tokens of the step, or (AscendSpeed) 1/(its own tokens * micro-batches * ranks). */
static double loss_share(const cs_trainer *t, const cs_batch *b, int64_t n_micro, double tokens)
{
    if (t->cfg.loss_average == 0)
        return tokens > 0 ? 1.0 / tokens : 0;
    return b->trained > 0 ? 1.0 / (b->trained * (double)n_micro * (double)t->layout.dp) : 0;
}

/* Over the stages, of which the last one has it, and the data-parallel ranks. */
static double sum_loss(const cs_trainer *t, double loss)
{
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_PP], &loss, 1, CS_F64);
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_DP], &loss, 1, CS_F64);
    return loss;
}

/* The micro-batches of a step, forward and backward; this rank's part of the mean loss. */
static double run_micro_batches(cs_trainer *t, int64_t n_micro, double tokens, double loss_scale)
{
    double loss = 0;
    for (int64_t i = 0; i < n_micro; i++)
        t->share[i] = loss_share(t, &t->batch[i], n_micro, tokens) * loss_scale;
    cs_pipeline_run(t->model, &t->pipeline[TRAINING], t->batch, t->share, &t->dp, t->losses);
    for (int64_t i = 0; i < n_micro; i++)
        loss += loss_share(t, &t->batch[i], n_micro, tokens) * t->losses[i];
    return loss;
}

/* Switches the timeline on for the steps that are asked for; the ranks start their clocks together. */
static void watch_step(cs_trainer *t)
{
    const cs_train_config *c = &t->cfg;
    int64_t step = t->state.step + 1;
    bool on = c->profile && step >= c->profile_start && step < c->profile_end;
    t->timeline.step = step;
    if (on && !t->timeline.on) {
        cs_comm_barrier(t->world);
        t->timeline_origin = cs_clock_now();
    }
    t->timeline.on = on;
}

cs_status cs_trainer_step(cs_trainer *t, cs_step_result *out, cs_error *err)
{
    double start = cs_clock_now(), tokens;
    bool half = cs_train_dtype(&t->cfg) == CS_F16;
    watch_step(t);
    *out = (cs_step_result){.batch = cs_ramp_at(&t->ramp, t->state.consumed_samples), .loss_scale = t->state.scaler.scale};
    int64_t n_micro = count_micro(t, out->batch);
    cs_status status = fill_batches(t, CS_SPLIT_TRAIN, t->state.consumed_samples, n_micro, &tokens, err);
    if (status == CS_OK)
        status = make_schedule(t, TRAINING, n_micro, err);
    CS_TRY(cs_agree(t->world, status, err));
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_DP], &tokens, 1, CS_F64);
    cs_span_end(&t->timeline, start, CS_SPAN_DATA, -1, -1);
    cs_dp_zero_grads(&t->dp);
    t->model->forward_s = t->model->backward_s = 0;
    double loss = run_micro_batches(t, n_micro, tokens, out->loss_scale), computed = cs_clock_now();
    loss = sum_loss(t, loss);
    cs_dp_reduce_grads(&t->dp);
    double reduced = cs_clock_now();
    cs_span_end(&t->timeline, computed, CS_SPAN_REDUCE, -1, -1);
    out->grad_norm = cs_dp_grad_norm(&t->dp, &out->finite) / out->loss_scale;
    out->finite = out->finite && isfinite(loss);
    cs_span_end(&t->timeline, reduced, CS_SPAN_NORM, -1, -1);
    double normed = cs_clock_now();
    out->lr = cs_lr_at(&t->schedule, t->state.lr_samples);
    if (out->finite) {
        double scale = cs_clip_scale(t->cfg.optimizer.clip_grad, out->grad_norm) / out->loss_scale;
        cs_update h = cs_optimizer_step_args(&t->cfg.optimizer, out->lr, ++t->state.updates, scale);
        cs_dp_step(&t->dp, &h);
        t->state.lr_samples += out->batch;
        t->state.bad_in_a_row = 0;
    } else {
        t->state.skipped++;
        t->state.nan_steps += !half || !isfinite(loss);
    }
    /* In fp16 an overflow is the scale's business until it cannot fall any more. */
    if (half ? !cs_scaler_update(&t->state.scaler, &t->cfg.scaler, !out->finite) : !out->finite)
        t->state.bad_in_a_row++;
    double end = cs_clock_now();
    cs_span_end(&t->timeline, normed, CS_SPAN_UPDATE, -1, -1);
    t->state.step++;
    t->state.consumed_samples += out->batch;
    out->loss = loss;
    out->tokens = tokens;
    out->forward_s = t->model->forward_s;
    out->backward_s = t->model->backward_s;
    out->comm_s = reduced - computed;
    out->optimizer_s = end - reduced;
    out->total_s = end - start;
    return CS_OK;
}

static cs_status evaluate(cs_trainer *t, cs_split split, double *loss, cs_error *err)
{
    double sums[2] = {0, 0};
    int64_t consumed = split == CS_SPLIT_VALID ? t->state.consumed_valid : 0;
    for (int64_t i = 0; i < t->cfg.eval_iters; i++) {
        int64_t n_micro = count_micro(t, t->cfg.global_batch);
        double trained;
        cs_status status = fill_batches(t, split, consumed, n_micro, &trained, err);
        if (status == CS_OK)
            status = make_schedule(t, EVALUATION, n_micro, err);
        CS_TRY(cs_agree(t->world, status, err));
        cs_pipeline_run(t->model, &t->pipeline[EVALUATION], t->batch, NULL, NULL, t->losses);
        for (int64_t j = 0; j < n_micro; j++)
            sums[0] += t->losses[j];
        sums[1] += trained;
        consumed += t->cfg.global_batch;
    }
    sums[0] = sum_loss(t, sums[0]);
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_DP], &sums[1], 1, CS_F64);
    if (split == CS_SPLIT_VALID)
        t->state.consumed_valid = consumed;
    *loss = sums[1] > 0 ? sums[0] / sums[1] : 0;
    return CS_OK;
}

/* The timeline is one of training steps. */
cs_status cs_trainer_evaluate(cs_trainer *t, cs_split split, double *loss, cs_error *err)
{
    bool on = t->timeline.on;
    t->timeline.on = false;
    cs_status status = evaluate(t, split, loss, err);
    t->timeline.on = on;
    return status;
}
