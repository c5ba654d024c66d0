/* The commands of the program, one file each in src/cli; program.c holds the one list of them. */
#ifndef CS_CLI_COMMANDS_H
#define CS_CLI_COMMANDS_H

#include "cli/command.h"

extern const cs_command cs_command_bench;
extern const cs_command cs_command_convert;
extern const cs_command cs_command_generate;
extern const cs_command cs_command_inspect;
extern const cs_command cs_command_logits;
extern const cs_command cs_command_plan;
extern const cs_command cs_command_plot;
extern const cs_command cs_command_preprocess;
extern const cs_command cs_command_score;
extern const cs_command cs_command_tokenize;
extern const cs_command cs_command_train;
extern const cs_command cs_command_verify;
extern const cs_command cs_command_version;

/* Runs the command line and returns the exit code of the program; results are flushed. `failpoints` (base/failpoint.h) may be NULL.
 * Once per process: takes over SIGPIPE and jansson's allocator. */
int cs_program(int argc, char **argv, const char *failpoints);

/* Writes RUN/loss.svg and RUN/loss.png from RUN/metrics.jsonl, as `plot RUN` does, and prints nothing. */
cs_status cs_plot_losses(const char *run_dir, cs_arena *perm, cs_error *err);

/* Option groups of a command with the common flags in front; `config` and `common` may be static storage where only help is made.
 * Returns their number. */
size_t cs_command_groups(const cs_command *command, void *config, cs_common *common, cs_option_group out[CS_MAX_OPTION_GROUPS]);

/* Short list of commands to `stream` (usage), or with hints on stdout. */
void cs_help_overview(const cs_command *const *commands, size_t n);
/* Help of one command to stdout. CS_E_NOMEM. */
cs_status cs_help_command(const cs_command *command, cs_error *err);
/* roff man page and bash completion of the whole program to stdout. CS_E_NOMEM. */
cs_status cs_help_man(const cs_command *const *commands, size_t n, cs_error *err);
cs_status cs_help_completion(const cs_command *const *commands, size_t n, cs_error *err);

#endif
