/* See hf_card.h. Lines of block YAML as data sets have them: "- config_name: X", "data_files:" with a pattern, a list of patterns, or a list of
 * "split:" and "path:". Lists in brackets on one line are read too. */
#include "data/hf_card.h"

#include "base/io.h"

#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 4 << 20 };

typedef struct reader {
    cs_hf_card *card;
    cs_arena *perm;
    const char *config, *split;
    size_t item;    /* first row of the item of data_files at hand */
    bool patterns;  /* lines "- X" are patterns */
    bool failed, full;
} reader;

/* A copy without blanks and quotes around it. */
static const char *scalar(reader *r, const char *text, size_t n)
{
    while (n > 0 && (*text == ' ' || *text == '\t'))
        text++, n--;
    while (n > 0 && strchr(" \t\r", text[n - 1]))
        n--;
    if (n >= 2 && (*text == '"' || *text == '\'') && text[n - 1] == *text)
        text++, n -= 2;
    const char *copy = cs_arena_printf(r->perm, "%.*s", (int)n, text);
    r->failed |= !copy;
    return copy ? copy : "";
}

static void add_pattern(reader *r, const char *text, size_t n)
{
    const char *pattern = scalar(r, text, n);
    if (!*pattern)
        return;
    if (*pattern == '[') { /* a list on one line */
        for (const char *p = pattern + 1; *p && *p != ']'; p += strspn(p, ", ")) {
            size_t len = strcspn(p, ",]");
            add_pattern(r, p, len);
            p += len;
        }
        return;
    }
    r->full |= r->card->n == CS_HF_CARD_ROWS;
    if (!r->full)
        r->card->rows[r->card->n++] = (cs_hf_card_row){r->config ? r->config : "default", r->split ? r->split : "train", pattern};
}

static void key_and_value(reader *r, const char *key, size_t n, const char *value, size_t m)
{
    bool path = n == 4 && memcmp(key, "path", 4) == 0, files = n == 10 && memcmp(key, "data_files", 10) == 0;
    r->patterns = path || files;
    if (n == 11 && memcmp(key, "config_name", 11) == 0) {
        r->config = scalar(r, value, m);
        r->split = NULL;
    } else if (n == 5 && memcmp(key, "split", 5) == 0) {
        r->split = scalar(r, value, m);
        for (size_t i = r->item; i < r->card->n; i++)
            r->card->rows[i].split = r->split; /* "path:" came first */
    } else if (n == 7 && memcmp(key, "default", 7) == 0) {
        if (strcmp(scalar(r, value, m), "true") == 0)
            r->card->chosen = r->config;
    } else if (r->patterns) {
        if (files)
            r->split = NULL;
        add_pattern(r, value, m);
    }
}

static void take_line(reader *r, const char *line, size_t n)
{
    size_t at = 0;
    bool item = false;
    while (at < n && (line[at] == ' ' || (line[at] == '-' && (at + 1 == n || line[at + 1] == ' '))))
        item |= line[at++] == '-';
    const char *key = line + at, *colon = at < n ? memchr(key, ':', n - at) : NULL;
    bool pair = colon && (colon + 1 == line + n || colon[1] == ' ' || colon[1] == '\r') && *key != '"' && *key != '\'';
    if (item && pair) { /* a new item: of configs or of data_files */
        r->item = r->card->n;
        r->split = NULL;
    }
    if (pair)
        key_and_value(r, key, (size_t)(colon - key), colon + 1, n - (size_t)(colon + 1 - line));
    else if (item && r->patterns)
        add_pattern(r, key, n - at);
}

static void take_text(reader *r, const char *text)
{
    bool inside = false;
    if (strncmp(text, "---", 3) != 0)
        return;
    for (text = strchr(text, '\n'); text; text = strchr(text, '\n')) {
        size_t n = strcspn(++text, "\n");
        if (strncmp(text, "---", 3) == 0)
            return;
        bool top = n > 0 && *text != ' ' && *text != '-' && *text != '#' && *text != '\r';
        if (top)
            inside = strncmp(text, "configs:", 8) == 0;
        else if (inside)
            take_line(r, text, n);
    }
}

cs_status cs_hf_card_read(const char *dir, cs_arena *perm, cs_hf_card *out, cs_error *err)
{
    uint8_t *text;
    size_t n;
    int64_t size = 0;
    const char *path = cs_arena_printf(perm, "%s/README.md", dir);
    *out = (cs_hf_card){.rows = cs_arena_calloc(perm, CS_HF_CARD_ROWS, sizeof *out->rows)};
    if (!path || !out->rows)
        return cs_fail_nomem(err, CS_HF_CARD_ROWS * sizeof *out->rows, dir);
    if (cs_io_kind(path, &size) != CS_FILE_REGULAR || size > MAX_BYTES)
        return CS_OK;
    CS_TRY(cs_io_read_all(path, MAX_BYTES, &text, &n, err));
    reader r = {.card = out, .perm = perm};
    take_text(&r, (const char *)text);
    cs_free(text);
    if (r.failed)
        return cs_fail_nomem(err, n, path);
    if (r.full)
        return cs_fail(err, CS_E_FORMAT, "%s: more than %d patterns of data files", path, CS_HF_CARD_ROWS);
    return CS_OK;
}

cs_status cs_hf_card_config(const cs_hf_card *card, const char *dir, const char **config, cs_error *err)
{
    const char *wanted = *config, *alone = card->rows[0].config;
    char known[300] = "";
    bool standard = false;
    for (size_t i = 0; i < card->n; i++) {
        const char *name = card->rows[i].config;
        size_t len = strlen(known);
        if (wanted && strcmp(name, wanted) == 0)
            return CS_OK;
        standard |= strcmp(name, "default") == 0;
        if (alone && strcmp(alone, name) != 0)
            alone = NULL;
        if (i == 0 || strcmp(name, card->rows[i - 1].config) != 0)
            snprintf(known + len, sizeof known - len, " %s", name);
    }
    if (wanted)
        return cs_fail(err, CS_E_FORMAT, "%s: no configuration \"%s\"; README.md has%s", dir, wanted, known);
    *config = card->chosen ? card->chosen : standard ? "default" : alone;
    if (!*config)
        return cs_fail(err, CS_E_FORMAT, "%s: has several configurations,%s; choose one as \"name\" in --hf-datasets-params", dir, known);
    return CS_OK;
}
