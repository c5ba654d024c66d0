/* `cspeed tokenize --jsonl`: lines are read as they come, whole lines are shared out among threads, and results are written in the order of the
 * input. Memory is bounded by the number of threads and the longest line. */
#include "cli/tokenize.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/limits.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { BYTES_PER_WORKER = 1 << 18, UNITS_PER_WORKER = 4, LEAST_UNIT = 1 << 12 };

/* Some lines of the buffer, done by one thread. */
typedef struct unit {
    size_t at, end;
    int64_t line; /* number of the first */
    cs_str out;
    cs_status status;
    cs_error err; /* about the line behind those in `out` */
} unit;

typedef struct lines {
    const cs_tokenize_config *cfg;
    int workers;
    char *buf;
    size_t len, cap;
    int64_t line; /* lines that have left the buffer */
    unit *units;
    size_t n_units;
    cs_tokenize_job *jobs; /* by thread */
} lines;

static void run_unit(const lines *l, cs_tokenize_job *j, unit *u)
{
    int64_t line_no = u->line;
    j->out = &u->out;
    for (size_t at = u->at, end; at < u->end && u->status == CS_OK; at = end + 1, line_no++) {
        const char *stop = memchr(l->buf + at, '\n', u->end - at);
        char name[48];
        size_t i = at;
        end = stop ? (size_t)(stop - l->buf) : u->end;
        while (i < end && (l->buf[i] == ' ' || l->buf[i] == '\t' || l->buf[i] == '\r'))
            i++;
        if (i == end)
            continue;
        snprintf(name, sizeof name, "stdin:%lld", (long long)line_no);
        size_t before = u->out.len;
        u->status = cs_tokenize_line(j, l->buf + at, end - at, name, &u->err);
        if (u->status != CS_OK && u->out.len > before)
            u->out.len = before;
    }
}

/* Shares buf[0..stop) out. */
static void cut(lines *l, size_t stop)
{
    size_t share = stop / ((size_t)l->workers * UNITS_PER_WORKER) + 1;
    share = share < LEAST_UNIT ? LEAST_UNIT : share;
    l->n_units = 0;
    for (size_t at = 0, end; at < stop; at = end) {
        end = at + share < stop ? at + share : stop;
        const char *line_end = end < stop ? memchr(l->buf + end - 1, '\n', stop - end + 1) : NULL;
        end = line_end ? (size_t)(line_end - l->buf) + 1 : stop;
        unit *u = &l->units[l->n_units++];
        u->at = at;
        u->end = end;
        u->line = l->line + 1;
        u->status = CS_OK;
        cs_str_clear(&u->out);
        for (const char *p = l->buf + at; (p = memchr(p, '\n', (size_t)(l->buf + end - p))) != NULL; p++)
            l->line++;
    }
}

/* Results of buf[0..stop), as far as there is no bad line. */
static cs_status run_lines(lines *l, size_t stop, bool *gone, cs_error *err)
{
    cut(l, stop);
#pragma omp parallel for schedule(dynamic, 1) num_threads(l->workers)
    for (size_t i = 0; i < l->n_units; i++)
        run_unit(l, &l->jobs[omp_get_thread_num()], &l->units[i]);
    for (size_t i = 0; i < l->n_units && !*gone; i++) {
        unit *u = &l->units[i];
        cs_error late = {0};
        cs_status written = cs_tokenize_write(&u->out, gone, u->status == CS_OK ? err : &late);
        if (u->status != CS_OK)
            return cs_fail(err, u->status, "%s", u->err.msg);
        CS_TRY(written);
    }
    return CS_OK;
}

static cs_status grow(lines *l, cs_error *err)
{
    if (l->cap >= CS_LIMIT_RECORD_BYTES)
        return cs_fail(err, CS_E_FORMAT, "stdin:%lld: a line of more than %d bytes", (long long)l->line + 1, CS_LIMIT_RECORD_BYTES);
    char *more = cs_realloc(l->buf, 2 * l->cap);
    if (!more)
        return cs_fail_nomem(err, 2 * l->cap, "a line of the input");
    l->buf = more;
    l->cap *= 2;
    return CS_OK;
}

static cs_status read_lines(lines *l, cs_reader *in, cs_error *err)
{
    size_t got = 1;
    bool gone = false;
    while (got > 0 && !gone) {
        if (l->len == l->cap)
            CS_TRY(grow(l, err));
        cs_status s = cs_reader_read(in, l->buf + l->len, l->cap - l->len, &got, err);
        CS_TRY(s);
        const char *last = got > 0 ? memrchr(l->buf + l->len, '\n', got) : NULL;
        size_t stop = last ? (size_t)(last - l->buf) + 1 : got == 0 ? l->len : 0;
        l->len += got;
        if (stop == 0)
            continue;
        CS_TRY(run_lines(l, stop, &gone, err));
        memmove(l->buf, l->buf + stop, l->len - stop);
        l->len -= stop;
    }
    return CS_OK;
}

cs_status cs_tokenize_lines(const cs_tokenize_config *cfg, const cs_tokenizer *tok, int workers, cs_error *err)
{
    size_t n_units = (size_t)workers * UNITS_PER_WORKER + 1;
    lines l = {.cfg = cfg, .workers = workers, .cap = (size_t)workers * BYTES_PER_WORKER};
    cs_reader in = {.fd = -1};
    l.buf = cs_malloc(l.cap);
    l.units = cs_calloc(n_units, sizeof *l.units);
    l.jobs = cs_calloc((size_t)workers, sizeof *l.jobs);
    cs_status s = l.buf && l.units && l.jobs ? cs_reader_init(&in, "-", err) : cs_fail_nomem(err, l.cap, "the input");
    for (int i = 0; l.jobs && i < workers; i++)
        l.jobs[i] = (cs_tokenize_job){.cfg = cfg, .tok = tok, .json = true};
    if (s == CS_OK)
        s = read_lines(&l, &in, err);
    cs_reader_release(&in);
    for (int i = 0; l.jobs && i < workers; i++)
        cs_tokenize_job_release(&l.jobs[i]);
    for (size_t i = 0; l.units && i < n_units; i++)
        cs_str_release(&l.units[i].out);
    cs_free(l.jobs);
    cs_free(l.units);
    cs_free(l.buf);
    return s;
}
