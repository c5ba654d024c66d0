/* One step: micro-batches, gradients summed over the ranks, the check for finite numbers, clipping, the update. Evaluation beside it. */
#include "train/trainer.h"

#include "base/clock.h"

#include <math.h>

/* Micro-batches of `batch` samples that start at `consumed`; returns this rank's trained tokens through *trained. */
static cs_status fill_batches(cs_trainer *t, cs_split split, int64_t consumed, int64_t batch, int64_t *n_micro, double *trained, cs_error *err)
{
    int64_t mbs = t->cfg.micro_batch, ranks = t->mesh.size[CS_AXIS_DP];
    *n_micro = batch / (mbs * ranks);
    *trained = 0;
    for (int64_t i = 0; i < *n_micro; i++) {
        CS_TRY(cs_batcher_fill(t->batcher[split], i, consumed + i * mbs * ranks, mbs, &t->batch[i], err));
        *trained += t->batch[i].trained;
    }
    return CS_OK;
}

/* What one micro-batch's summed loss is multiplied by: 1/tokens of the step, or (AscendSpeed) 1/(its own tokens * micro-batches * ranks). */
static double loss_share(const cs_trainer *t, const cs_batch *b, int64_t n_micro, double tokens)
{
    if (t->cfg.loss_average == 0)
        return tokens > 0 ? 1.0 / tokens : 0;
    return b->trained > 0 ? 1.0 / (b->trained * (double)n_micro * t->mesh.size[CS_AXIS_DP]) : 0;
}

cs_status cs_trainer_step(cs_trainer *t, cs_step_result *out, cs_error *err)
{
    cs_comm *dp = t->mesh.group[CS_AXIS_DP];
    int64_t n_micro;
    double start = cs_clock_now(), tokens, loss = 0;
    bool half = cs_train_dtype(&t->cfg) == CS_F16;
    *out = (cs_step_result){.batch = cs_ramp_at(&t->ramp, t->state.consumed_samples), .loss_scale = t->state.scaler.scale};
    cs_status status = fill_batches(t, CS_SPLIT_TRAIN, t->state.consumed_samples, out->batch, &n_micro, &tokens, err);
    CS_TRY(cs_agree(t->world, status, err));
    cs_comm_allreduce_sum(dp, &tokens, 1, CS_F64);
    cs_dp_zero_grads(&t->dp);
    t->model->forward_s = t->model->backward_s = 0;
    for (int64_t i = 0; i < n_micro; i++) {
        double share = loss_share(t, &t->batch[i], n_micro, tokens);
        loss += share * cs_model_loss_backward(t->model, &t->batch[i], share * out->loss_scale);
    }
    double computed = cs_clock_now();
    cs_comm_allreduce_sum(dp, &loss, 1, CS_F64);
    cs_dp_reduce_grads(&t->dp);
    double reduced = cs_clock_now();
    out->grad_norm = cs_dp_grad_norm(&t->dp, &out->finite) / out->loss_scale;
    out->finite = out->finite && isfinite(loss);
    out->lr = cs_lr_at(&t->schedule, t->state.lr_samples);
    if (out->finite) {
        double scale = cs_clip_scale(t->cfg.optimizer.clip_grad, out->grad_norm) / out->loss_scale;
        cs_adamw h = cs_optimizer_step_args(&t->cfg.optimizer, out->lr, ++t->state.updates, scale);
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

cs_status cs_trainer_evaluate(cs_trainer *t, cs_split split, double *loss, cs_error *err)
{
    double sums[2] = {0, 0};
    int64_t consumed = split == CS_SPLIT_VALID ? t->state.consumed_valid : 0;
    for (int64_t i = 0; i < t->cfg.eval_iters; i++) {
        int64_t n_micro;
        double trained;
        cs_status status = fill_batches(t, split, consumed, t->cfg.global_batch, &n_micro, &trained, err);
        CS_TRY(cs_agree(t->world, status, err));
        for (int64_t j = 0; j < n_micro; j++)
            sums[0] += cs_model_loss(t->model, &t->batch[j]);
        sums[1] += trained;
        consumed += t->cfg.global_batch;
    }
    cs_comm_allreduce_sum(t->mesh.group[CS_AXIS_DP], sums, 2, CS_F64);
    if (split == CS_SPLIT_VALID)
        t->state.consumed_valid = consumed;
    *loss = sums[1] > 0 ? sums[0] / sums[1] : 0;
    return CS_OK;
}
