/* Recorded spans of time. */
#include "base/timeline.h"

#include "base/clock.h"
#include "base/mem.h"

static const char *const names[CS_SPAN_COUNT] = {"forward", "backward", "receive", "send", "collective", "reduce", "norm", "update", "data"};

cs_status cs_timeline_init(cs_timeline *t, int64_t cap, cs_error *err)
{
    *t = (cs_timeline){.span = cs_calloc((size_t)cap, sizeof *t->span), .cap = cap};
    return t->span ? CS_OK : cs_fail_nomem(err, (size_t)cap * sizeof *t->span, "the timeline");
}

void cs_timeline_release(cs_timeline *t)
{
    cs_free(t->span);
    *t = (cs_timeline){0};
}

const char *cs_span_name(int32_t kind)
{
    return kind >= 0 && kind < CS_SPAN_COUNT ? names[kind] : "";
}

double cs_span_begin(const cs_timeline *t)
{
    return t && t->on ? cs_clock_now() : 0;
}

void cs_span_end(cs_timeline *t, double begin, cs_span_kind kind, int32_t chunk, int64_t micro)
{
    if (!t || !t->on)
        return;
    if (t->n == t->cap) {
        t->lost++;
        return;
    }
    t->span[t->n++] = (cs_time_span){begin, cs_clock_now(), (int32_t)kind, chunk, micro, t->step};
}
