/* Deadlines, agreement and faults on purpose. */
#include "train/guard.h"

#include "base/options.h"
#include "base/str.h"
#include "fmt/json.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double least_of_step = 60, times_the_median = 10, elsewhere = 600; /* seconds, but for the second */
static const double slow_disk = 50e6; /* bytes per second */

cs_status cs_fault_parse(const char *text, int64_t world, cs_fault *out, cs_error *err)
{
    static const char *const names[] = {[CS_FAULT_KILL] = "kill", [CS_FAULT_HANG] = "hang", [CS_FAULT_EXIT0] = "exit0", [CS_FAULT_SLOW] = "slow"};
    *out = (cs_fault){0};
    if (!text)
        return CS_OK;
    const char *at = strchr(text, '@'), *colon = at ? strchr(at, ':') : NULL;
    char rank[24] = "";
    size_t len = colon ? (size_t)(colon - at - 1) : sizeof rank;
    for (cs_fault_kind k = CS_FAULT_KILL; k <= CS_FAULT_SLOW; k++)
        if (at && strlen(names[k]) == (size_t)(at - text) && strncmp(text, names[k], (size_t)(at - text)) == 0)
            out->kind = k;
    if (len < sizeof rank)
        memcpy(rank, at + 1, len);
    if (out->kind != CS_FAULT_NONE && len < sizeof rank && cs_parse_int(rank, &out->rank) && cs_parse_int(colon + 1, &out->step) && out->rank >= 0 &&
        out->rank < world && out->step >= 1)
        return CS_OK;
    return cs_fail_also(err, CS_E_USAGE, "--simulate %s: expected kill, hang, exit0 or slow, then @RANK:STEP with a rank from 0 to %lld and a step "
                        "from 1", text, (long long)world - 1);
}

void cs_fault_strike(const cs_fault *fault, int64_t rank, int64_t step)
{
    if (fault->kind == CS_FAULT_NONE || rank != fault->rank || step < fault->step || (step > fault->step && fault->kind != CS_FAULT_SLOW))
        return;
    switch (fault->kind) {
    case CS_FAULT_KILL: raise(SIGKILL); break;
    case CS_FAULT_HANG:
        for (;;)
            pause();
    case CS_FAULT_EXIT0: _exit(CS_OK);
    default: sleep(1); break;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const cs_guard *g)
{
    double sorted[CS_GUARD_STEPS];
    size_t n = g->n < CS_GUARD_STEPS ? (size_t)g->n : CS_GUARD_STEPS;
    memcpy(sorted, g->seconds, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    return sorted[n / 2];
}

void cs_guard_section(const cs_guard *g, cs_comm *c, const char *name, int64_t step)
{
    double seconds = g->given;
    if (seconds < 0)
        seconds = step >= 0 && g->n > 0 ? fmax(least_of_step, times_the_median * median(g)) : elsewhere + g->state_bytes / slow_disk;
    cs_comm_set_deadline(c, name, step, seconds);
}

void cs_guard_note_step(cs_guard *g, double seconds)
{
    g->seconds[g->n++ % CS_GUARD_STEPS] = seconds;
}

/* One line "KEY VALUE" for each. */
static cs_status put_lines(json_t *root, cs_str *out, cs_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        cs_str_printf(out, "%s ", key);
        CS_TRY(cs_json_dump(value, 0, out, err));
        cs_str_putc(out, '\n');
    }
    return CS_OK;
}

cs_status cs_guard_check_same(cs_comm *c, const char *json, cs_error *err)
{
    json_t *root = NULL;
    cs_str lines = {0};
    if (cs_comm_size(c) == 1)
        return CS_OK;
    cs_status status = cs_json_parse(json, strlen(json), "what the ranks compare", &root, err);
    if (status == CS_OK)
        status = put_lines(root, &lines, err);
    if (status == CS_OK)
        status = cs_str_check(&lines, err);
    status = cs_agree(c, status, err);
    if (status == CS_OK)
        status = cs_comm_check_same(c, cs_str_cstr(&lines), err);
    json_decref(root);
    cs_str_release(&lines);
    return status;
}
