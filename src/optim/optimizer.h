/* Flags of the optimizer, and the clipping rule. The updates themselves are kernels (adamw, sgd), driven by parallel/dp.c. */
#ifndef CS_OPTIM_OPTIMIZER_H
#define CS_OPTIM_OPTIMIZER_H

#include "base/options.h"
#include "tensor/kernels.h"

typedef struct cs_optimizer_options {
    int kind; /* 0 adam, 1 fused_adam (the same), 2 sgd */
    double beta1, beta2, eps, weight_decay, momentum;
    double clip_grad; /* largest global norm; 0 = no clipping */
} cs_optimizer_options;

extern const cs_option cs_optimizer_option_rows[];
extern const size_t cs_optimizer_n_option_rows;

/* CS_E_USAGE with one line per mistake, appended to what *err already holds. */
cs_status cs_optimizer_check(const cs_optimizer_options *o, cs_error *err);

/* What gradients are multiplied by: clip/(norm+1e-6) when that is below 1, else 1; 1 when clip is 0. */
double cs_clip_scale(double clip, double norm);

/* What the flags ask for, and its name in trainer/state.json and in messages. */
cs_update_rule cs_optimizer_rule(const cs_optimizer_options *o);
const char *cs_optimizer_rule_name(cs_update_rule rule);

/* Arguments of one update. step counts from 1. */
cs_update cs_optimizer_step_args(const cs_optimizer_options *o, double lr, int64_t step, double grad_scale);

#endif
