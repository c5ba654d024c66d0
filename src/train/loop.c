/* The loop: steps, log, evaluation, checkpoints, and every way to end: done, asked to stop, numbers that stay bad. */
#include "train/autorecompute.h"
#include "train/footprint.h"
#include "train/profile.h"
#include "train/trainer.h"

#include "base/clock.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A signal can only be seen through a global. */
static volatile sig_atomic_t stop_signals;

static void on_signal(int signal)
{
    if (++stop_signals > 1)
        _exit(128 + signal); /* asked twice: end at once, the last checkpoint is whole */
}

static void watch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
    stop_signals = 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &a, NULL);
}

cs_status cs_trainer_save(cs_trainer *t, cs_error *err)
{
    cs_str text = {0};
    const char *files[16];
    size_t n_files = t->tok ? cs_tokenizer_n_files(t->tok) : 0;
    if (!t->cfg.save || t->last_saved == t->state.step)
        return CS_OK;
    if (n_files > sizeof files / sizeof *files)
        n_files = sizeof files / sizeof *files;
    for (size_t i = 0; i < n_files; i++)
        files[i] = cs_tokenizer_file(t->tok, i);
    t->identity.schedule = t->schedule;
    cs_status status = cs_agree(t->world, cs_train_state_to_json(&t->state, &t->identity, &text, err), err);
    if (status == CS_OK) {
        cs_opt_state opt = cs_dp_opt_state(&t->dp);
        const cs_ckpt_save_args args = {.run_dir = t->cfg.save, .iteration = t->state.step, .spec = &t->model->spec, .table = &t->model->table,
                                        .opt = &opt, .state_json = cs_str_cstr(&text), .tokenizer_files = files, .n_tokenizer_files = n_files,
                                        .keep = t->cfg.keep, .no_save_optim = t->cfg.no_save_optim};
        status = cs_ckpt_save(&args, &t->mesh, err);
    }
    cs_str_release(&text);
    t->save_failed = status;
    if (status == CS_OK)
        t->last_saved = t->state.step;
    return status;
}

/* A failed save does not end the run: the old checkpoint stands, the next interval tries again. */
static void save_or_warn(cs_trainer *t)
{
    cs_error err = {0};
    double start = cs_clock_now();
    if (t->last_saved == t->state.step || !t->cfg.save)
        return;
    cs_guard_section(&t->guard, t->world, "save", -1);
    cs_status status = cs_trainer_save(t, &err);
    if (cs_comm_rank(t->world) != 0)
        return;
    if (status != CS_OK)
        cs_warn("checkpoint at step %lld was not saved: %s; training goes on", (long long)t->state.step, err.msg);
    else
        cs_runlog_line(&t->log, false, "saved %s/iter_%07lld in %.2f s", t->cfg.save, (long long)t->state.step, cs_clock_now() - start);
}

/* True when any rank was told to stop. Collective over world. */
static bool should_stop(cs_trainer *t, const char **why)
{
    double minutes = (cs_clock_now() - t->started) / 60;
    int64_t flags[2] = {stop_signals > 0, t->cfg.exit_minutes > 0 && minutes >= t->cfg.exit_minutes};
    cs_comm_allreduce_max(t->world, flags, 2, CS_I64);
    *why = flags[0] ? "a signal" : flags[1] ? "--exit-duration-in-mins" : NULL;
    if (!*why && t->cfg.exit_interval > 0 && t->state.step % t->cfg.exit_interval == 0)
        *why = "--exit-interval";
    return *why != NULL;
}

static cs_status validate(cs_trainer *t, cs_report *r, cs_error *err)
{
    char where[48];
    double loss;
    if (!t->batcher[CS_SPLIT_VALID] || t->cfg.eval_iters == 0)
        return CS_OK;
    CS_TRY(cs_trainer_evaluate(t, CS_SPLIT_VALID, &loss, err));
    snprintf(where, sizeof where, "iteration %lld", (long long)t->state.step);
    cs_report_validation(r, t, where, loss);
    return CS_OK;
}

static cs_status final_evaluations(cs_trainer *t, cs_error *err)
{
    static const char *const names[] = {[CS_SPLIT_VALID] = "val", [CS_SPLIT_TEST] = "test"};
    for (cs_split s = CS_SPLIT_VALID; s <= CS_SPLIT_TEST; s++) {
        char where[64];
        double loss;
        if (!t->batcher[s] || t->cfg.eval_iters == 0)
            continue;
        CS_TRY(cs_trainer_evaluate(t, s, &loss, err));
        snprintf(where, sizeof where, "the end of training for %s data", names[s]);
        cs_report_validation(NULL, t, where, loss);
    }
    return CS_OK;
}

/* Of what cs_model_bad_layer says on the ranks, the first place in the order of the model. Collective over world. */
static int64_t first_bad_layer(const cs_trainer *t)
{
    int64_t layer = cs_model_bad_layer(t->model), key = layer == -2 ? 1 : layer < 0 ? INT64_MIN : -layer;
    cs_comm_allreduce_max(t->world, &key, 1, CS_I64);
    return key == 1 ? -2 : key == INT64_MIN ? -1 : -key;
}

/* Saves the state as it was before the first bad update (skipped steps changed no weight) and says what is known about the place. */
static cs_status stop_on_bad_numbers(cs_trainer *t, const cs_step_result *s, cs_error *err)
{
    char place[64];
    int64_t layer = first_bad_layer(t);
    if (layer == t->model->spec.n_layers)
        snprintf(place, sizeof place, "final norm or head");
    else if (layer >= 0)
        snprintf(place, sizeof place, "layer %lld", (long long)layer);
    else
        snprintf(place, sizeof place, layer == -2 ? "the embedding" : "the loss");
    save_or_warn(t);
    return cs_fail(err, CS_E_NUMERIC,
                   "step %lld: %lld steps in a row had a loss (%g) or gradient norm (%g) that is not finite, first in %s, samples %lld to %lld; "
                   "lower the learning rate or look at these samples",
                   (long long)t->state.step, (long long)t->state.bad_in_a_row, s->loss, s->grad_norm, place,
                   (long long)(t->state.consumed_samples - s->batch), (long long)(t->state.consumed_samples - 1));
}

static void draw_bar(cs_trainer *t, const cs_step_result *s)
{
    char extra[96];
    snprintf(extra, sizeof extra, "loss %.4f  lr %.2e  %.0f tok/s", s->loss, s->lr, s->tokens / (s->total_s > 0 ? s->total_s : 1));
    cs_progress_update(&t->log.bar, t->state.step, extra);
}

static cs_status after_step(cs_trainer *t, cs_report *r, const cs_step_result *s, cs_error *err)
{
    bool lead = cs_comm_rank(t->world) == 0;
    cs_report_add(r, t, s);
    if (lead && t->log.bar.tty)
        draw_bar(t, s);
    if (!s->finite && lead)
        cs_warn("step %lld skipped: loss %g, gradient norm %g", (long long)t->state.step, s->loss, s->grad_norm);
    if (t->state.bad_in_a_row > t->cfg.max_bad_steps)
        return stop_on_bad_numbers(t, s, err);
    CS_TRY(cs_autorecompute_after_step(t, err));
    if (t->state.step % t->cfg.eval_interval == 0)
        CS_TRY(validate(t, r, err));
    if (t->state.step % t->cfg.log_interval == 0)
        CS_TRY(cs_agree(t->world, cs_report_write(r, t, err), err));
    if (t->cfg.save_interval > 0 && t->state.step % t->cfg.save_interval == 0)
        save_or_warn(t);
    return CS_OK;
}

static cs_status write_profile(cs_trainer *t, cs_error *err)
{
    char path[4096];
    if (t->cfg.profile_output)
        snprintf(path, sizeof path, "%s", t->cfg.profile_output);
    else
        snprintf(path, sizeof path, "%s/profile.json", t->cfg.save);
    CS_TRY(cs_profile_write(&t->timeline, &t->mesh, t->timeline_origin, path, err));
    if (cs_comm_rank(t->world) == 0)
        cs_runlog_line(&t->log, false, "profile of steps %lld to %lld in %s", (long long)t->cfg.profile_start, (long long)t->state.step, path);
    return CS_OK;
}

static cs_status loop(cs_trainer *t, cs_error *err)
{
    cs_report report;
    const char *why = NULL;
    bool stopped = false;
    cs_report_init(&report);
    watch_signals();
    if (cs_comm_rank(t->world) == 0)
        cs_progress_init(&t->log.bar, "train", "steps", t->total_iters);
    while (t->state.step < t->total_iters && !stopped) {
        cs_step_result s;
        cs_guard_section(&t->guard, t->world, "step", t->state.step + 1);
        cs_fault_strike(&t->fault, cs_comm_rank(t->world), t->state.step + 1);
        CS_TRY(cs_trainer_step(t, &s, err));
        cs_guard_note_step(&t->guard, s.total_s);
        CS_TRY(after_step(t, &report, &s, err));
        if (t->cfg.profile && (t->state.step == t->cfg.profile_end - 1 || (t->state.step == t->total_iters && t->timeline.on)))
            CS_TRY(write_profile(t, err));
        stopped = should_stop(t, &why) && t->state.step < t->total_iters;
    }
    cs_guard_section(&t->guard, t->world, "end", -1);
    if (cs_comm_rank(t->world) == 0 && t->log.bar.tty)
        cs_progress_finish(&t->log.bar, t->state.step);
    int64_t peak = cs_mem_peak(); /* of training, without the last save */
    save_or_warn(t);
    CS_TRY(cs_footprint_write(t, peak, err));
    if (!stopped)
        CS_TRY(final_evaluations(t, err));
    else if (cs_comm_rank(t->world) == 0)
        cs_note("stopped by %s after step %lld of %lld%s%s", why, (long long)t->state.step, (long long)t->total_iters,
                t->cfg.save ? "; resume with the same command and --resume" : "", t->cfg.save ? "" : " (nothing saved: no --save)");
    if (t->save_failed != CS_OK)
        return cs_fail(err, t->save_failed, "%s: the last checkpoint could not be saved; make room and run again with --resume", t->cfg.save);
    return CS_OK;
}

cs_status cs_train_run(const cs_train_request *req, cs_comm *world, cs_error *err)
{
    cs_trainer t;
    cs_status status = cs_trainer_init(&t, req, world, err);
    if (status == CS_OK)
        status = loop(&t, err);
    cs_trainer_release(&t);
    return status;
}
