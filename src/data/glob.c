/* See glob.h. */
#include "data/glob.h"

#include "base/io.h"

#include <fnmatch.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

bool cs_glob_is_pattern(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

static cs_status expand(const char *dir, const char *rest, int depth, cs_paths *out, cs_error *err);

/* DIR/name for what comes next of the pattern. */
static cs_status enter(const char *dir, const char *name, const char *rest, int depth, cs_paths *out, cs_error *err)
{
    const char *path = cs_arena_printf(out->perm, "%s%s%s", dir, dir[0] && strcmp(dir, "/") != 0 ? "/" : "", name);
    if (!path)
        return cs_fail_nomem(err, strlen(dir) + strlen(name), "a file name");
    cs_file_kind kind = cs_io_kind(path, NULL);
    if (*rest)
        return kind == CS_FILE_DIR ? expand(path, rest, depth + 1, out, err) : CS_OK;
    return kind == CS_FILE_REGULAR ? cs_paths_add_data(out, path, err) : CS_OK;
}

/* The names of `dir` that match `name`, or for ** all its folders. */
static cs_status match(const char *dir, const char *name, const char *rest, int depth, cs_paths *out, cs_error *err)
{
    bool any = strcmp(name, "**") == 0;
    char **names;
    size_t n;
    cs_status s = CS_OK;
    CS_TRY(cs_io_list(dir[0] ? dir : ".", &names, &n, err));
    for (size_t i = 0; i < n && s == CS_OK; i++)
        if (fnmatch(any ? "*" : name, names[i], FNM_PERIOD) == 0)
            s = enter(dir, names[i], rest, depth, out, err);
    cs_io_list_free(names, n);
    return s;
}

/* `rest` is what the pattern has behind `dir`. */
static cs_status expand(const char *dir, const char *rest, int depth, cs_paths *out, cs_error *err)
{
    while (*rest == '/')
        rest++;
    size_t n = strcspn(rest, "/");
    const char *behind = rest + n + strspn(rest + n, "/");
    if (depth > MAX_DEPTH || n == 0)
        return CS_OK;
    char *name = cs_arena_printf(out->perm, "%.*s", (int)n, rest);
    if (!name)
        return cs_fail_nomem(err, n, "a file name");
    if (strcmp(name, "**") == 0) {
        CS_TRY(expand(dir, *behind ? behind : "*", depth, out, err));
        return match(dir, name, rest, depth, out, err);
    }
    return cs_glob_is_pattern(name) ? match(dir, name, behind, depth, out, err) : enter(dir, name, behind, depth, out, err);
}

cs_status cs_glob_expand(const char *pattern, cs_paths *out, cs_error *err)
{
    size_t before = out->n;
    CS_TRY(expand(pattern[0] == '/' ? "/" : "", pattern, 0, out, err));
    if (out->n == before)
        return cs_fail(err, CS_E_IO, "%s: no file matches this pattern; check the path", pattern);
    return CS_OK;
}
