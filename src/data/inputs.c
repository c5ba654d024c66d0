/* See inputs.h. */
#include "data/inputs.h"

#include "base/io.h"
#include "data/glob.h"
#include "data/hf_folder.h"

#include <string.h>
#include <strings.h>

static const char *const kind_ext[CS_INPUT_OTHER] = {"parquet", "arrow", "csv", "tsv", "json", "jsonl", "txt"};

static bool ends_with(const char *s, size_t n, const char *suffix)
{
    size_t m = strlen(suffix);
    return n > m && strncasecmp(s + n - m, suffix, m) == 0;
}

cs_input_kind cs_input_kind_of(const char *path)
{
    static const char *const packed[] = {".gz", ".zst", ".zstd"};
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    for (size_t i = 0; i < 3; i++)
        if (ends_with(base, n, packed[i])) {
            n -= strlen(packed[i]);
            break;
        }
    for (int k = 0; k < CS_INPUT_OTHER; k++) {
        size_t m = strlen(kind_ext[k]);
        if (n > m && base[n - m - 1] == '.' && strncasecmp(base + n - m, kind_ext[k], m) == 0)
            return (cs_input_kind)k;
    }
    return CS_INPUT_OTHER;
}

cs_status cs_paths_add(cs_paths *l, const char *path, cs_error *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        const char **items = cs_arena_calloc(l->perm, cap, sizeof *items);
        if (!items)
            return cs_fail_nomem(err, cap * sizeof *items, "--input");
        if (l->n > 0)
            memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = path;
    return CS_OK;
}

cs_status cs_paths_add_data(cs_paths *l, const char *path, cs_error *err)
{
    cs_input_kind kind = cs_input_kind_of(path);
    if (ends_with(path, strlen(path), ".py"))
        return cs_fail(err, CS_E_FORMAT, "%s: is a loading script; this program runs no code of a data set, give its data files", path);
    if (kind == CS_INPUT_ARROW)
        return cs_fail(err, CS_E_FORMAT, "%s: %s files are not read by this version; give text, JSON, JSON lines, CSV, TSV or Parquet", path,
                       kind_ext[kind]);
    return cs_paths_add(l, path, err);
}

cs_input_kind cs_paths_commonest(const char *const *names, size_t n)
{
    size_t count[CS_INPUT_OTHER + 1] = {0}, best = 0;
    cs_input_kind pick = CS_INPUT_OTHER;
    for (size_t i = 0; i < n; i++)
        count[cs_input_kind_of(names[i])]++;
    for (size_t i = 0; i < n; i++) {
        cs_input_kind k = cs_input_kind_of(names[i]);
        if (k != CS_INPUT_OTHER && count[k] > best) {
            best = count[k];
            pick = k;
        }
    }
    return pick;
}

/* The files among `names` of the folder; what describes a data set of Hugging Face is no data. */
static cs_status plain_files(const char *dir, char **names, size_t n, cs_paths *out, cs_error *err)
{
    const char *slash = strrchr(dir, '/'), *base = slash && slash[1] ? slash + 1 : dir;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], base, strlen(base)) == 0 && strcmp(names[i] + strlen(base), ".py") == 0)
            return cs_fail(err, CS_E_FORMAT, "%s/%s: the folder is a data set with a loading script; this program runs no code of a data set", dir,
                           names[i]);
        if (cs_input_kind_of(names[i]) == CS_INPUT_OTHER || cs_hf_describes(names[i]))
            continue;
        char *path = cs_arena_printf(out->perm, "%s/%s", dir, names[i]);
        if (!path)
            return cs_fail_nomem(err, strlen(dir), "--input");
        if (cs_io_kind(path, NULL) != CS_FILE_DIR)
            CS_TRY(cs_paths_add(out, path, err));
    }
    return CS_OK;
}

static cs_status add_folder(cs_paths *l, const char *path, cs_error *err)
{
    cs_paths found = {.perm = l->perm};
    char **names, *dir = cs_arena_strdup(l->perm, path);
    size_t n;
    if (!dir)
        return cs_fail_nomem(err, strlen(path), "--input");
    for (size_t len = strlen(dir); len > 1 && dir[len - 1] == '/'; len--)
        dir[len - 1] = '\0';
    CS_TRY(cs_io_list(dir, &names, &n, err));
    cs_status s = plain_files(dir, names, n, &found, err);
    cs_io_list_free(names, n);
    CS_TRY(s);
    if (found.n == 0)
        return cs_hf_folder_find(dir, NULL, "train", l, err);
    cs_input_kind kind = cs_paths_commonest(found.items, found.n);
    for (size_t i = 0; i < found.n; i++)
        if (cs_input_kind_of(found.items[i]) == kind)
            CS_TRY(cs_paths_add_data(l, found.items[i], err));
    return CS_OK;
}

void cs_inputs_count(cs_inputs *in)
{
    bool counted = true;
    in->bytes = 0;
    in->n_files = 0;
    for (size_t i = 0; i < in->n; i++)
        for (size_t k = 0; k < in->parts[i].files.n; k++, in->n_files++) {
            int64_t size = 0;
            counted &= strcmp(in->parts[i].files.items[k], "-") != 0;
            if (cs_io_kind(in->parts[i].files.items[k], &size) == CS_FILE_REGULAR)
                in->bytes += size;
        }
    in->bytes = counted ? in->bytes : 0;
}

static cs_status add_input(cs_paths *l, const char *path, cs_error *err)
{
    cs_file_kind found = cs_io_kind(path, NULL);
    if (strcmp(path, "-") == 0)
        return cs_paths_add(l, path, err);
    if (found == CS_FILE_DIR)
        return add_folder(l, path, err);
    if (found == CS_FILE_REGULAR)
        return cs_paths_add_data(l, path, err);
    if (found == CS_FILE_NONE && cs_glob_is_pattern(path))
        return cs_glob_expand(path, l, err);
    return cs_fail(err, CS_E_IO, found == CS_FILE_NONE ? "%s: no such file or folder; check the path" : "%s: is not a regular file", path);
}

cs_status cs_inputs_expand(const cs_strlist *given, cs_record_kind kind, cs_arena *perm, cs_inputs *out, cs_error *err)
{
    cs_paths l = {.perm = perm};
    for (size_t i = 0; i < given->n; i++)
        CS_TRY(add_input(&l, given->items[i], err));
    *out = (cs_inputs){.parts = cs_arena_calloc(perm, 1, sizeof *out->parts), .n = 1};
    if (!out->parts)
        return cs_fail_nomem(err, sizeof *out->parts, "--input");
    out->parts[0] = (cs_input_part){.files = {l.items, l.n}, .kind = kind};
    cs_inputs_count(out);
    return CS_OK;
}
