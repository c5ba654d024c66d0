/* A command of the program: one constant per file in src/cli, listed once in program.c. program.c parses the flags into the command's config,
 * handles --help and --print-config, sets log level and threads, calls run, prints the error and exits with its status. */
#ifndef CS_CLI_COMMAND_H
#define CS_CLI_COMMAND_H

#include "base/options.h"

/* Flags that every command has. */
typedef struct cs_common {
    int64_t threads; /* 0 = cores / ranks on this host */
    bool quiet, verbose, json;
} cs_common;

typedef struct cs_cli {
    const cs_common *common;
    cs_options *options;       /* given flags and positional arguments */
    cs_arena *perm;            /* lives as long as the program */
    int argc;                  /* the whole command line, for command.txt */
    char **argv;
} cs_cli;

typedef struct cs_command {
    const char *name, *aliases; /* aliases separated by spaces, or NULL */
    const char *usage;          /* "cspeed tokenize [flags] < text" */
    const char *summary;        /* one line */
    size_t config_bytes;        /* size of the command's config struct, zeroed by main */
    /* Fills `out` with the option groups over `config`; returns their number. */
    size_t (*groups)(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS]);
    /* What the options say together with files that they name, for --print-config; run does it itself. NULL: nothing. */
    cs_status (*settle)(cs_options *opt, void *config, cs_arena *perm, cs_error *err);
    cs_status (*run)(const cs_cli *cli, void *config, cs_error *err);
} cs_command;

/* Sets the OpenMP team size of the calling process: --threads, or else this process's share of the host's usable cores.
 * Starts no thread. main calls it with 1 before run; a command with several ranks calls it again in every rank. */
void cs_cli_set_threads(const cs_common *common, int ranks_on_host);
/* Cores that this process may run on. */
int cs_cli_cores(void);

#endif
