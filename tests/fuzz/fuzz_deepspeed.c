/* A DeepSpeed configuration beside flags (arguments cut at newlines), the two parts of the input: an error, or options that written as the run's
 * config.json and read again, beside the same file, are the same options. Batch sizes that are settled fit together. */
// seeds: tests/fuzz/corpus/deepspeed/*
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "train/deepspeed.h"

#include <string.h>

enum { MAX_ARGS = 64 };

static cs_status load_config(const char *path, json_t **out_create, cs_error *err)
{
    return cs_json_load(path, CS_LIMIT_CONFIG_BYTES, out_create, err);
}

static void check_batch(const cs_train_config *cfg, int64_t world)
{
    cs_train_config c = *cfg;
    cs_error err = {0};
    cs_train_settle_batch(&c, world, &err);
    if (err.status != CS_OK) {
        FUZZ_CHECK(err.status == CS_E_USAGE && err.msg[0]);
        return;
    }
    if (c.accumulation > 0 && c.tp <= world && c.pp <= world && world % (c.tp * c.pp) == 0 && c.micro_batch <= INT64_MAX / world / c.accumulation)
        FUZZ_CHECK(c.global_batch == c.micro_batch * c.accumulation * (world / (c.tp * c.pp)));
}

/* Parses and settles; on CS_OK the effective options go to *out. *started: the flags alone were fine. */
static cs_status run(int argc, char **argv, bool *started, cs_str *out, cs_error *err)
{
    cs_train_config cfg = {0};
    cs_option_group groups[CS_MAX_OPTION_GROUPS];
    cs_options opt;
    cs_arena perm;
    cs_arena_init(&perm, "options");
    size_t n = cs_train_option_groups(&cfg, groups);
    cs_status s = cs_options_parse(&opt, groups, n, argc, argv, &perm, load_config, err);
    *started = s == CS_OK;
    if (s == CS_OK)
        s = cs_train_settle(&opt, &cfg, true, &perm, err);
    if (s == CS_OK) {
        FUZZ_CHECK(cs_options_to_json(&opt, out, err) == CS_OK);
        check_batch(&cfg, 1);
        check_batch(&cfg, 8);
    }
    cs_arena_release(&perm);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[2];
    char on[] = "--deepspeed", name[] = "--deepspeed-config", config[] = "--config", *argv[MAX_ARGS + 4];
    int argc = 0;
    bool started;
    cs_error err = {0};
    cs_str first = {0}, second = {0};
    fuzz_split(data, size, part, 2);
    char *line = cs_strndup((const char *)part[1].bytes, part[1].n), *path = cs_strdup(fuzz_file("ds.json", part[0].bytes, part[0].n));
    FUZZ_CHECK(line && path);
    argv[argc++] = on;
    argv[argc++] = name;
    argv[argc++] = path;
    for (char *at = strtok(line, "\n"); at && argc < MAX_ARGS; at = strtok(NULL, "\n"))
        if (strncmp(at, "--config", 8) != 0 && strncmp(at, "--deepspeed", 11) != 0)
            argv[argc++] = at;
    argv[argc] = NULL;
    cs_status s = run(argc, argv, &started, &first, &err);
    if (s == CS_OK && first.len > 0 && strstr(cs_str_cstr(&first), "\"deepspeed\": true")) {
        char *again[] = {config, (char *)fuzz_file("again.json", cs_str_cstr(&first), first.len), NULL};
        s = run(2, again, &started, &second, &err);
        if (s != CS_OK || strcmp(cs_str_cstr(&first), cs_str_cstr(&second)) != 0)
            fprintf(stderr, "%s\n%s\n%s\n", err.msg, cs_str_cstr(&first), cs_str_cstr(&second));
        FUZZ_CHECK(s == CS_OK && strcmp(cs_str_cstr(&first), cs_str_cstr(&second)) == 0);
    } else if (s != CS_OK) {
        FUZZ_CHECK((s == CS_E_USAGE || s == CS_E_FORMAT || !started) && err.status == s && err.msg[0]);
    }
    cs_str_release(&first);
    cs_str_release(&second);
    cs_free(path);
    cs_free(line);
    return 0;
}
