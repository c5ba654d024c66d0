/* Running a schedule: receive, compute, send. Messages are told apart by pass, the piece of the model that sends, and micro-batch. */
#include "parallel/pipeline.h"

typedef struct run {
    cs_model *m;
    const cs_schedule *s;
    cs_comm *group;
    int stage;
} run;

static int tag_of(const run *r, cs_pass pass, int64_t piece, int64_t micro)
{
    return (int)(((pass * (int64_t)r->s->chunks * r->s->pp + piece) * r->s->n_micro + micro) % (CS_TAG_MAX + 1));
}

static int64_t bytes_of(cs_tensor x)
{
    return x.rows * x.cols * (int64_t)cs_dtype_size(x.dtype);
}

static void receive(const run *r, const cs_action *a, cs_tensor x)
{
    int64_t own = (int64_t)a->chunk * r->s->pp + r->stage, sender = a->pass == CS_PASS_FORWARD ? own - 1 : own + 1;
    cs_xfer in = {0};
    if (a->recv_from < 0)
        return;
    double begin = cs_span_begin(r->m->timeline);
    cs_comm_recv_begin(r->group, x.data, bytes_of(x), a->recv_from, tag_of(r, a->pass, sender, a->micro), &in);
    cs_comm_wait(&in);
    cs_span_end(r->m->timeline, begin, CS_SPAN_RECEIVE, a->chunk, a->micro);
}

static void send(const run *r, const cs_action *a, cs_tensor y)
{
    cs_xfer out = {0};
    if (a->send_to < 0)
        return;
    double begin = cs_span_begin(r->m->timeline);
    cs_comm_send_begin(r->group, y.data, bytes_of(y), a->send_to, tag_of(r, a->pass, (int64_t)a->chunk * r->s->pp + r->stage, a->micro), &out);
    cs_comm_wait(&out);
    cs_span_end(r->m->timeline, begin, CS_SPAN_SEND, a->chunk, a->micro);
}

static void forward(const run *r, const cs_action *a, const cs_batch *batch, double scale, double *loss)
{
    cs_model *m = r->m;
    cs_stash *stash = a->slot >= 0 ? &m->stash[a->slot] : NULL;
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    cs_tensor x = cs_model_is_first(m, a->chunk) ? (cs_tensor){0} : cs_model_input(m, batch, stash);
    receive(r, a, x);
    double begin = cs_span_begin(m->timeline);
    cs_tensor y = cs_model_forward(m, a->chunk, batch, x, scale, stash, loss);
    cs_span_end(m->timeline, begin, CS_SPAN_FORWARD, a->chunk, a->micro);
    send(r, a, y);
    cs_arena_restore(&m->scratch, mark);
}

static void backward(const run *r, const cs_action *a, const cs_batch *batch)
{
    cs_model *m = r->m;
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    cs_tensor d = cs_model_input(m, batch, NULL); /* of the same shape */
    receive(r, a, d);
    double begin = cs_span_begin(m->timeline);
    cs_model_backward(m, a->chunk, batch, d, &m->stash[a->slot]);
    cs_span_end(m->timeline, begin, CS_SPAN_BACKWARD, a->chunk, a->micro);
    send(r, a, d);
    cs_arena_restore(&m->scratch, mark);
}

static void begin_reduce(const run *r, cs_dp *dp, int chunk)
{
    double begin = cs_span_begin(r->m->timeline);
    cs_dp_begin_reduce(dp, chunk);
    cs_span_end(r->m->timeline, begin, CS_SPAN_REDUCE, chunk, -1);
}

void cs_pipeline_run(cs_model *m, const cs_schedule *s, const cs_batch *batch, const double *scale, cs_dp *dp, double *loss)
{
    const run r = {m, s, m->mesh->group[CS_AXIS_PP], m->mesh->coord[CS_AXIS_PP]};
    const cs_stage_plan *plan = &s->stage[r.stage];
    CS_ASSERT(s->pp == m->mesh->size[CS_AXIS_PP] && s->chunks == m->table.place.n_chunks && plan->n_slots <= m->n_stashes);
    for (int64_t i = 0; i < s->n_micro; i++)
        loss[i] = 0;
    for (int64_t i = 0; i < plan->n_actions; i++) {
        const cs_action *a = &plan->action[i];
        if (a->start_reduce >= 0 && dp)
            begin_reduce(&r, dp, a->start_reduce);
        if (a->pass == CS_PASS_FORWARD)
            forward(&r, a, &batch[a->micro], scale ? scale[a->micro] : 0, &loss[a->micro]);
        else
            backward(&r, a, &batch[a->micro]);
    }
}
