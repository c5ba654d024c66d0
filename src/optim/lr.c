/* Learning rate schedules and the batch size ramp. All state is in the arguments: resuming needs the sample count only. */
#include "optim/lr.h"

#include <math.h>
#include <stddef.h>

#define FIELD(name) offsetof(cs_lr_options, name)

const cs_option cs_lr_option_rows[] = {
    {"lr", CS_OPT_REAL, FIELD(lr), "3e-4", "0..", "Highest learning rate", NULL},
    {"min-lr", CS_OPT_REAL, FIELD(min_lr), "0", "0..", "Learning rate at the end of the decay", NULL},
    {"lr-decay-style", CS_OPT_ENUM, FIELD(style), "linear", "constant|linear|cosine|inverse-square-root", "Shape of the decay", NULL},
    {"lr-decay-iters", CS_OPT_INT, FIELD(decay_iters), "0", "0..", "Steps over which the rate decays (0: the whole run)", NULL},
    {"lr-decay-samples", CS_OPT_INT, FIELD(decay_samples), "0", "0..", "Samples over which the rate decays (0: the whole run)", NULL},
    {"lr-warmup-iters", CS_OPT_INT, FIELD(warmup_iters), "0", "0..", "Steps of linear warm-up", NULL},
    {"lr-warmup-samples", CS_OPT_INT, FIELD(warmup_samples), "0", "0..", "Samples of linear warm-up", NULL},
    {"lr-warmup-fraction", CS_OPT_REAL, FIELD(warmup_fraction), "0", "0..1", "Warm-up as a fraction of the decay", NULL},
    {"override-lr-scheduler", CS_OPT_FLAG, FIELD(override_scheduler), NULL, NULL, "On resume: take the schedule from the flags",
     "override-opt_param-scheduler"},
    {"use-checkpoint-lr-scheduler", CS_OPT_FLAG, FIELD(use_checkpoint_scheduler), NULL, NULL, "On resume: take the schedule from the checkpoint",
     "use-checkpoint-opt_param-scheduler"},
    {"rampup-batch-size", CS_OPT_LIST, FIELD(rampup), NULL, NULL, "START INCREMENT SAMPLES: grow the global batch from START", NULL},
};
const size_t cs_lr_n_option_rows = sizeof cs_lr_option_rows / sizeof cs_lr_option_rows[0];

const char *cs_lr_style_name(cs_lr_style style)
{
    static const char *const name[] = {"constant", "linear", "cosine", "inverse-square-root"};
    return name[style];
}

double cs_lr_at(const cs_lr_schedule *s, int64_t n)
{
    double x = (double)n;
    if (x < s->warmup)
        return s->lr * x / s->warmup;
    if (s->style == CS_LR_CONSTANT)
        return s->lr;
    if (x > s->decay)
        return s->min_lr;
    if (s->style == CS_LR_INVERSE_SQRT)
        return fmax(s->min_lr, s->lr * sqrt(fmax(s->warmup, 1)) / sqrt(fmax(x, 1)));
    double r = (x - s->warmup) / (s->decay - s->warmup);
    double part = s->style == CS_LR_LINEAR ? 1 - r : 0.5 * (cos(3.14159265358979323846 * r) + 1);
    return s->min_lr + part * (s->lr - s->min_lr);
}

int64_t cs_ramp_batch_size(int64_t start, int64_t inc, int64_t n, int64_t gbs, int64_t consumed)
{
    if (start >= gbs || consumed > n)
        return gbs;
    double per_increment = (double)n / (double)((gbs - start) / inc);
    int64_t size = n > 0 ? start + inc * (int64_t)((double)consumed / per_increment) : gbs;
    return size < gbs ? size : gbs;
}

int64_t cs_ramp_at(const cs_ramp *r, int64_t consumed)
{
    return cs_ramp_batch_size(r->start, r->inc, r->n, r->gbs, consumed);
}

/* Reads --rampup-batch-size. */
static void init_ramp(const cs_lr_options *o, const cs_lr_run *run, cs_ramp *ramp, cs_error *err)
{
    int64_t v[3];
    *ramp = (cs_ramp){.start = run->global_batch_size, .gbs = run->global_batch_size};
    if (o->rampup.n == 0)
        return;
    bool good = o->rampup.n == 3;
    for (size_t i = 0; i < 3 && good; i++)
        good = cs_parse_int(o->rampup.items[i], &v[i]) && (i == 2 ? v[i] >= 0 : v[i] > 0);
    if (!good) {
        cs_fail_also(err, CS_E_USAGE, "--rampup-batch-size: expected three counts: START > 0, INCREMENT > 0, SAMPLES >= 0");
        return;
    }
    if (run->train_iters > 0)
        cs_fail_also(err, CS_E_USAGE, "--rampup-batch-size counts samples: give --train-samples instead of --train-iters");
    if (v[0] > run->global_batch_size || (run->global_batch_size - v[0]) % v[1] != 0)
        cs_fail_also(err, CS_E_USAGE, "--rampup-batch-size %lld %lld: --global-batch-size %lld must be START plus a multiple of INCREMENT",
                     (long long)v[0], (long long)v[1], (long long)run->global_batch_size);
    if (run->batch_multiple > 0 && (v[0] % run->batch_multiple != 0 || (v[0] < run->global_batch_size && v[1] % run->batch_multiple != 0)))
        cs_fail_also(err, CS_E_USAGE, "--rampup-batch-size %lld %lld: START and INCREMENT must be multiples of micro batch x ranks = %lld",
                     (long long)v[0], (long long)v[1], (long long)run->batch_multiple);
    *ramp = (cs_ramp){v[0], v[1], v[2], run->global_batch_size};
}

/* Flags of the other way of counting. */
static void check_counting(const cs_lr_options *o, const cs_lr_run *run, cs_error *err)
{
    bool by_samples = run->train_samples > 0;
    const struct {
        const char *flag;
        bool given, counts_samples;
    } rows[] = {
        {"lr-decay-iters", o->decay_iters > 0, false},
        {"lr-warmup-iters", o->warmup_iters > 0, false},
        {"lr-decay-samples", o->decay_samples > 0, true},
        {"lr-warmup-samples", o->warmup_samples > 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].given && rows[i].counts_samples != by_samples)
            cs_fail_also(err, CS_E_USAGE, "--%s does not go with --train-%s: count everything in steps or everything in samples", rows[i].flag,
                         by_samples ? "samples" : "iters");
    if (o->warmup_fraction > 0 && (o->warmup_iters > 0 || o->warmup_samples > 0))
        cs_fail_also(err, CS_E_USAGE, "--lr-warmup-fraction and --lr-warmup-%s exclude each other", o->warmup_iters > 0 ? "iters" : "samples");
}

cs_status cs_lr_init(const cs_lr_options *o, const cs_lr_run *run, cs_lr_schedule *schedule, cs_ramp *ramp, cs_error *err)
{
    bool by_samples = run->train_samples > 0;
    double batch = (double)run->global_batch_size;
    cs_error found = {0};
    check_counting(o, run, &found);
    init_ramp(o, run, ramp, &found);
    double decay = by_samples ? (double)(o->decay_samples ? o->decay_samples : run->train_samples)
                              : (double)(o->decay_iters ? o->decay_iters : run->train_iters) * batch;
    double warmup = o->warmup_fraction > 0 ? o->warmup_fraction * decay : by_samples ? (double)o->warmup_samples : (double)o->warmup_iters * batch;
    if (!(o->lr >= 0) || !isfinite(o->lr) || !(o->min_lr >= 0))
        cs_fail_also(&found, CS_E_USAGE, "--lr %g, --min-lr %g: expected finite numbers >= 0", o->lr, o->min_lr);
    else if (o->min_lr > o->lr)
        cs_fail_also(&found, CS_E_USAGE, "--min-lr %g exceeds --lr %g", o->min_lr, o->lr);
    if (!(warmup < decay))
        cs_fail_also(&found, CS_E_USAGE, "the warm-up of %.0f samples must be shorter than the decay of %.0f samples", warmup, decay);
    if (o->override_scheduler && o->use_checkpoint_scheduler)
        cs_fail_also(&found, CS_E_USAGE, "--override-lr-scheduler and --use-checkpoint-lr-scheduler exclude each other");
    *schedule = (cs_lr_schedule){.style = (cs_lr_style)o->style, .lr = o->lr, .min_lr = o->min_lr, .warmup = warmup, .decay = decay};
    if (found.status != CS_OK)
        cs_fail_also(err, CS_E_USAGE, "%s", found.msg);
    return found.status;
}

static void compare(const char *what, double saved, double now, cs_error *err)
{
    if (saved != now)
        cs_fail_also(err, CS_E_USAGE, "%s is %.10g in the checkpoint and %.10g now; use --override-lr-scheduler or "
                     "--use-checkpoint-lr-scheduler", what, saved, now);
}

cs_status cs_lr_resume(const cs_lr_options *o, const cs_lr_schedule *saved, cs_lr_schedule *s, cs_error *err)
{
    cs_error found = {0};
    if (o->override_scheduler)
        return CS_OK;
    if (o->use_checkpoint_scheduler) {
        *s = *saved;
        return CS_OK;
    }
    if (saved->style != s->style)
        cs_fail_also(&found, CS_E_USAGE, "the decay style is %s in the checkpoint and %s now; use --override-lr-scheduler or "
                     "--use-checkpoint-lr-scheduler", cs_lr_style_name(saved->style), cs_lr_style_name(s->style));
    compare("the learning rate", saved->lr, s->lr, &found);
    compare("the warm-up in samples", saved->warmup, s->warmup, &found);
    if (saved->style != CS_LR_CONSTANT || s->style != CS_LR_CONSTANT) { /* a constant rate does not know these */
        compare("the minimum learning rate", saved->min_lr, s->min_lr, &found);
        compare("the decay in samples", saved->decay, s->decay, &found);
    }
    if (found.status != CS_OK && err)
        *err = found;
    return found.status;
}
