/* Help text from the option table. */
#include "base/options.h"
#include "base/options_row.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 34, WIDTH = 110 };

static const char *placeholder(const cs_option *row)
{
    switch (row->type) {
    case CS_OPT_INT: return " N";
    case CS_OPT_REAL: return " X";
    case CS_OPT_STR: return " TEXT";
    case CS_OPT_LIST: return " TEXT...";
    case CS_OPT_ENUM: return " NAME";
    default: return "";
    }
}

/* Prints words of `text` from column `at`, wrapped at WIDTH with HELP_COLUMN spaces in front. */
static int put_wrapped(const char *text, int at)
{
    for (bool joined = false; *text;) {
        int word = (int)strcspn(text, " "), n = word;
        if (n > WIDTH - HELP_COLUMN) { /* a long list of choices is broken behind a bar */
            n = (int)strcspn(text, "|");
            n = n < word ? n + 1 : word;
        }
        if (at + !joined + n > WIDTH && at > HELP_COLUMN) {
            printf("\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN && !joined) {
            putchar(' ');
            at++;
        }
        printf("%.*s", n, text);
        at += n;
        text += n;
        joined = n < word;
        text += strspn(text, " ");
    }
    return at;
}

static void print_row(const cs_option *row)
{
    char extra[400] = "";
    size_t used = 0;
    const char *short_form = row->aliases && row->aliases[0] == '-' ? row->aliases : NULL;
    int at = short_form ? printf("  %.2s, --%s%s", short_form, row->name, placeholder(row)) : printf("  --%s%s", row->name, placeholder(row));
    if (at >= HELP_COLUMN) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", HELP_COLUMN - at, "");
    at = put_wrapped(row->help, HELP_COLUMN);
    if (row->choices && row->type != CS_OPT_SET)
        used += (size_t)snprintf(extra, sizeof extra, "%s", row->choices);
    if (row->def && row->type != CS_OPT_SET && used < sizeof extra)
        used += (size_t)snprintf(extra + used, sizeof extra - used, "%sdefault %s", used ? "; " : "", row->def);
    if (row->aliases && used < sizeof extra) {
        const char *long_names = short_form ? row->aliases + 2 + (row->aliases[2] == ' ') : row->aliases;
        if (*long_names)
            snprintf(extra + used, sizeof extra - used, "%salso --%s", used ? "; " : "", long_names);
    }
    if (extra[0]) {
        char text[420];
        snprintf(text, sizeof text, "(%s)", extra);
        put_wrapped(text, at);
    }
    putchar('\n');
}

static void print_special(const cs_option_group *groups, size_t n_groups, cs_opt_type type, const char *title)
{
    bool any = false;
    int at = 0;
    for (size_t i = 0, count = cs_opt_count(groups, n_groups); i < count; i++) {
        const cs_option *row = cs_opt_at(groups, n_groups, i).row;
        if (row->type != type)
            continue;
        if (!any)
            printf("\n%s\n", title);
        any = true;
        if (type == CS_OPT_REFUSED) {
            printf("  --%s: %s\n", row->name, row->help);
        } else {
            int n = (int)strlen(row->name) + 3;
            if (at > 0 && at + n > WIDTH) {
                putchar('\n');
                at = 0;
            }
            at += printf("%s--%s", at ? " " : "  ", row->name);
        }
    }
    if (at > 0)
        putchar('\n');
}

void cs_options_print_help(const cs_option_group *groups, size_t n_groups, const char *usage, const char *summary)
{
    static const cs_option built_in[] = {
        {"config", CS_OPT_STR, 0, NULL, NULL, "read options from a JSON file (keys are long flag names); flags given here win", NULL},
        {"print-config", CS_OPT_FLAG, 0, NULL, NULL, "print the effective options as JSON and stop", NULL},
        {"help", CS_OPT_FLAG, 0, NULL, NULL, "this text", "-h"},
    };
    printf("%s\n\nUsage: %s\n", summary, usage);
    for (size_t g = 0; g < n_groups; g++) {
        bool title = false;
        for (size_t r = 0; r < groups[g].n_rows; r++) {
            const cs_option *row = &groups[g].rows[r];
            if (row->type == CS_OPT_IGNORED || row->type == CS_OPT_REFUSED)
                continue;
            if (!title)
                printf("\n%s\n", groups[g].title);
            title = true;
            print_row(row);
        }
    }
    printf("\nOptions as a whole\n");
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++)
        print_row(&built_in[i]);
    print_special(groups, n_groups, CS_OPT_IGNORED, "Accepted without effect on CPUs");
    print_special(groups, n_groups, CS_OPT_REFUSED, "Known, not supported");
}
