/* Files of a checkpoint against its manifest. A damaged file is looked into again to name the tensor. */
#include "ckpt/manifest.h"

#include "base/io.h"
#include "fmt/limits.h"
#include "ckpt/hf.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

cs_status cs_manifest_load(cs_manifest *m, const char *dir, bool *present, cs_error *err)
{
    char path[PATH_MAX];
    uint8_t *text;
    size_t len;
    *present = false;
    cs_manifest_init(m, -1);
    CS_TRY(cs_hf_path(path, sizeof path, dir, CS_MANIFEST_NAME, err));
    if (cs_io_kind(path, NULL) == CS_FILE_NONE)
        return CS_OK;
    CS_TRY(cs_io_read_all(path, CS_LIMIT_JSON_BYTES, &text, &len, err));
    cs_status s = cs_manifest_parse(m, (const char *)text, len, path, err);
    cs_free(text);
    *present = s == CS_OK;
    return s;
}

static bool in_scope(const char *name, cs_manifest_scope scope)
{
    bool trainer = strncmp(name, "trainer/", 8) == 0;
    return scope == CS_MANIFEST_ALL || trainer == (scope == CS_MANIFEST_TRAINER);
}

/* First tensor that a file of `size` bytes does not hold whole, else the first whose hash differs; NULL: the header. */
static const cs_manifest_tensor *damaged_tensor(const cs_manifest_file *f, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < f->n_tensors; i++) {
        const cs_manifest_tensor *t = &f->tensor[i];
        if (t->offset + t->bytes > size || (data && XXH3_64bits(data + t->offset, t->bytes) != t->hash))
            return t;
    }
    return NULL;
}

static cs_status fail_damaged(const cs_manifest_file *f, const char *path, const cs_manifest_tensor *t, const char *what, cs_error *err)
{
    if (t)
        return cs_fail(err, CS_E_CKPT, "%s: %s: tensor \"%s\" (bytes %zu to %zu) is damaged; use another checkpoint", path, what, t->name, t->offset,
                       t->offset + t->bytes);
    if (f->n_tensors > 0)
        return cs_fail(err, CS_E_CKPT, "%s: %s: the header (bytes 0 to %zu) is damaged; use another checkpoint", path, what, f->tensor[0].offset);
    return cs_fail(err, CS_E_CKPT, "%s: %s; use another checkpoint", path, what);
}

static cs_status check_size(const cs_manifest_file *f, const char *dir, cs_error *err)
{
    char path[PATH_MAX], what[96];
    int64_t size = 0;
    cs_file_kind kind;
    CS_TRY(cs_hf_path(path, sizeof path, dir, f->name, err));
    CS_TRY(cs_io_stat(path, &kind, &size, err));
    if (kind != CS_FILE_REGULAR)
        return cs_fail(err, CS_E_CKPT, "%s: missing, but the manifest lists it; use another checkpoint", path);
    if ((size_t)size == f->bytes)
        return CS_OK;
    snprintf(what, sizeof what, "%" PRId64 " bytes, the manifest says %zu", size, f->bytes);
    return fail_damaged(f, path, (size_t)size < f->bytes ? damaged_tensor(f, NULL, (size_t)size) : NULL, what, err);
}

/* A stray shard could be taken for a part of the model by others. */
static cs_status check_extra(const cs_manifest *m, const char *dir, const char *sub, cs_error *err)
{
    char path[PATH_MAX], **names = NULL, full[300];
    size_t n = 0;
    cs_status s = CS_OK;
    cs_file_kind kind;
    CS_TRY(cs_hf_path(path, sizeof path, dir, sub, err));
    CS_TRY(cs_io_stat(path, &kind, NULL, err));
    if (kind != CS_FILE_DIR)
        return CS_OK;
    CS_TRY(cs_io_list(path, &names, &n, err));
    for (size_t i = 0; s == CS_OK && i < n; i++) {
        const char *dot = strstr(names[i], ".safetensors");
        bool listed = !dot || snprintf(full, sizeof full, "%s%s", *sub == '.' ? "" : "trainer/", names[i]) >= (int)sizeof full;
        if (!listed && !cs_manifest_find(m, full))
            s = cs_fail(err, CS_E_CKPT, "%s/%s: not in the manifest of this checkpoint; remove it or use another checkpoint", path, names[i]);
    }
    cs_io_list_free(names, n);
    return s;
}

cs_status cs_manifest_check_sizes(const cs_manifest *m, const char *dir, cs_manifest_scope scope, cs_error *err)
{
    for (size_t i = 0; i < m->n_files; i++)
        if (in_scope(m->file[i].name, scope))
            CS_TRY(check_size(&m->file[i], dir, err));
    if (scope != CS_MANIFEST_TRAINER)
        CS_TRY(check_extra(m, dir, ".", err));
    return scope == CS_MANIFEST_TOP ? CS_OK : check_extra(m, dir, "trainer", err);
}

static cs_status check_hash(const cs_manifest_file *f, const char *dir, cs_error *err)
{
    char path[PATH_MAX];
    cs_map map;
    CS_TRY(cs_hf_path(path, sizeof path, dir, f->name, err));
    CS_TRY(cs_map_init(&map, path, err));
    XXH128_hash_t h = XXH3_128bits(map.data, map.size);
    cs_status s = CS_OK;
    if (h.low64 != f->hash[0] || h.high64 != f->hash[1] || map.size != f->bytes)
        s = fail_damaged(f, path, damaged_tensor(f, map.data, map.size), "its hash is not the manifest's", err);
    cs_map_release(&map);
    return s;
}

cs_status cs_manifest_check(const cs_manifest *m, const char *dir, cs_manifest_scope scope, cs_error *err)
{
    cs_status status = CS_OK;
    int64_t first = INT64_MAX;
    CS_TRY(cs_manifest_check_sizes(m, dir, scope, err));
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < (int64_t)m->n_files; i++) {
        cs_error mine = {0};
        if (!in_scope(m->file[i].name, scope) || check_hash(&m->file[i], dir, &mine) == CS_OK)
            continue;
#pragma omp critical(cs_manifest_check_result)
        if (i < first) { /* the same file is named whatever the threads do */
            first = i;
            status = mine.status;
            if (err)
                *err = mine;
        }
    }
    return status;
}
