/* What a run says about itself: Megatron's log line, rows of metrics.jsonl, TensorBoard scalars. Rank 0 only. */
#include "train/footprint.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void cs_report_init(cs_report *r)
{
    *r = (cs_report){0};
}

void cs_report_add(cs_report *r, cs_trainer *t, const cs_step_result *s)
{
    r->steps++;
    if (isfinite(s->loss)) {
        t->state.loss_sum += s->loss;
        t->state.loss_count++;
    }
    r->sum.tokens += s->tokens;
    r->sum.batch += s->batch;
    r->sum.forward_s += s->forward_s;
    r->sum.backward_s += s->backward_s;
    r->sum.comm_s += s->comm_s;
    r->sum.optimizer_s += s->optimizer_s;
    r->sum.total_s += s->total_s;
    r->last_norm = s->grad_norm;
    r->last_scale = s->loss_scale;
    r->last_lr = cs_lr_at(&t->schedule, t->state.lr_samples); /* Megatron shows the rate of the next step */
}

/* Megatron's count: 24 * F * B * s * L * h^2 * (1 + s/6h + V/16Lh) per step, F = 3 without recompute; per rank and second, in 1e12. */
static double megatron_tflops(const cs_trainer *t, double samples, double seconds)
{
    const cs_spec *m = &t->model->spec;
    double h = (double)m->hidden, s = (double)t->cfg.seq_length, L = (double)m->n_layers, V = (double)m->vocab_size;
    return 72.0 * samples * s * L * h * h * (1 + s / (6 * h) + V / (16 * L * h)) / (seconds * cs_comm_size(t->world) * 1e12);
}

/* 6 N + 12 L h s per token, N = parameters in matrix products. */
static double true_tflops(const cs_trainer *t, double tokens, double seconds)
{
    const cs_spec *m = &t->model->spec;
    double attention = 12.0 * (double)m->n_layers * (double)(m->n_heads * m->head_dim) * (double)t->cfg.seq_length;
    return tokens * (6.0 * (double)cs_spec_n_matmul_params(m) + attention) / (seconds * cs_comm_size(t->world) * 1e12);
}

static void set_real(json_t *o, const char *key, double value)
{
    json_object_set_new(o, key, isfinite(value) ? json_real(value) : json_null());
}

static json_t *make_row(const cs_report *r, const cs_trainer *t, double loss, double seconds)
{
    const cs_train_state *st = &t->state;
    double steps = (double)r->steps, tflops = true_tflops(t, r->sum.tokens, seconds);
    json_t *o = json_object();
    json_object_set_new(o, "step", json_integer(st->step));
    set_real(o, "lm_loss", loss);
    if (r->has_val)
        set_real(o, "val_loss", r->val_loss);
    set_real(o, "ppl", exp(fmin(20, loss)));
    set_real(o, "learning_rate", r->last_lr);
    set_real(o, "grad_norm", r->last_norm);
    set_real(o, "loss_scale", r->last_scale);
    json_object_set_new(o, "consumed_samples", json_integer(st->consumed_samples));
    json_object_set_new(o, "consumed_tokens", json_integer(st->consumed_samples * t->cfg.seq_length));
    set_real(o, "tokens_per_s", r->sum.tokens / seconds);
    set_real(o, "tokens_per_rank_s", r->sum.tokens / seconds / cs_comm_size(t->world));
    set_real(o, "tflops", tflops);
    if (t->peak_flops > 0)
        set_real(o, "mfu", tflops * 1e12 / t->peak_flops);
    set_real(o, "iter_ms", seconds / steps * 1e3);
    set_real(o, "fwd_ms", r->sum.forward_s / steps * 1e3);
    set_real(o, "bwd_ms", r->sum.backward_s / steps * 1e3);
    set_real(o, "comm_ms", r->sum.comm_s / steps * 1e3);
    set_real(o, "opt_ms", r->sum.optimizer_s / steps * 1e3);
    set_real(o, "rss_bytes", cs_footprint_resident());
    json_object_set_new(o, "skipped", json_integer(st->skipped));
    json_object_set_new(o, "nan", json_integer(st->nan_steps));
    set_real(o, "time", cs_clock_wall());
    return o;
}

/* Each value three times, as Megatron writes them: over steps, samples and tokens. */
static cs_status write_scalar(cs_trainer *t, const char *tag, double value, cs_error *err)
{
    char name[96];
    const cs_train_state *st = &t->state;
    CS_TRY(cs_runlog_scalar(&t->log, tag, st->step, value, err));
    snprintf(name, sizeof name, "%s vs samples", tag);
    CS_TRY(cs_runlog_scalar(&t->log, name, st->consumed_samples, value, err));
    snprintf(name, sizeof name, "%s vs tokens", tag);
    return cs_runlog_scalar(&t->log, name, st->consumed_samples * t->cfg.seq_length, value, err);
}

static cs_status write_events(const cs_report *r, cs_trainer *t, double loss, cs_error *err)
{
    CS_TRY(write_scalar(t, "lm-loss-training/lm loss", loss, err));
    CS_TRY(write_scalar(t, "learning-rate/learning-rate", r->last_lr, err));
    CS_TRY(write_scalar(t, "loss-scale/loss-scale", r->last_scale, err));
    CS_TRY(write_scalar(t, "grad-norm/grad-norm", r->last_norm, err));
    CS_TRY(write_scalar(t, "batch-size/batch-size", (double)r->sum.batch / (double)r->steps, err));
    if (!r->has_val)
        return CS_OK;
    CS_TRY(write_scalar(t, "lm-loss-validation/lm loss validation", r->val_loss, err));
    return write_scalar(t, "lm-loss-validation/lm loss validation ppl", exp(fmin(20, r->val_loss)), err);
}

cs_status cs_report_write(cs_report *r, cs_trainer *t, cs_error *err)
{
    const cs_train_state *st = &t->state;
    double seconds = r->sum.total_s > 0 ? r->sum.total_s : 1e-9, steps = (double)r->steps;
    double loss = st->loss_count > 0 ? st->loss_sum / (double)st->loss_count : NAN;
    cs_runlog_line(&t->log, false,
                   " iteration %8lld/%8lld | consumed samples: %12lld | consumed tokens: %12lld | elapsed time per iteration (ms): %.1f | "
                   "learning rate: %.3E | global batch size: %5lld | lm loss: %.6E | loss scale: %.1f | grad norm: %.3f | actual seqlen: %5lld | "
                   "number of skipped iterations: %3lld | number of nan iterations: %3lld | samples per second: %.3f | TFLOPs: %.2f | "
                   "tokens per second: %.1f | TFLOPs (SwiGLU): %.3f |",
                   (long long)st->step, (long long)t->total_iters, (long long)st->consumed_samples,
                   (long long)(st->consumed_samples * t->cfg.seq_length), seconds / steps * 1e3, r->last_lr, (long long)(r->sum.batch / r->steps),
                   loss, r->last_scale, r->last_norm, (long long)t->cfg.seq_length, (long long)st->skipped, (long long)st->nan_steps,
                   (double)r->sum.batch / seconds, megatron_tflops(t, (double)r->sum.batch, seconds), r->sum.tokens / seconds,
                   true_tflops(t, r->sum.tokens, seconds));
    int64_t failures = cs_mem_failures();
    json_t *row = make_row(r, t, loss, seconds);
    cs_status status = cs_mem_failures() == failures ? cs_runlog_row(&t->log, row, err) : cs_fail_nomem(err, 1024, "a row of metrics.jsonl");
    json_decref(row);
    if (status == CS_OK)
        status = write_events(r, t, loss, err);
    t->state.loss_sum = 0;
    t->state.loss_count = 0;
    *r = (cs_report){0};
    return status;
}

void cs_report_validation(cs_report *r, cs_trainer *t, const char *where, double loss)
{
    char line[256], dashes[256];
    int n = snprintf(line, sizeof line, " validation loss at %s | lm loss value: %.6E | lm loss PPL: %.6E | ", where, loss, exp(fmin(20, loss)));
    size_t k = n < 0 ? 0 : (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 1;
    memset(dashes, '-', k);
    dashes[k] = '\0';
    cs_runlog_line(&t->log, true, "%s", dashes);
    cs_runlog_line(&t->log, true, "%s", line);
    cs_runlog_line(&t->log, true, "%s", dashes);
    if (r) {
        r->has_val = true;
        r->val_loss = loss;
    }
}
