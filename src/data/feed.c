/* See feed.h. Invariant: `records` is file number `file` of part number `part`, or NULL when that file is still to be opened. */
#include "data/feed.h"

#include "base/io.h"
#include "base/mem.h"

#include <string.h>

struct cs_feed {
    const cs_strlist *keys; /* NULL = all */
    const cs_inputs *in;
    size_t part, file;
    cs_records *records;
    int64_t before; /* bytes of the files that are done */
};

cs_status cs_feed_create(const cs_inputs *in, cs_feed **out, cs_error *err)
{
    cs_feed *s = *out = cs_calloc(1, sizeof *s);
    if (!s)
        return cs_fail_nomem(err, sizeof *s, "the input files");
    s->in = in;
    return CS_OK;
}

void cs_feed_destroy(cs_feed *s)
{
    if (!s)
        return;
    cs_records_destroy(s->records);
    cs_free(s);
}

void cs_feed_want(cs_feed *s, const cs_strlist *keys)
{
    s->keys = keys;
}

int64_t cs_feed_consumed(const cs_feed *s)
{
    return s->before + (s->records ? cs_records_consumed(s->records) : 0);
}

static void end_file(cs_feed *s)
{
    const char *path = s->in->parts[s->part].files.items[s->file++];
    int64_t size = 0;
    cs_records_destroy(s->records);
    s->records = NULL;
    if (strcmp(path, "-") != 0 && cs_io_kind(path, &size) == CS_FILE_REGULAR)
        s->before += size;
}

/* Opens the next file; *more = false behind the last one. */
static cs_status begin_file(cs_feed *s, bool *more, cs_error *err)
{
    while (s->part < s->in->n && s->file == s->in->parts[s->part].files.n) {
        s->part++;
        s->file = 0;
    }
    *more = s->part < s->in->n;
    if (!*more)
        return CS_OK;
    const cs_input_part *part = &s->in->parts[s->part];
    cs_status st = cs_records_create(part->files.items[s->file], part->kind, &s->records, err);
    if (st == CS_OK && s->keys)
        cs_records_want(s->records, s->keys->items, s->keys->n);
    if (st == CS_OK && cs_records_empty(s->records))
        st = cs_fail(err, CS_E_FORMAT, "%s:1:1: the file is empty", cs_records_name(s->records));
    if (st != CS_OK)
        end_file(s);
    return st;
}

cs_status cs_feed_next(cs_feed *s, cs_record *rec, bool *lost, cs_error *err)
{
    bool more = true;
    *rec = (cs_record){0};
    for (;;) {
        if (lost)
            *lost = true;
        if (!s->records)
            CS_TRY(begin_file(s, &more, err));
        if (!more)
            return CS_OK;
        const char *path = s->in->parts[s->part].files.items[s->file];
        rec->file = strcmp(path, "-") == 0 ? "stdin" : path;
        rec->json = cs_records_are_json(s->records);
        cs_status st = cs_records_next(s->records, &rec->text, &rec->len, &rec->line, err);
        if (lost)
            *lost = cs_records_lost(s->records);
        if (st != CS_OK || rec->text)
            return st;
        end_file(s);
    }
}
