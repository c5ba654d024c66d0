/* `cspeed verify`: checkpoints against their manifests. */
#include "cli/commands.h"

#include "base/io.h"
#include "base/log.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/source.h"
#include "ckpt/manifest.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

typedef struct verify_config {
    const char *load;
} verify_config;

static const cs_option rows[] = {
    {"load", CS_OPT_STR, offsetof(verify_config, load), NULL, NULL, "checkpoint, run folder or Hugging Face folder (also as an argument)", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"verify", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

typedef struct tally {
    json_t *list; /* with --json */
    size_t checkpoints, files, bytes;
} tally;

static void count_ok(tally *t, const char *dir, const char *how, size_t files, size_t bytes)
{
    if (t->list)
        json_array_append_new(t->list, json_pack("{s:s, s:s, s:I, s:I}", "path", dir, "checked", how, "files", (json_int_t)files, "bytes",
                                                 (json_int_t)bytes));
    else
        printf("%s: ok, %zu files, %zu bytes, %s\n", dir, files, bytes, how);
    t->checkpoints++;
}

static cs_status verify_dir(const char *dir, tally *t, cs_error *err)
{
    cs_manifest m;
    bool present;
    size_t bytes = 0;
    CS_TRY(cs_manifest_load(&m, dir, &present, err));
    cs_status s = present ? cs_manifest_check(&m, dir, CS_MANIFEST_ALL, err)
                          : cs_fail(err, CS_E_CKPT, "%s: no MANIFEST; the checkpoint is not complete", dir);
    for (size_t i = 0; i < m.n_files; i++)
        bytes += m.file[i].bytes;
    if (s == CS_OK)
        count_ok(t, dir, "sizes and hashes", m.n_files, bytes);
    cs_manifest_release(&m);
    return s;
}

/* A folder of another program has no manifest: the form of its files is all there is to check. */
static cs_status verify_foreign(const char *dir, tally *t, cs_error *err)
{
    cs_source src;
    cs_status s = cs_source_init(&src, dir, NULL, err);
    if (s == CS_OK)
        count_ok(t, dir, "form only: there is no MANIFEST", src.n_files, src.file_bytes);
    cs_source_release(&src);
    return s;
}

/* Every checkpoint of a run; the first damaged one ends it. */
static cs_status verify_run(const char *run_dir, tally *t, cs_error *err)
{
    char **names, path[PATH_MAX];
    size_t n;
    int64_t iteration;
    cs_status s = CS_OK;
    CS_TRY(cs_io_list(run_dir, &names, &n, err));
    for (size_t i = 0; i < n && s == CS_OK; i++) {
        if (!cs_ckpt_is_name(names[i], &iteration))
            continue;
        s = cs_hf_path(path, sizeof path, run_dir, names[i], err);
        if (s == CS_OK)
            s = verify_dir(path, t, err);
    }
    cs_io_list_free(names, n);
    if (s == CS_OK && t->checkpoints == 0)
        return cs_fail(err, CS_E_IO, "%s: no model.safetensors, pytorch_model.bin or index of one, no mp_rank_* and no iter_* in it",
                       run_dir);
    return s;
}

static cs_status verify_path(const char *path, tally *t, cs_error *err)
{
    char file[PATH_MAX];
    bool foreign;
    if (cs_io_kind(path, NULL) == CS_FILE_NONE)
        return cs_fail(err, CS_E_IO, "%s: no such folder; check the path", path);
    if (cs_io_kind(path, NULL) != CS_FILE_DIR)
        return verify_foreign(path, t, err);
    CS_TRY(cs_megatron_present(path, &foreign, err));
    if (foreign)
        return verify_foreign(path, t, err);
    CS_TRY(cs_hf_path(file, sizeof file, path, CS_MANIFEST_NAME, err));
    if (cs_io_kind(file, NULL) != CS_FILE_NONE)
        return verify_dir(path, t, err);
    CS_TRY(cs_hf_path(file, sizeof file, path, "trainer", err));
    if (cs_io_kind(file, NULL) == CS_FILE_DIR)
        return verify_dir(path, t, err);
    return cs_hf_present(path) ? verify_foreign(path, t, err) : verify_run(path, t, err);
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const verify_config *c = config;
    const cs_strlist *args = &cli->options->positional;
    if (args->n + (c->load != NULL) != 1)
        return cs_fail(err, CS_E_USAGE, "verify takes one folder, as an argument or with --load; %zu are given", args->n + (c->load != NULL));
    tally t = {.list = cli->common->json ? json_array() : NULL};
    cs_status s = verify_path(c->load ? c->load : args->items[0], &t, err);
    if (s == CS_OK && t.list) {
        json_dumpf(t.list, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(t.list);
    return s;
}

const cs_command cs_command_verify = {
    .name = "verify",
    .usage = "cspeed verify PATH [--json]",
    .summary = "check a checkpoint against its manifest",
    .config_bytes = sizeof(verify_config),
    .groups = groups,
    .run = run,
};
