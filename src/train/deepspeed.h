/* A DeepSpeed configuration (--deepspeed --deepspeed-config FILE) beside the flags: every value of it goes to the option that means the same, so
 * that the effective options say what the run does. */
#ifndef CS_TRAIN_DEEPSPEED_H
#define CS_TRAIN_DEEPSPEED_H

#include "train/config.h"

/* Settles what flags and files named by flags say together: the DeepSpeed file of cfg->deepspeed_config, --checkpoint-policy. `opt` is what filled
 * cfg, `perm` owns strings made here and lives as long as cfg. A value of the file counts where the user stated none; with `speak`, notes and
 * warnings (keys without effect, unknown keys with line:column) go to stderr. Not collective; every rank that reads the same file gets the same.
 * CS_E_USAGE with one line per contradiction, showing both values; CS_E_IO, CS_E_FORMAT (name:line:column), CS_E_NOMEM. */
cs_status cs_train_settle(cs_options *opt, cs_train_config *cfg, bool speak, cs_arena *perm, cs_error *err);

/* The batch size triple over `world` ranks: global batch = micro batch x accumulation steps x DP, any two of which give the third. Fills what is
 * missing in c; CS_E_USAGE, appended to *err, where they contradict. */
void cs_train_settle_batch(cs_train_config *c, int64_t world, cs_error *err);

#endif
