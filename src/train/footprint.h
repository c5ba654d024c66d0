/* What a run took of every rank's memory, to be held against `cspeed plan`. */
#ifndef CS_TRAIN_FOOTPRINT_H
#define CS_TRAIN_FOOTPRINT_H

#include "train/trainer.h"

/* RUN/memory.json: {"ranks": [{"rank", "tp", "dp", "stage", "peak_bytes": most that was held at a time, "activations_bytes": kept for backward,
 * "temporary_bytes", "offloaded_bytes": of the optimizer's file, "rss_bytes"}]}, rss with what other ranks of the host share with it. All since the
 * start (activations and temporary: since --auto-recompute-device-size made its choice). Written by rank 0 where there is a run folder. Collective
 * over world: the same status on all ranks. peak: this rank's cs_mem_peak when training was done. CS_E_IO, CS_E_NOMEM. */
cs_status cs_footprint_write(cs_trainer *t, int64_t peak, cs_error *err);

/* Highest resident bytes of this process so far. */
double cs_footprint_resident(void);

#endif
