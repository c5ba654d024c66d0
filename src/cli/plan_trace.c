/* The planned step as a Chrome trace, in the form of `train --profile`: one rank of each stage, which does what all ranks of its stage do. */
#include "cli/plan.h"

#include "train/profile.h"

static cs_time_span span_of(cs_span_kind kind, double begin, double end, int64_t chunk, int64_t micro)
{
    return (cs_time_span){begin, end, (int32_t)kind, (int32_t)chunk, micro, 1};
}

/* The table's actions in its order; a reduction that one of them starts comes in front of it. Returns the number of spans. */
static int64_t fill(const cs_plan *p, int64_t stage, cs_time_span *out)
{
    const cs_stage_plan *plan = &p->schedule.stage[stage];
    const cs_sim_stage *s = &p->sim.stage[stage];
    int64_t n = 0;
    for (int64_t i = 0; i < plan->n_actions; i++) {
        const cs_action *a = &plan->action[i];
        double start = s->span[i].start;
        if (a->start_reduce >= 0)
            out[n++] = span_of(CS_SPAN_REDUCE, start, start, a->start_reduce, -1);
        out[n++] = span_of(a->pass == CS_PASS_FORWARD ? CS_SPAN_FORWARD : CS_SPAN_BACKWARD, start, s->span[i].end, a->chunk, a->micro);
    }
    out[n++] = span_of(CS_SPAN_REDUCE, s->pipeline_end, s->reduced, -1, -1);
    out[n++] = span_of(CS_SPAN_UPDATE, p->sim.step_s - s->optimizer, p->sim.step_s, -1, -1);
    return n;
}

cs_status cs_plan_trace(const cs_plan *p, cs_str *out, cs_error *err)
{
    const cs_layout *l = &p->request.layout;
    int64_t most = 2 * p->schedule.stage[0].n_actions + 2; /* all stages have as many actions */
    cs_time_span *span = cs_malloc((size_t)most * sizeof *span);
    if (!span)
        return cs_fail_nomem(err, (size_t)most * sizeof *span, "the trace of a stage");
    for (int64_t stage = 0; stage < l->pp; stage++) {
        const int coord[CS_AXIS_COUNT] = {[CS_AXIS_PP] = (int)stage};
        cs_profile_put(out, (int)(stage * l->tp * l->dp), coord, span, fill(p, stage, span), 0);
    }
    cs_profile_end(out, 0);
    cs_free(span);
    return cs_str_check(out, err);
}
