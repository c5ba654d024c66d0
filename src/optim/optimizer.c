/* Flags of the optimizer and the clipping rule. */
#include "optim/optimizer.h"

#include <math.h>
#include <stddef.h>

#define FIELD(name) offsetof(cs_optimizer_options, name)

enum { KIND_ADAM, KIND_FUSED_ADAM, KIND_SGD };

const cs_option cs_optimizer_option_rows[] = {
    {"optimizer", CS_OPT_ENUM, FIELD(kind), "adam", "adam|fused_adam|sgd", "AdamW (fused_adam is the same), or gradient descent with momentum", NULL},
    {"adam-beta1", CS_OPT_REAL, FIELD(beta1), "0.9", "0..1", "Decay of the first moment", NULL},
    {"adam-beta2", CS_OPT_REAL, FIELD(beta2), "0.999", "0..1", "Decay of the second moment", NULL},
    {"adam-eps", CS_OPT_REAL, FIELD(eps), "1e-8", "0..", "Added to the root of the second moment", NULL},
    {"weight-decay", CS_OPT_REAL, FIELD(weight_decay), "0.01", "0..", "AdamW: decoupled weight decay; sgd: times the weight, added to the gradient",
     NULL},
    {"sgd-momentum", CS_OPT_REAL, FIELD(momentum), "0.9", "0..1", "With --optimizer sgd; 0: the optimizer has no state", NULL},
    {"clip-grad", CS_OPT_REAL, FIELD(clip_grad), "1.0", "0..", "Largest global gradient norm; 0: no clipping", NULL},
};
const size_t cs_optimizer_n_option_rows = sizeof cs_optimizer_option_rows / sizeof cs_optimizer_option_rows[0];

cs_status cs_optimizer_check(const cs_optimizer_options *o, cs_error *err)
{
    const struct {
        bool broken;
        const char *message;
    } rules[] = {
        {!(o->momentum >= 0 && o->momentum < 1), "--sgd-momentum: expected 0 <= momentum < 1"},
        {!(o->beta1 >= 0 && o->beta1 < 1), "--adam-beta1: expected 0 <= beta1 < 1"},
        {!(o->beta2 >= 0 && o->beta2 < 1), "--adam-beta2: expected 0 <= beta2 < 1"},
        {!(o->eps > 0) || !isfinite(o->eps), "--adam-eps: expected a number above 0"},
        {!(o->weight_decay >= 0) || !isfinite(o->weight_decay), "--weight-decay: expected a number >= 0"},
        {!(o->clip_grad >= 0), "--clip-grad: expected a number >= 0"},
    };
    cs_status found = CS_OK;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].broken)
            found = cs_fail_also(err, CS_E_USAGE, "%s", rules[i].message);
    return found;
}

double cs_clip_scale(double clip, double norm)
{
    if (clip <= 0)
        return 1;
    double scale = clip / (norm + 1e-6);
    return scale < 1 ? scale : 1;
}

cs_update_rule cs_optimizer_rule(const cs_optimizer_options *o)
{
    return o->kind != KIND_SGD ? CS_UPDATE_ADAMW : o->momentum > 0 ? CS_UPDATE_MOMENTUM : CS_UPDATE_SGD;
}

const char *cs_optimizer_rule_name(cs_update_rule rule)
{
    static const char *const names[] = {[CS_UPDATE_ADAMW] = "adam", [CS_UPDATE_MOMENTUM] = "sgd with momentum", [CS_UPDATE_SGD] = "sgd"};
    return names[rule];
}

cs_update cs_optimizer_step_args(const cs_optimizer_options *o, double lr, int64_t step, double grad_scale)
{
    return (cs_update){.lr = lr, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps, .weight_decay = o->weight_decay, .step = step,
                       .grad_scale = grad_scale, .momentum = o->momentum};
}
