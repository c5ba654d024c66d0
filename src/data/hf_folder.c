/* See hf_folder.h. */
#include "data/hf_folder.h"

#include "base/io.h"
#include "base/str.h"
#include "data/glob.h"
#include "data/hf_card.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 8 };

static const struct {
    const char *word, *split;
} words[] = {{"train", "train"},     {"training", "train"}, {"validation", "validation"}, {"valid", "validation"}, {"val", "validation"},
             {"dev", "validation"}, {"test", "test"},      {"testing", "test"},          {"eval", "test"},        {"evaluation", "test"}};

bool cs_hf_describes(const char *name)
{
    return strcmp(name, "dataset_info.json") == 0 || strcmp(name, "dataset_infos.json") == 0 || strcmp(name, "dataset_dict.json") == 0
           || strcmp(name, "state.json") == 0;
}

static const char *split_of_word(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i].word) == n && strncasecmp(words[i].word, word, n) == 0)
            return words[i].split;
    return NULL;
}

const char *cs_hf_split_name(const char *name)
{
    const char *split = split_of_word(name, strlen(name));
    return split ? split : name;
}

/* The split that one name between slashes tells: the first of its words that is one. */
static const char *split_of_name(const char *name, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = 0;
        while (i + len < n && isalpha((unsigned char)name[i + len]))
            len++;
        const char *split = split_of_word(name + i, len);
        if (split)
            return split;
        i += len + 1;
    }
    return NULL;
}

/* NAME of "NAME-00000-of-00001...": its length, 0 when the file is no such part. */
static size_t sharded(const char *base)
{
    for (const char *of = strstr(base, "-of-"); of; of = strstr(of + 1, "-of-")) {
        const char *end = of;
        while (end > base && isdigit((unsigned char)end[-1]))
            end--;
        if (of - end >= 5 && end - base >= 2 && end[-1] == '-' && isdigit((unsigned char)of[4]))
            return (size_t)(end - 1 - base);
    }
    return 0;
}

/* The split of a file, `rel` being its path inside of the folder; NULL when no name tells. A name of its own counts for parts in data/. */
static cs_status split_of(const char *rel, cs_arena *perm, const char **out, cs_error *err)
{
    const char *slash = strrchr(rel, '/'), *base = slash ? slash + 1 : rel;
    size_t n = sharded(base), dir = slash ? (size_t)(slash - rel) : 0;
    *out = split_of_name(base, n > 0 ? n : strlen(base));
    if (!*out && n > 0 && strncmp(rel, "data/", 5) == 0) {
        *out = cs_arena_printf(perm, "%.*s", (int)n, base);
        return *out ? CS_OK : cs_fail_nomem(err, n, "a split");
    }
    while (!*out && dir > 0) {
        size_t from = dir;
        while (from > 0 && rel[from - 1] != '/')
            from--;
        *out = split_of_name(rel + from, dir - from);
        dir = from > 0 ? from - 1 : 0;
    }
    return CS_OK;
}

/* All data files below dir/rel, as paths inside of `dir`. */
static cs_status walk(const char *dir, const char *rel, int depth, cs_paths *out, cs_error *err)
{
    char **names;
    size_t n;
    cs_status s = CS_OK;
    const char *here = rel[0] ? cs_arena_printf(out->perm, "%s/%s", dir, rel) : dir;
    if (!here)
        return cs_fail_nomem(err, strlen(rel), "a file name");
    CS_TRY(cs_io_list(here, &names, &n, err));
    for (size_t i = 0; i < n && s == CS_OK; i++) {
        if (names[i][0] == '.' || names[i][0] == '_' || cs_hf_describes(names[i]))
            continue;
        const char *path = cs_arena_printf(out->perm, "%s/%s", here, names[i]);
        const char *inside = cs_arena_printf(out->perm, "%s%s%s", rel, rel[0] ? "/" : "", names[i]);
        if (!path || !inside)
            s = cs_fail_nomem(err, strlen(rel), "a file name");
        else if (cs_io_kind(path, NULL) == CS_FILE_DIR)
            s = depth < MAX_DEPTH ? walk(dir, inside, depth + 1, out, err) : CS_OK;
        else if (cs_input_kind_of(names[i]) != CS_INPUT_OTHER)
            s = cs_paths_add(out, inside, err);
    }
    cs_io_list_free(names, n);
    return s;
}

static cs_status no_split(const char *dir, const char *split, const char *const *names, size_t n, cs_error *err)
{
    char known[300] = "";
    for (size_t i = 0; i < n; i++) {
        bool again = !names[i];
        for (size_t k = 0; k < i && !again; k++)
            again = names[k] && strcmp(names[k], names[i]) == 0;
        size_t len = strlen(known);
        if (!again)
            snprintf(known + len, sizeof known - len, " %s", names[i]);
    }
    return cs_fail(err, CS_E_FORMAT, "%s: expected files of the split %s, found%s", dir, split, known[0] ? known : " none");
}

/* The folder inside of a data set that a file belongs to when there are several configurations; its length, 0 = none. */
static size_t config_of(const char *rel)
{
    size_t n = strcspn(rel, "/");
    return rel[n] == '\0' || (n == 4 && strncmp(rel, "data", 4) == 0) || split_of_name(rel, n) ? 0 : n;
}

/* Files of several configurations are never mixed. */
static cs_status one_config(const char *dir, const cs_paths *files, cs_error *err)
{
    for (size_t i = 1; i < files->n; i++) {
        size_t a = config_of(files->items[0]), b = config_of(files->items[i]);
        if (a != b || strncmp(files->items[0], files->items[i], a) != 0)
            return cs_fail(err, CS_E_FORMAT, "%s: has several configurations, %.*s and %.*s among them; give one of these folders, or \"name\" in "
                           "--hf-datasets-params", dir, a > 0 ? (int)a : 1, a > 0 ? files->items[0] : ".", b > 0 ? (int)b : 1,
                           b > 0 ? files->items[i] : ".");
    }
    return CS_OK;
}

/* By the names of files and folders. */
static cs_status find_by_name(const char *dir, bool whole, const char *split, cs_paths *out, cs_error *err)
{
    cs_paths all = {.perm = out->perm}, chosen = {.perm = out->perm};
    bool told = false;
    CS_TRY(walk(dir, "", 0, &all, err));
    const char **splits = cs_arena_calloc(out->perm, all.n + 1, sizeof *splits);
    if (!splits)
        return cs_fail_nomem(err, all.n * sizeof *splits, dir);
    if (all.n == 0)
        return cs_fail(err, CS_E_FORMAT, "%s: no data files in this folder; expected .parquet, .csv, .tsv, .json, .jsonl or .txt, plain, .gz or .zst",
                       dir);
    for (size_t i = 0; i < all.n; i++) {
        CS_TRY(split_of(all.items[i], out->perm, &splits[i], err));
        told |= splits[i] != NULL;
    }
    for (size_t i = 0; i < all.n; i++) {
        if (!told)
            splits[i] = "train";
        if (splits[i] && strcmp(splits[i], split) == 0)
            CS_TRY(cs_paths_add(&chosen, all.items[i], err));
    }
    if (chosen.n == 0)
        return no_split(dir, split, splits, all.n, err);
    if (whole)
        CS_TRY(one_config(dir, &chosen, err));
    cs_input_kind kind = cs_paths_commonest(chosen.items, chosen.n);
    for (size_t i = 0; i < chosen.n; i++) {
        const char *path = cs_arena_printf(out->perm, "%s/%s", dir, chosen.items[i]);
        if (!path)
            return cs_fail_nomem(err, strlen(dir), "a file name");
        if (cs_input_kind_of(path) == kind)
            CS_TRY(cs_paths_add_data(out, path, err));
    }
    return CS_OK;
}

/* By the patterns of README.md. */
static cs_status find_by_card(const char *dir, const cs_hf_card *card, const char *config, const char *split, cs_paths *out, cs_error *err)
{
    const char *splits[CS_HF_CARD_ROWS];
    size_t n = 0, before = out->n;
    for (size_t i = 0; i < card->n; i++) {
        const cs_hf_card_row *row = &card->rows[i];
        if (strcmp(row->config, config) != 0)
            continue;
        splits[n++] = cs_hf_split_name(row->split);
        if (strcmp(splits[n - 1], split) != 0)
            continue;
        const char *pattern = cs_arena_printf(out->perm, "%s/%s", dir, row->pattern);
        if (!pattern)
            return cs_fail_nomem(err, strlen(dir), "a file name");
        CS_TRY(cs_glob_expand(pattern, out, err));
    }
    return out->n > before ? CS_OK : no_split(dir, split, splits, n, err);
}

cs_status cs_hf_folder_find(const char *dir, const char *config, const char *split, cs_paths *out, cs_error *err)
{
    cs_hf_card card;
    split = cs_hf_split_name(split);
    CS_TRY(cs_hf_card_read(dir, out->perm, &card, err));
    if (card.n > 0) {
        CS_TRY(cs_hf_card_config(&card, dir, &config, err));
        return find_by_card(dir, &card, config, split, out, err);
    }
    if (!config || strcmp(config, "default") == 0)
        return find_by_name(dir, true, split, out, err);
    const char *inside = cs_arena_printf(out->perm, "%s/%s", dir, config);
    if (!inside)
        return cs_fail_nomem(err, strlen(dir), "a file name");
    if (cs_io_kind(inside, NULL) != CS_FILE_DIR)
        return cs_fail(err, CS_E_FORMAT, "%s: no configuration \"%s\": neither README.md nor a folder has that name", dir, config);
    return find_by_name(inside, false, split, out, err);
}
