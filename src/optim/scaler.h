/* Loss scaling of fp16 training (Micikevicius et al., "Mixed Precision Training", 2018), with Megatron's rule of growth and hysteresis. */
#ifndef CS_OPTIM_SCALER_H
#define CS_OPTIM_SCALER_H

#include "base/options.h"

typedef struct cs_scaler_options {
    double constant;            /* > 0: never changes; 0 = dynamic */
    double initial, min;
    int64_t window, hysteresis; /* good steps before the scale doubles; overflows that are borne before it halves */
    bool consecutive;           /* a step without overflow makes the hysteresis full again */
} cs_scaler_options;

/* Part of the training state. */
typedef struct cs_scaler {
    double scale;       /* the loss is multiplied by it before backward, gradients are divided by it; 1 without fp16 */
    int64_t good;       /* steps without overflow since the last change */
    int64_t hysteresis; /* overflows still borne */
} cs_scaler;

extern const cs_option cs_scaler_option_rows[];
extern const size_t cs_scaler_n_option_rows;

/* CS_E_USAGE with one line per mistake, appended to what *err already holds. */
cs_status cs_scaler_check(const cs_scaler_options *o, cs_error *err);
/* The state before the first step; `on` false: scale 1 for ever. */
cs_scaler cs_scaler_start(const cs_scaler_options *o, bool on);
/* After a step. Without overflow: after `window` good steps the scale doubles and the hysteresis is full again
 * (with `consecutive` after every such step). With: the step's update was skipped,
 * one overflow of the hysteresis is used up, and at none left the scale halves, not below `min`. Returns false when an overflow found the scale at
 * its floor (or constant): scaling cannot help any more. */
bool cs_scaler_update(cs_scaler *s, const cs_scaler_options *o, bool overflow);

#endif
