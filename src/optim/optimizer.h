/* Flags of the optimizer, and the clipping rule. The update itself is the kernel table's adamw slot, driven by parallel/dp.c. */
#ifndef CS_OPTIM_OPTIMIZER_H
#define CS_OPTIM_OPTIMIZER_H

#include "base/options.h"
#include "tensor/kernels.h"

typedef struct cs_optimizer_options {
    int kind; /* 0 adam, 1 fused_adam (the same), 2 sgd (refused by the check) */
    double beta1, beta2, eps, weight_decay;
    double clip_grad; /* largest global norm; 0 = no clipping */
} cs_optimizer_options;

extern const cs_option cs_optimizer_option_rows[];
extern const size_t cs_optimizer_n_option_rows;

/* CS_E_USAGE with one line per mistake, appended to what *err already holds. */
cs_status cs_optimizer_check(const cs_optimizer_options *o, cs_error *err);

/* What gradients are multiplied by: clip/(norm+1e-6) when that is below 1, else 1; 1 when clip is 0. */
double cs_clip_scale(double clip, double norm);

/* Arguments of one update. step counts from 1. */
cs_adamw cs_optimizer_step_args(const cs_optimizer_options *o, double lr, int64_t step, double grad_scale);

#endif
