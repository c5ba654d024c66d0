/* Reader of metrics.jsonl. */
#include "cli/metrics_rows.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cs_status read_row(cs_metrics *m, const char *const *keys, size_t max_rows, const json_t *row, const char *where, cs_error *err)
{
    int64_t step = -1;
    if (!json_is_object(row))
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object", where);
    CS_TRY(cs_json_get_int(row, "step", where, &step, err));
    if (step < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: no \"step\"; this is not a metrics file", where);
    while (m->n_rows > 0 && m->step[m->n_rows - 1] >= (double)step)
        m->n_rows--;
    m->step[m->n_rows] = (double)step;
    for (size_t k = 0; k < m->n_keys; k++) {
        const json_t *v = json_object_get(row, keys[k]);
        m->value[k * max_rows + m->n_rows] = json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    m->n_rows++;
    return CS_OK;
}

static cs_status read_lines(cs_metrics *m, const char *const *keys, size_t max_rows, const char *text, size_t size, cs_error *err)
{
    size_t number = 0;
    for (const char *line = text, *end = text + size; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t n = stop ? (size_t)(stop - line) : (size_t)(end - line);
        char where[600];
        json_t *row = NULL;
        number++;
        snprintf(where, sizeof where, "%s:%zu", m->path, number);
        if (n > 0) {
            cs_status s = cs_json_parse(line, n, where, &row, err);
            if (s == CS_E_FORMAT && !stop) {
                m->torn = true;
                return CS_OK;
            }
            if (s == CS_OK)
                s = read_row(m, keys, max_rows, row, where, err);
            json_decref(row);
            CS_TRY(s);
        }
        line += n + 1;
    }
    return CS_OK;
}

/* Columns were laid out for max_rows; closes the gaps. */
static void pack(cs_metrics *m, size_t max_rows)
{
    for (size_t k = 1; k < m->n_keys; k++)
        memmove(m->value + k * m->n_rows, m->value + k * max_rows, m->n_rows * sizeof *m->value);
}

cs_status cs_metrics_init(cs_metrics *m, const char *run, const char *const *keys, size_t n_keys, cs_error *err)
{
    cs_map map;
    char path[4200];
    size_t rows = 1, bytes;
    *m = (cs_metrics){.n_keys = n_keys};
    bool is_dir = cs_io_kind(run, NULL) == CS_FILE_DIR;
    snprintf(path, sizeof path, is_dir ? "%s/metrics.jsonl" : "%s", run);
    size_t n = strlen(run);
    while (n > 1 && run[n - 1] == '/')
        n--;
    m->name = cs_strndup(run, n);
    m->path = cs_strdup(path);
    if (!m->name || !m->path)
        return cs_fail_nomem(err, strlen(path), "a file name");
    CS_TRY(cs_map_init(&map, m->path, err));
    for (size_t i = 0; i < map.size; i++)
        rows += map.data[i] == '\n';
    cs_status s = CS_OK;
    if (cs_mul_checked(rows, n_keys ? n_keys : 1, &bytes) && cs_mul_checked(bytes, sizeof(double), &bytes)) {
        m->step = cs_calloc(rows, sizeof(double));
        m->value = cs_malloc(bytes);
    }
    if (!m->step || !m->value)
        s = cs_fail_nomem(err, rows * sizeof(double), m->path);
    if (s == CS_OK)
        s = read_lines(m, keys, rows, (const char *)map.data, map.size, err);
    cs_map_release(&map);
    if (s == CS_OK && m->n_rows == 0)
        return cs_fail(err, CS_E_FORMAT, "%s: holds no complete row yet", m->path);
    if (s == CS_OK)
        pack(m, rows);
    return s;
}

void cs_metrics_release(cs_metrics *m)
{
    cs_free(m->name);
    cs_free(m->path);
    cs_free(m->step);
    cs_free(m->value);
    *m = (cs_metrics){0};
}

size_t cs_metrics_points(const cs_metrics *m, size_t key, int x_key, double *x, double *y)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_rows; i++) {
        double at = x_key < 0 ? m->step[i] : m->value[(size_t)x_key * m->n_rows + i], v = m->value[key * m->n_rows + i];
        if (!isfinite(at) || !isfinite(v) || (n > 0 && at < x[n - 1]))
            continue;
        x[n] = at;
        y[n++] = v;
    }
    return n;
}
