/* metrics.jsonl: the reader of `plot`, and what a resumed run keeps of it. The first byte is the step resumed at. Rows are kept from the start
 * of the file only, each whole, none past that step; a second opening keeps the same bytes; and steps that are read ascend. */
// seeds: tests/fuzz/corpus/metrics/*
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "cli/metrics_rows.h"
#include "train/runlog.h"

#include <stdio.h>
#include <string.h>

static void read_rows(const char *path)
{
    static const char *const keys[] = {"loss", "lr"};
    cs_metrics m;
    cs_error err = {0};
    cs_status s = cs_metrics_init(&m, path, keys, 2, &err);
    if (s == CS_OK) {
        double *x = cs_calloc(m.n_rows, sizeof *x), *y = cs_calloc(m.n_rows, sizeof *y);
        FUZZ_CHECK(x && y);
        for (size_t i = 1; i < m.n_rows; i++)
            FUZZ_CHECK(m.step[i] > m.step[i - 1]);
        for (int by = -1; by < 2; by++) {
            size_t n = cs_metrics_points(&m, 0, by, x, y);
            for (size_t i = 1; i < n; i++)
                FUZZ_CHECK(x[i] >= x[i - 1]);
        }
        cs_free(x);
        cs_free(y);
    } else {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
    }
    cs_metrics_release(&m);
}

static void resume(int64_t step, const char *path, const uint8_t *bytes, size_t n)
{
    cs_runlog log;
    cs_error err = {0};
    cs_map map;
    size_t kept = n;
    for (int turn = 0; turn < 2; turn++) {
        FUZZ_CHECK(cs_runlog_init(&log, fuzz_dir(), false, &err) == CS_OK);
        FUZZ_CHECK(cs_runlog_open(&log, step, NULL, &err) == CS_OK);
        char events[600];
        snprintf(events, sizeof events, "%s", log.events.path);
        cs_runlog_release(&log);
        remove(events);
        FUZZ_CHECK(cs_map_init(&map, path, &err) == CS_OK);
        FUZZ_CHECK(map.size <= kept && memcmp(map.data, bytes, map.size) == 0 && (map.size == 0 || map.data[map.size - 1] == '\n'));
        FUZZ_CHECK(turn == 0 || map.size == kept);
        kept = map.size;
        cs_map_release(&map);
    }
    if (kept > 0)
        read_rows(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *path = fuzz_file("metrics.jsonl", data + 1, size - 1);
    read_rows(path);
    resume(data[0], path, data + 1, size - 1);
    return 0;
}
