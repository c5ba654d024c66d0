/* The program behind main: finds the command, parses its flags, runs it, prints its error and gives its status as exit code. */
#include "cli/commands.h"

#include "base/failpoint.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "comm/comm.h"
#include "fmt/json.h"
#include "fmt/limits.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cs_command *const commands[] = {
    &cs_command_train, &cs_command_generate, &cs_command_logits, &cs_command_score, &cs_command_convert,
    &cs_command_tokenize, &cs_command_inspect, &cs_command_verify, &cs_command_plan, &cs_command_plot, &cs_command_bench, &cs_command_preprocess,
    &cs_command_version,
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *w = words; w && *w;) {
        size_t k = strcspn(w, " ");
        if (k == n && memcmp(w, word, n) == 0)
            return true;
        w += k + (w[k] == ' ');
    }
    return false;
}

static cs_status find_command(const char *name, const cs_command **out, cs_error *err)
{
    const char *names[N_COMMANDS + 1];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0 || has_word(commands[i]->aliases, name)) {
            *out = commands[i];
            return CS_OK;
        }
        names[i] = commands[i]->name;
    }
    names[N_COMMANDS] = "help";
    const char *near = cs_nearest_name(name, strlen(name), names, N_COMMANDS + 1);
    return near ? cs_fail(err, CS_E_USAGE, "%s: unknown command; did you mean %s?", name, near)
                : cs_fail(err, CS_E_USAGE, "%s: unknown command; 'cspeed help' lists all", name);
}

/* help | help COMMAND | help --man | help --completion */
static cs_status run_help(int argc, char **argv, cs_error *err)
{
    const cs_command *command;
    if (argc == 0 || strcmp(argv[0], "--help") == 0) {
        cs_help_overview(commands, N_COMMANDS);
        return CS_OK;
    }
    if (strcmp(argv[0], "--man") == 0)
        return cs_help_man(commands, N_COMMANDS, err);
    if (strcmp(argv[0], "--completion") == 0)
        return cs_help_completion(commands, N_COMMANDS, err);
    CS_TRY(find_command(argv[0], &command, err));
    return cs_help_command(command, err);
}

static cs_status print_config(const cs_options *opt, cs_error *err)
{
    cs_str text = {0};
    cs_status s = cs_options_to_json(opt, &text, err);
    if (s == CS_OK)
        fputs(cs_str_cstr(&text), stdout);
    cs_str_release(&text);
    return s;
}

static cs_status load_config(const char *path, json_t **out_create, cs_error *err)
{
    return cs_json_load(path, CS_LIMIT_CONFIG_BYTES, out_create, err);
}

static cs_status run_command(const cs_command *command, int argc, char **argv, cs_arena *perm, cs_error *err)
{
    cs_common common = {0};
    cs_options opt;
    cs_option_group groups[CS_MAX_OPTION_GROUPS];
    void *config = cs_arena_calloc(perm, 1, command->config_bytes ? command->config_bytes : 1);
    if (!config)
        return cs_fail_nomem(err, command->config_bytes, "the configuration");
    size_t n = cs_command_groups(command, config, &common, groups);
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--quiet") == 0)
            cs_log_set(CS_LOG_QUIET);
    CS_TRY(cs_options_parse(&opt, groups, n, argc - 2, argv + 2, perm, load_config, err));
    if (opt.help)
        return cs_help_command(command, err);
    if (opt.print_config && command->settle)
        CS_TRY(command->settle(&opt, config, perm, err));
    if (opt.print_config)
        return print_config(&opt, err);
    cs_log_set(common.quiet ? CS_LOG_QUIET : common.verbose ? CS_LOG_VERBOSE : CS_LOG_NORMAL);
    cs_cli_set_threads(&common, 1);
    cs_cli cli = {.common = &common, .options = &opt, .perm = perm, .argc = argc, .argv = argv};
    CS_TRY(command->run(&cli, config, err));
    if (common.json && cs_mem_failures() > 0) /* jansson's builders lose a member without a word */
        return cs_fail_nomem(err, 0, "the JSON output, which is not complete");
    return CS_OK;
}

static cs_status dispatch(int argc, char **argv, cs_arena *perm, cs_error *err)
{
    const cs_command *command;
    if (strcmp(argv[1], "help") == 0)
        return run_help(argc - 2, argv + 2, err);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return run_help(0, NULL, err);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("cspeed %s\n", CS_VERSION);
        return CS_OK;
    }
    CS_TRY(find_command(argv[1], &command, err));
    return run_command(command, argc, argv, perm, err);
}

/* A reader that went away is no error of ours; anything else that kept results from arriving is. */
static cs_status flush_results(cs_status status, cs_error *err)
{
    errno = 0;
    if ((fflush(stdout) != 0) + (ferror(stdout) != 0) == 0 || errno == EPIPE || cs_io_stdout_closed())
        return status;
    cs_status late = cs_fail(err, CS_E_IO, "stdout: cannot write the results%s%s; they are not complete", errno ? ": " : "",
                             errno ? strerror(errno) : "");
    cs_error_print(err);
    return status == CS_OK ? late : status;
}

/* Once for all processes of a launcher. The ranks of a training run agree on it, as only some of them may have failed. */
static cs_status say_failure(const char *name, const cs_error *err)
{
    const cs_command *command;
    if (find_command(name, &command, NULL) == CS_OK && command == &cs_command_train)
        return (cs_status)cs_launch_failed(err);
    if (cs_launch_rank() == 0 || err->status != CS_E_USAGE)
        cs_error_print(err);
    return err->status;
}

int cs_program(int argc, char **argv, const char *failpoints)
{
    cs_error err = {0};
    cs_arena perm;
    cs_io_hold_standard();
    signal(SIGPIPE, SIG_IGN);
    json_set_alloc_funcs(cs_malloc, cs_free);
    json_object_seed(0); /* from the system's random numbers, before any thread: chosen keys must not collide */
    if (argc < 2) {
        fprintf(stderr, "Usage: cspeed COMMAND [flags] [arguments]\n'cspeed help' lists the commands, 'cspeed help COMMAND' its flags.\n");
        return CS_E_USAGE;
    }
    cs_status s = cs_failpoint_arm(failpoints, &err);
    cs_arena_init(&perm, "program");
    if (s == CS_OK)
        s = dispatch(argc, argv, &perm, &err);
    if (s != CS_OK && err.msg[0] != '\0') /* empty: the ranks have said it */
        s = say_failure(argv[1], &err);
    s = flush_results(s, &err);
    cs_arena_release(&perm);
    return (int)s;
}
