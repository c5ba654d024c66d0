/* See inputs.h. */
#include "data/inputs.h"

#include "base/io.h"

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

/* Growing list whose array is thrown away in the arena when it doubles. */
typedef struct list {
    cs_arena *perm;
    const char **items;
    size_t n, cap;
} list;

static cs_status add(list *l, const char *path, cs_error *err)
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

static cs_status add_file(list *l, const char *path, cs_error *err)
{
    cs_input_kind kind = cs_input_kind_of(path);
    if (ends_with(path, strlen(path), ".py"))
        return cs_fail(err, CS_E_FORMAT, "%s: is a loading script; this program runs no code of a data set, give its data files", path);
    if (kind == CS_INPUT_ARROW)
        return cs_fail(err, CS_E_FORMAT, "%s: %s files are not read by this version; give text, JSON, JSON lines, CSV, TSV or Parquet", path,
                       kind_ext[kind]);
    return add(l, path, err);
}

/* The commonest kind among the names. */
static cs_input_kind commonest(char **names, size_t n)
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

static cs_status add_names(list *l, const char *dir, char **names, size_t n, cs_error *err)
{
    const char *slash = strrchr(dir, '/'), *base = slash && slash[1] ? slash + 1 : dir;
    cs_input_kind kind = commonest(names, n);
    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i], base, strlen(base)) == 0 && strcmp(names[i] + strlen(base), ".py") == 0)
            return cs_fail(err, CS_E_FORMAT, "%s/%s: the folder is a data set with a loading script; this program runs no code of a data set", dir,
                           names[i]);
    if (kind == CS_INPUT_OTHER)
        return cs_fail(err, CS_E_FORMAT,
                       "%s: no data files in this folder; expected .parquet, or .txt, .json, .jsonl, .csv or .tsv, plain, .gz or .zst", dir);
    for (size_t i = 0; i < n; i++) {
        if (cs_input_kind_of(names[i]) != kind)
            continue;
        char *path = cs_arena_printf(l->perm, "%s/%s", dir, names[i]);
        if (!path)
            return cs_fail_nomem(err, strlen(dir), "--input");
        if (cs_io_kind(path, NULL) != CS_FILE_DIR)
            CS_TRY(add_file(l, path, err));
    }
    return CS_OK;
}

/* Sums over all parts. */
static void count(cs_inputs *in)
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

static cs_status add_folder(list *l, const char *path, cs_error *err)
{
    char **names, *dir = cs_arena_strdup(l->perm, path);
    size_t n;
    if (!dir)
        return cs_fail_nomem(err, strlen(path), "--input");
    for (size_t len = strlen(dir); len > 1 && dir[len - 1] == '/'; len--)
        dir[len - 1] = '\0';
    CS_TRY(cs_io_list(dir, &names, &n, err));
    cs_status s = add_names(l, dir, names, n, err);
    cs_io_list_free(names, n);
    return s;
}

cs_status cs_inputs_expand(const cs_strlist *given, cs_record_kind kind, cs_arena *perm, cs_inputs *out, cs_error *err)
{
    list l = {.perm = perm};
    for (size_t i = 0; i < given->n; i++) {
        const char *path = given->items[i];
        cs_file_kind found = cs_io_kind(path, NULL);
        if (strcmp(path, "-") == 0)
            CS_TRY(add(&l, path, err));
        else if (found == CS_FILE_DIR)
            CS_TRY(add_folder(&l, path, err));
        else if (found == CS_FILE_REGULAR)
            CS_TRY(add_file(&l, path, err));
        else
            return cs_fail(err, CS_E_IO, found == CS_FILE_NONE ? "%s: no such file or folder; check the path" : "%s: is not a regular file", path);
    }
    *out = (cs_inputs){.parts = cs_arena_calloc(perm, 1, sizeof *out->parts), .n = 1};
    if (!out->parts)
        return cs_fail_nomem(err, sizeof *out->parts, "--input");
    out->parts[0] = (cs_input_part){{l.items, l.n}, kind};
    count(out);
    return CS_OK;
}
