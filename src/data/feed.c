/* See feed.h. Invariant: `records` is file number `file` of part number `part`, or NULL when that file is still to be opened. */
#include "data/feed.h"

#include "base/io.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct cs_feed {
    const cs_strlist *keys; /* NULL = all */
    const cs_inputs *in;
    size_t part, file;
    cs_records *records;
    int64_t before;           /* bytes of the files that are done */
    bool in_part;             /* index, from and to are those of `part` */
    int64_t index, from, to;  /* of the next record in the part; what is wanted of it */
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

static cs_status open_file(const cs_input_part *part, size_t file, cs_records **out, cs_error *err)
{
    CS_TRY(cs_records_create(part->files.items[file], part->kind, out, err));
    if (!cs_records_empty(*out))
        return CS_OK;
    cs_fail(err, CS_E_FORMAT, "%s:1:1: the file is empty", cs_records_name(*out));
    cs_records_destroy(*out);
    *out = NULL;
    return CS_E_FORMAT;
}

/* Records of all files of a part, bad ones too, as next_record counts them. */
static cs_status count_records(const cs_input_part *part, int64_t *out, cs_error *err)
{
    *out = 0;
    for (size_t i = 0; i < part->files.n; i++) {
        cs_records *r = NULL;
        const char *text = "";
        size_t len;
        int64_t line;
        cs_error bad = {0};
        cs_status s = open_file(part, i, &r, &bad);
        *out += s == CS_E_FORMAT;
        while (r && (s == CS_OK || s == CS_E_FORMAT) && text) {
            s = cs_records_next(r, &text, &len, &line, &bad);
            *out += s == CS_E_FORMAT || text;
            text = s == CS_E_FORMAT ? "" : text;
        }
        cs_records_destroy(r);
        if (s != CS_OK && s != CS_E_FORMAT) {
            *err = bad;
            return s;
        }
    }
    return CS_OK;
}

/* A border as a record number in [0, n]; percents to the nearest, as load_dataset has it. */
static int64_t place(cs_input_bound b, int64_t n)
{
    int64_t at = b.percent ? (int64_t)nearbyint((double)b.value * (double)n / 100.0) : b.value;
    at = at < 0 ? at + n : at;
    return at < 0 ? 0 : at > n ? n : at;
}

static cs_status begin_part(cs_feed *s, cs_error *err)
{
    const cs_input_part *part = &s->in->parts[s->part];
    cs_input_bound from = part->from, to = part->to;
    int64_t n = INT64_MAX;
    s->in_part = true;
    s->index = 0;
    if (from.percent || to.percent || from.value < 0 || to.value < 0)
        CS_TRY(count_records(part, &n, err));
    s->from = from.given ? place(from, n) : 0;
    s->to = to.given ? place(to, n) : INT64_MAX;
    return CS_OK;
}

/* Opens the next file; *more = false behind the last one. */
static cs_status begin_file(cs_feed *s, bool *more, cs_error *err)
{
    while (s->part < s->in->n) {
        if (!s->in_part)
            CS_TRY(begin_part(s, err));
        if (s->file < s->in->parts[s->part].files.n && s->index < s->to)
            break;
        s->part++;
        s->file = 0;
        s->in_part = false;
    }
    *more = s->part < s->in->n;
    if (!*more)
        return CS_OK;
    cs_status st = open_file(&s->in->parts[s->part], s->file, &s->records, err);
    if (st == CS_OK && s->keys)
        cs_records_want(s->records, s->keys->items, s->keys->n);
    if (st == CS_OK)
        return CS_OK;
    end_file(s);
    s->index++;
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
        cs_status st = s->index < s->to ? cs_records_next(s->records, &rec->text, &rec->len, &rec->line, err) : CS_OK;
        if (lost)
            *lost = cs_records_lost(s->records);
        if (st != CS_OK && st != CS_E_FORMAT)
            return st;
        bool some = st == CS_E_FORMAT || rec->text;
        if (!some)
            end_file(s);
        s->index += some;
        if (some && s->index > s->from)
            return st;
        rec->text = NULL;
    }
}
