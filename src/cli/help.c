/* Help, man page and shell completion, all from the option tables of the commands. */
#include "cli/commands.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const cs_option common_rows[] = {
    {"threads", CS_OPT_INT, offsetof(cs_common, threads), "0", "0..4096", "threads of every rank; 0 = cores / ranks on this host", NULL},
    {"quiet", CS_OPT_FLAG, offsetof(cs_common, quiet), NULL, NULL, "errors and warnings only", NULL},
    {"verbose", CS_OPT_FLAG, offsetof(cs_common, verbose), NULL, NULL, "more about what is done", NULL},
    {"json", CS_OPT_FLAG, offsetof(cs_common, json), NULL, NULL, "results as JSON where the command prints a table", NULL},
};

size_t cs_command_groups(const cs_command *command, void *config, cs_common *common, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    size_t n = command->groups ? command->groups(config, out) : 0;
    CS_ASSERT(n < CS_MAX_OPTION_GROUPS);
    out[n] = (cs_option_group){"Every command", common_rows, sizeof common_rows / sizeof *common_rows, common};
    return n + 1;
}

int cs_cli_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}

void cs_cli_set_threads(const cs_common *common, int ranks_on_host)
{
    int share = cs_cli_cores() / (ranks_on_host > 0 ? ranks_on_host : 1);
    omp_set_num_threads(common->threads > 0 ? (int)common->threads : share > 0 ? share : 1);
}

void cs_help_overview(const cs_command *const *commands, size_t n)
{
    printf("cspeed %s: trains and runs LLaMA-family language models on CPUs.\n\nUsage: cspeed COMMAND [flags] [arguments]\n\nCommands\n", CS_VERSION);
    for (size_t i = 0; i < n; i++)
        printf("  %-12s %s%s%s%s\n", commands[i]->name, commands[i]->summary, commands[i]->aliases ? " (also: " : "",
               commands[i]->aliases ? commands[i]->aliases : "", commands[i]->aliases ? ")" : "");
    printf("\n'cspeed help COMMAND' lists the flags of a command, 'cspeed --version' prints the version,\n"
           "'cspeed help --man' gives a man page and 'cspeed help --completion' a completion for bash.\n\n"
           "Exit codes: 0 done, 2 usage, 3 bad input file, 4 input/output, 5 out of memory, 6 numerical stop,\n"
           "7 a rank was lost or hangs, 8 checkpoint unusable, 70 internal error.\n");
}

/* A zeroed config for a command of which only the table is wanted. */
static void *blank_config(const cs_command *command, cs_error *err)
{
    void *config = cs_calloc(1, command->config_bytes ? command->config_bytes : 1);
    if (!config)
        cs_fail_nomem(err, command->config_bytes, "the option table");
    return config;
}

cs_status cs_help_command(const cs_command *command, cs_error *err)
{
    cs_option_group groups[CS_MAX_OPTION_GROUPS];
    cs_common common = {0};
    char summary[300];
    void *config = blank_config(command, err);
    if (!config)
        return CS_E_NOMEM;
    size_t n = cs_command_groups(command, config, &common, groups);
    snprintf(summary, sizeof summary, "cspeed %s: %s", command->name, command->summary);
    cs_options_print_help(groups, n, command->usage, summary);
    cs_free(config);
    return CS_OK;
}

/* Text with the characters that roff reads as commands escaped. */
static void put_roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

static void man_group(const cs_option_group *group)
{
    bool title = false;
    for (size_t r = 0; r < group->n_rows; r++) {
        const cs_option *row = &group->rows[r];
        if (row->type == CS_OPT_IGNORED || row->type == CS_OPT_REFUSED)
            continue;
        if (!title)
            printf(".PP\n%s:\n", group->title);
        title = true;
        fputs(".TP\n\\fB", stdout);
        put_roff("--");
        put_roff(row->name);
        printf("\\fR%s\n", row->type == CS_OPT_FLAG || row->type == CS_OPT_SET ? "" : " \\fIvalue\\fR");
        put_roff(row->help);
        if (row->choices && row->type != CS_OPT_SET) {
            fputs(" (", stdout);
            put_roff(row->choices);
            putchar(')');
        }
        if (row->def && row->type != CS_OPT_SET) {
            fputs("; default ", stdout);
            put_roff(row->def);
        }
        putchar('\n');
    }
}

cs_status cs_help_man(const cs_command *const *commands, size_t n, cs_error *err)
{
    printf(".TH CSPEED 1 \"\" \"cspeed %s\" \"User Commands\"\n.SH NAME\ncspeed \\- train and run LLaMA\\-family language models on CPUs\n"
           ".SH SYNOPSIS\n.B cspeed\n\\fICOMMAND\\fR [flags] [arguments]\n.SH DESCRIPTION\n"
           "In flag names \\- and _ are the same; \\-\\-flag value and \\-\\-flag=value both work.\n"
           "Results go to stdout, everything else to stderr.\n",
           CS_VERSION);
    for (size_t i = 0; i < n; i++) {
        cs_option_group groups[CS_MAX_OPTION_GROUPS];
        cs_common common = {0};
        void *config = blank_config(commands[i], err);
        if (!config)
            return CS_E_NOMEM;
        size_t n_groups = cs_command_groups(commands[i], config, &common, groups);
        printf(".SH \"cspeed %s\"\n", commands[i]->name);
        put_roff(commands[i]->summary);
        printf(".\n.PP\nUsage: ");
        put_roff(commands[i]->usage);
        putchar('\n');
        for (size_t g = 0; g + 1 < n_groups; g++)
            man_group(&groups[g]);
        if (i + 1 == n) {
            printf(".SH \"FLAGS OF EVERY COMMAND\"\n");
            man_group(&groups[n_groups - 1]);
        }
        cs_free(config);
    }
    printf(".SH \"EXIT STATUS\"\n0 done, 2 usage, 3 bad input file, 4 input/output, 5 out of memory, 6 numerical stop, 7 a rank was lost or hangs,\n"
           "8 checkpoint unusable, 70 internal error.\n");
    return CS_OK;
}

static void completion_case(const cs_command *command, const cs_option_group *groups, size_t n_groups)
{
    printf("        %s", command->name);
    for (const char *a = command->aliases; a && *a;) {
        size_t k = strcspn(a, " ");
        printf("|%.*s", (int)k, a);
        a += k + (a[k] == ' ');
    }
    printf(") flags=\"--config --print-config --help");
    for (size_t g = 0; g < n_groups; g++)
        for (size_t r = 0; r < groups[g].n_rows; r++)
            if (groups[g].rows[r].type != CS_OPT_IGNORED && groups[g].rows[r].type != CS_OPT_REFUSED)
                printf(" --%s", groups[g].rows[r].name);
    printf("\"\n            case \"$prev\" in\n");
    for (size_t g = 0; g < n_groups; g++) {
        for (size_t r = 0; r < groups[g].n_rows; r++) {
            const cs_option *row = &groups[g].rows[r];
            if (row->type != CS_OPT_ENUM)
                continue;
            printf("                --%s) values=\"", row->name);
            for (const char *c = row->choices; *c; c++)
                putchar(*c == '|' ? ' ' : *c);
            printf("\" ;;\n");
        }
    }
    printf("            esac ;;\n");
}

cs_status cs_help_completion(const cs_command *const *commands, size_t n, cs_error *err)
{
    printf("# bash completion for cspeed\n_cspeed()\n{\n"
           "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" flags=\"\" values=\"\"\n"
           "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ] || { [ \"$COMP_CWORD\" -eq 2 ] && [ \"$prev\" = help ]; }; then\n"
           "        COMPREPLY=($(compgen -W \"help --help --version");
    for (size_t i = 0; i < n; i++)
        printf(" %s", commands[i]->name);
    printf("\" -- \"$cur\"))\n        return\n    fi\n    case \"${COMP_WORDS[1]}\" in\n");
    for (size_t i = 0; i < n; i++) {
        cs_option_group groups[CS_MAX_OPTION_GROUPS];
        cs_common common = {0};
        void *config = blank_config(commands[i], err);
        if (!config)
            return CS_E_NOMEM;
        completion_case(commands[i], groups, cs_command_groups(commands[i], config, &common, groups));
        cs_free(config);
    }
    printf("    esac\n    if [ -n \"$values\" ]; then\n        COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
           "    elif [ \"${cur:0:1}\" = - ]; then\n        COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
           "    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\ncomplete -o filenames -F _cspeed cspeed\n");
    return CS_OK;
}
