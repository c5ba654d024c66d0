/* Finding checkpoints: which folder --load means, which is the newest complete one, which may go. */
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/manifest.h"
#include "ckpt/source.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cs_ckpt_is_name(const char *name, int64_t *iteration)
{
    if (strncmp(name, "iter_", 5) != 0 || !name[5] || strlen(name) > 5 + 18 || strspn(name + 5, "0123456789") != strlen(name + 5))
        return false;
    *iteration = strtoll(name + 5, NULL, 10);
    return true;
}

typedef struct found {
    int64_t iteration;
    char *name;
} found;

static int newest_first(const void *a, const void *b)
{
    const found *x = a, *y = b;
    return x->iteration != y->iteration ? (x->iteration > y->iteration ? -1 : 1) : strcmp(x->name, y->name);
}

static void release_list(found *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cs_free(list[i].name);
    cs_free(list);
}

/* The iter_* folders of a run, newest first. */
static cs_status list_checkpoints(const char *run_dir, found **out, size_t *n_out, cs_error *err)
{
    char **names, path[PATH_MAX];
    size_t n, used = 0;
    cs_file_kind kind;
    CS_TRY(cs_io_list(run_dir, &names, &n, err));
    found *list = cs_calloc(n + 1, sizeof *list);
    cs_status s = list ? CS_OK : cs_fail_nomem(err, n * sizeof *list, run_dir);
    for (size_t i = 0; s == CS_OK && i < n; i++) {
        if (!cs_ckpt_is_name(names[i], &list[used].iteration) || cs_hf_path(path, sizeof path, run_dir, names[i], NULL) != CS_OK ||
            (cs_io_stat(path, &kind, NULL, NULL) == CS_OK && kind != CS_FILE_DIR))
            continue; /* one that cannot be looked at stays in the list: checking it tells why */
        list[used].name = cs_strdup(names[i]);
        if (!list[used].name)
            s = cs_fail_nomem(err, strlen(names[i]), run_dir);
        else
            used++;
    }
    cs_io_list_free(names, n);
    if (s != CS_OK) {
        release_list(list, used);
        return s;
    }
    if (used > 1)
        qsort(list, used, sizeof *list, newest_first);
    *out = list;
    *n_out = used;
    return CS_OK;
}

static cs_status check_complete(const char *dir, bool hashes, cs_error *err)
{
    cs_manifest m;
    bool present;
    CS_TRY(cs_manifest_load(&m, dir, &present, err));
    cs_status s;
    if (!present)
        s = cs_fail(err, CS_E_CKPT, "%s: no MANIFEST; the checkpoint is not complete", dir);
    else
        s = hashes ? cs_manifest_check(&m, dir, CS_MANIFEST_ALL, err) : cs_manifest_check_sizes(&m, dir, CS_MANIFEST_ALL, err);
    cs_manifest_release(&m);
    return s;
}

cs_status cs_ckpt_verify(const char *dir, cs_error *err)
{
    return check_complete(dir, true, err);
}

static cs_status resolve_run(const char *run_dir, bool fallback, char *dir, size_t dir_size, cs_error *err)
{
    found *list;
    size_t n;
    cs_error first = {0};
    cs_status s = CS_E_IO;
    CS_TRY(list_checkpoints(run_dir, &list, &n, err));
    for (size_t i = 0; i < n && s != CS_OK; i++) {
        cs_error why = {0};
        s = cs_hf_path(dir, dir_size, run_dir, list[i].name, &why);
        if (s == CS_OK)
            s = check_complete(dir, fallback, &why);
        if (s == CS_OK || s == CS_E_NOMEM) /* no fault of the checkpoint */
            break;
        cs_warn("%s; skipping checkpoint %s", why.msg, list[i].name);
        if (first.status == CS_OK)
            first = why;
    }
    release_list(list, n);
    if (s == CS_OK)
        return CS_OK;
    if (s == CS_E_NOMEM)
        return cs_fail_nomem(err, dir_size, "checking a checkpoint");
    if (first.status == CS_OK) {
        bool tracked = cs_hf_path(dir, dir_size, run_dir, "latest_checkpointed_iteration.txt", NULL) == CS_OK &&
                       cs_io_kind(dir, NULL) != CS_FILE_NONE;
        return cs_fail(err, CS_E_IO, "%s: no model.safetensors, pytorch_model.bin or index of one, no mp_rank_* and no iter_* in it%s", run_dir,
                       tracked ? ", nor the folder that its latest_checkpointed_iteration.txt names" : "");
    }
    if (err)
        *err = first;
    return first.status;
}

cs_status cs_ckpt_resolve(const char *path, bool fallback, char **dir_create, cs_error *err)
{
    bool foreign;
    *dir_create = NULL;
    CS_TRY(cs_source_is_foreign(path, &foreign, err));
    if (foreign) {
        *dir_create = cs_strdup(path);
        return *dir_create ? CS_OK : cs_fail_nomem(err, strlen(path), "a path");
    }
    char dir[PATH_MAX];
    cs_file_kind kind = cs_io_kind(path, NULL);
    if (kind == CS_FILE_NONE)
        return cs_fail(err, CS_E_IO, "%s: no such folder; check the path", path);
    if (kind != CS_FILE_DIR)
        return cs_fail(err, CS_E_IO, "%s: is not a folder; expected a Hugging Face folder, a checkpoint or a run folder", path);
    if (cs_hf_present(path)) {
        *dir_create = cs_strdup(path);
    } else {
        CS_TRY(resolve_run(path, fallback, dir, sizeof dir, err));
        *dir_create = cs_strdup(dir);
    }
    return *dir_create ? CS_OK : cs_fail_nomem(err, strlen(path), "a folder name");
}

/* iter_*.tmp.*, and what an interrupted symlink or tracker file leaves. */
static bool is_temp(const char *name)
{
    static const char *const starts[] = {"latest.tmp.", "latest_checkpointed_iteration.txt.tmp."};
    const char *dot = strstr(name, ".tmp.");
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return dot && strncmp(name, "iter_", 5) == 0 && strspn(name + 5, "0123456789") == (size_t)(dot - name) - 5;
}

void cs_ckpt_prune_temps(const char *run_dir)
{
    char **names, path[PATH_MAX];
    size_t n;
    if (cs_io_list(run_dir, &names, &n, NULL) != CS_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        cs_error why = {0};
        if (!is_temp(names[i]) || cs_hf_path(path, sizeof path, run_dir, names[i], NULL) != CS_OK)
            continue;
        if (cs_io_remove_tree(path, &why) != CS_OK)
            cs_warn("%s", why.msg);
    }
    cs_io_list_free(names, n);
}

/* The folder loses its name first: half removed, it must not look like a checkpoint. */
static cs_status remove_checkpoint(const char *run_dir, const char *name, cs_error *err)
{
    char path[PATH_MAX], temp[PATH_MAX + 48];
    CS_TRY(cs_hf_path(path, sizeof path, run_dir, name, err));
    snprintf(temp, sizeof temp, "%s.tmp.%ld", path, (long)getpid());
    CS_TRY(cs_io_rename(path, temp, err));
    if (cs_io_remove_tree(temp, NULL) == CS_OK)
        return CS_OK;
    return cs_io_remove_tree(temp, err);
}

void cs_ckpt_prune_old(const char *run_dir, int64_t keep)
{
    found *list;
    size_t n;
    char path[PATH_MAX];
    int64_t kept = 0;
    cs_error why = {0};
    if (list_checkpoints(run_dir, &list, &n, &why) != CS_OK) {
        cs_warn("%s; old checkpoints stay", why.msg);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (kept < keep) {
            bool complete = cs_hf_path(path, sizeof path, run_dir, list[i].name, NULL) == CS_OK && check_complete(path, false, NULL) == CS_OK;
            kept += complete;
            continue;
        }
        if (remove_checkpoint(run_dir, list[i].name, &why) != CS_OK)
            cs_warn("%s; an old checkpoint stays", why.msg);
    }
    release_list(list, n);
}
