/* --auto-recompute-device-size: the first steps compute every layer again and measure what that takes; then each layer gets what fits into memory. */
#ifndef CS_TRAIN_AUTORECOMPUTE_H
#define CS_TRAIN_AUTORECOMPUTE_H

#include "train/trainer.h"

/* Once the model is made, before its first step: what layers do not keep in the steps that measure. Not collective. CS_E_NOMEM, CS_E_USAGE. */
cs_status cs_autorecompute_start(cs_trainer *t, cs_error *err);
/* After every step; after the last one that measures the choice is made, said, and in force. Nothing without the flag. Collective over world, the
 * same status on all ranks: CS_E_NOMEM, CS_E_USAGE. */
cs_status cs_autorecompute_after_step(cs_trainer *t, cs_error *err);

#endif
