/* The option table of `train`, the longest one: a command line (arguments cut at newlines) and a --config file, the two parts of the input. What is
 * accepted is printed as JSON, and that text read as a --config file gives the same text: print and parse are inverse. */
// seeds: tests/fuzz/corpus/options/*
#include "fuzz/fuzz.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "train/config.h"

#include <string.h>

enum { MAX_ARGS = 64 };

static cs_status load_config(const char *path, json_t **out_create, cs_error *err)
{
    return cs_json_load(path, CS_LIMIT_CONFIG_BYTES, out_create, err);
}

/* Parses; on CS_OK the effective options go to *out. */
static cs_status run(int argc, char **argv, cs_str *out, cs_error *err)
{
    cs_train_config cfg = {0};
    cs_option_group groups[CS_MAX_OPTION_GROUPS];
    cs_options opt;
    cs_arena perm;
    cs_arena_init(&perm, "options");
    size_t n = cs_train_option_groups(&cfg, groups);
    cs_status s = cs_options_parse(&opt, groups, n, argc, argv, &perm, load_config, err);
    if (s == CS_OK) {
        cs_lr_schedule schedule;
        cs_ramp ramp;
        cs_error found = {0};
        FUZZ_CHECK(cs_options_to_json(&opt, out, err) == CS_OK);
        cs_status checked = cs_train_config_check(&cfg, 1, &schedule, &ramp, &found);
        FUZZ_CHECK(checked == CS_OK || (checked == CS_E_USAGE && found.msg[0]));
    }
    cs_arena_release(&perm);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[2];
    char *argv[MAX_ARGS + 3], *line;
    int argc = 0;
    cs_error err = {0};
    cs_str first = {0}, second = {0};
    fuzz_split(data, size, part, 2);
    line = cs_strndup((const char *)part[0].bytes, part[0].n);
    FUZZ_CHECK(line);
    char config[] = "--config", *path = NULL;
    if (part[1].n > 0) {
        path = cs_strdup(fuzz_file("config.json", part[1].bytes, part[1].n));
        argv[argc++] = config;
        argv[argc++] = path;
    }
    for (char *at = strtok(line, "\n"); at && argc < MAX_ARGS && strncmp(at, "--config", 8) != 0; at = strtok(NULL, "\n"))
        argv[argc++] = at;
    argv[argc] = NULL;
    cs_status s = run(argc, argv, &first, &err);
    if (s == CS_OK) {
        cs_str_putc(&first, '\n');
        char *again[] = {config, (char *)fuzz_file("again.json", cs_str_cstr(&first), first.len), NULL};
        s = run(2, again, &second, &err);
        cs_str_putc(&second, '\n');
        if (s != CS_OK)
            fprintf(stderr, "%s\n%s\n", err.msg, cs_str_cstr(&first));
        FUZZ_CHECK(s == CS_OK && first.len == second.len && memcmp(cs_str_cstr(&first), cs_str_cstr(&second), first.len) == 0);
    } else {
        FUZZ_CHECK((s == CS_E_USAGE || s == CS_E_FORMAT) && err.status == s && err.msg[0]);
    }
    cs_str_release(&first);
    cs_str_release(&second);
    cs_free(path);
    cs_free(line);
    return 0;
}
