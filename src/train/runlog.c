/* Run folder and its files. */
#include "train/runlog.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/tfevents.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double LOCK_WAIT_S = 10;

static cs_status path_in(const cs_runlog *r, const char *name, char buf[PATH_MAX], cs_error *err)
{
    if ((size_t)snprintf(buf, PATH_MAX, "%s/%s", r->dir, name) >= PATH_MAX)
        return cs_fail(err, CS_E_IO, "%s/%s: path too long", r->dir, name);
    return CS_OK;
}

cs_status cs_runlog_init(cs_runlog *r, const char *dir, bool speaks, cs_error *err)
{
    char path[PATH_MAX];
    *r = (cs_runlog){.speaks = speaks, .lock = -1, .metrics.fd = -1, .log.fd = -1, .events.fd = -1};
    if (!dir)
        return CS_OK;
    r->dir = cs_strdup(dir);
    if (!r->dir)
        return cs_fail_nomem(err, strlen(dir), "a path");
    CS_TRY(cs_io_mkdirs(dir, err));
    CS_TRY(path_in(r, ".lock", path, err));
    CS_TRY(cs_io_lock(path, LOCK_WAIT_S, &r->lock, err));
    r->active = true;
    return CS_OK;
}

/* Bytes of the leading rows that are whole and whose step is at most `step`. */
static size_t rows_to_keep(const uint8_t *data, size_t size, int64_t step)
{
    size_t at = 0;
    while (at < size) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        json_t *row = NULL;
        int64_t row_step = INT64_MAX;
        cs_error ignored;
        if (!end || cs_json_parse((const char *)data + at, (size_t)(end - (data + at)), "metrics.jsonl", &row, &ignored) != CS_OK)
            break;
        cs_status got = cs_json_get_int(row, "step", "metrics.jsonl", &row_step, &ignored);
        json_decref(row);
        if (got != CS_OK || row_step > step)
            break;
        at = (size_t)(end + 1 - data);
    }
    return at;
}

static cs_status trim_metrics(const char *path, int64_t step, cs_error *err)
{
    cs_map map;
    if (cs_io_kind(path, NULL) != CS_FILE_REGULAR)
        return CS_OK;
    CS_TRY(cs_map_init(&map, path, err));
    size_t keep = step > 0 ? rows_to_keep(map.data, map.size, step) : 0;
    bool shorter = keep < map.size;
    cs_map_release(&map);
    return shorter ? cs_io_truncate(path, (int64_t)keep, err) : CS_OK;
}

static cs_status open_events(cs_runlog *r, const char *dir, cs_error *err)
{
    char path[PATH_MAX], host[128] = "localhost";
    cs_str bytes = {0};
    gethostname(host, sizeof host - 1);
    CS_TRY(cs_io_mkdirs(dir, err));
    if ((size_t)snprintf(path, sizeof path, "%s/events.out.tfevents.%lld.%s.%ld.0", dir, (long long)cs_clock_wall(), host, (long)getpid()) >=
        sizeof path)
        return cs_fail(err, CS_E_IO, "%s: path too long", dir);
    CS_TRY(cs_writer_init_append(&r->events, path, err));
    r->has_events = true;
    cs_tfevents_put_version(&bytes, cs_clock_wall());
    cs_status status = cs_str_check(&bytes, err);
    if (status == CS_OK)
        status = cs_writer_write(&r->events, bytes.data, bytes.len, err);
    cs_str_release(&bytes);
    return status;
}

cs_status cs_runlog_open(cs_runlog *r, int64_t step, const char *events_dir, cs_error *err)
{
    char path[PATH_MAX];
    if (!r->active)
        return CS_OK;
    CS_TRY(path_in(r, "metrics.jsonl", path, err));
    CS_TRY(trim_metrics(path, step, err));
    CS_TRY(cs_writer_init_append(&r->metrics, path, err));
    CS_TRY(path_in(r, "log.txt", path, err));
    CS_TRY(cs_writer_init_append(&r->log, path, err));
    return open_events(r, events_dir ? events_dir : r->dir, err);
}

cs_status cs_runlog_file(cs_runlog *r, const char *name, const char *text, cs_error *err)
{
    char path[PATH_MAX];
    if (!r->active)
        return CS_OK;
    CS_TRY(path_in(r, name, path, err));
    return cs_io_write_atomic(path, text, strlen(text), err);
}

cs_status cs_runlog_row(cs_runlog *r, const json_t *row, cs_error *err)
{
    cs_str text = {0};
    if (!r->active)
        return CS_OK;
    cs_status status = cs_json_dump(row, 0, &text, err);
    cs_str_putc(&text, '\n');
    if (status == CS_OK)
        status = cs_str_check(&text, err);
    if (status == CS_OK)
        status = cs_writer_write(&r->metrics, text.data, text.len, err);
    cs_str_release(&text);
    return status;
}

cs_status cs_runlog_scalar(cs_runlog *r, const char *tag, int64_t step, double value, cs_error *err)
{
    cs_str bytes = {0};
    if (!r->has_events)
        return CS_OK;
    cs_tfevents_put_scalars(&bytes, cs_clock_wall(), step, &(cs_tfevents_value){tag, value}, 1);
    cs_status status = cs_str_check(&bytes, err);
    if (status == CS_OK)
        status = cs_writer_write(&r->events, bytes.data, bytes.len, err);
    cs_str_release(&bytes);
    return status;
}

void cs_runlog_line(cs_runlog *r, bool always, const char *fmt, ...)
{
    char line[2048];
    cs_error ignored;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    line[len++] = '\n';
    if (r->active && r->log.fd >= 0)
        (void)cs_writer_write(&r->log, line, len, &ignored); /* a full disk shows at the next checkpoint, not here */
    if (r->speaks && cs_log_get() > CS_LOG_QUIET && (always || !r->bar.tty)) {
        if (r->bar.tty && r->bar.drawn)
            fputs("\r\033[K", stderr);
        fwrite(line, 1, len, stderr);
    }
}

void cs_runlog_release(cs_runlog *r)
{
    cs_writer_abort(&r->metrics);
    cs_writer_abort(&r->log);
    cs_writer_abort(&r->events);
    cs_io_unlock(r->lock);
    cs_free(r->dir);
    *r = (cs_runlog){.lock = -1, .metrics.fd = -1, .log.fd = -1, .events.fd = -1};
}
