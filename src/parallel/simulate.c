/* The virtual clock. */
#include "parallel/simulate.h"

#include <math.h>
#include <string.h>

typedef enum leave_out { NOTHING, MESSAGES, GRADIENTS } leave_out;

typedef struct sim {
    const cs_memory_request *q;
    const cs_machine *m;
    const cs_schedule *s;
    leave_out without;
    int64_t pairs, n_sizes;
    int64_t *size_of;      /* [n_micro] which of the sizes a micro-batch has */
    cs_piece_cost *cost;   /* [n_sizes][pieces] */
    double *arrival;       /* [2][pp][pairs] when the receiver's input is there, by pass and the receiver's pair; < 0 = not sent yet */
    int64_t *next;         /* [pp] */
    double *now, *port, *channel; /* [pp] clock; when the stage's messages are out, its reductions through */
    double *gradients;     /* [pp] seconds of reductions and gathers, wherever they run */
    int *n_started;        /* [pp] chunks whose reduction was started */
    cs_sim_stage *stage;   /* [pp] */
} sim;

static void *array(cs_arena *a, size_t n, size_t size, bool *ok)
{
    void *p = *ok ? cs_arena_calloc(a, n, size) : NULL;
    *ok = p != NULL;
    return p;
}

static int64_t piece_of(const sim *x, int64_t stage, int64_t chunk)
{
    return chunk * x->s->pp + stage;
}

static bool find_costs(sim *x, cs_arena *a)
{
    const cs_layout *l = &x->q->layout;
    int64_t size[CS_LAYOUT_MAX_LIST], pieces = l->pp * l->chunks;
    bool ok = true;
    x->size_of = array(a, (size_t)l->n_micro, sizeof *x->size_of, &ok);
    if (!ok)
        return false;
    for (int64_t i = 0; i < l->n_micro; i++) {
        int64_t k = 0, samples = cs_layout_mbs(l, i);
        while (k < x->n_sizes && size[k] != samples)
            k++;
        if (k == x->n_sizes)
            size[x->n_sizes++] = samples;
        x->size_of[i] = k;
    }
    x->cost = array(a, (size_t)(x->n_sizes * pieces), sizeof *x->cost, &ok);
    for (int64_t i = 0; ok && i < x->n_sizes * pieces; i++)
        x->cost[i] = cs_cost_piece(x->q, x->m, i % pieces % l->pp, i % pieces / l->pp, size[i / pieces]);
    return ok;
}

static bool init(sim *x, const cs_memory_request *q, const cs_machine *m, cs_arena *a)
{
    const cs_schedule *s = q->schedule;
    size_t pp = (size_t)s->pp;
    bool ok = true;
    *x = (sim){.q = q, .m = m, .s = s, .pairs = s->chunks * s->n_micro};
    x->arrival = array(a, 2 * pp * (size_t)x->pairs, sizeof *x->arrival, &ok);
    x->next = array(a, pp, sizeof *x->next, &ok);
    x->now = array(a, 4 * pp, sizeof *x->now, &ok);
    x->n_started = array(a, pp, sizeof *x->n_started, &ok);
    x->stage = array(a, pp, sizeof *x->stage, &ok);
    if (!ok)
        return false;
    x->port = x->now + pp;
    x->channel = x->port + pp;
    x->gradients = x->channel + pp;
    return find_costs(x, a);
}

static void start_over(sim *x, leave_out without)
{
    size_t pp = (size_t)x->s->pp;
    x->without = without;
    memset(x->next, 0, pp * sizeof *x->next);
    memset(x->now, 0, 4 * pp * sizeof *x->now);
    memset(x->n_started, 0, pp * sizeof *x->n_started);
    for (size_t i = 0; i < pp; i++)
        x->stage[i] = (cs_sim_stage){.span = x->stage[i].span};
    for (size_t i = 0; i < 2 * pp * (size_t)x->pairs; i++)
        x->arrival[i] = -1;
}

static cs_sim_time reduction(const sim *x, int stage, int chunk)
{
    return x->without == GRADIENTS ? (cs_sim_time){0, 0} : cs_cost_reduction(x->q, x->m, stage, chunk);
}

static void send(sim *x, int stage, const cs_action *a, double bytes)
{
    int64_t piece = piece_of(x, stage, a->chunk) + (a->pass == CS_PASS_FORWARD ? 1 : -1), to = piece % x->s->pp;
    cs_sim_time t = {0, 0};
    if (x->without != MESSAGES)
        t = cs_machine_message(x->m, cs_cost_neighbours(&x->q->layout, x->m, stage, to), bytes);
    x->stage[stage].messages += t.cpu + t.beside;
    x->stage[stage].busy += t.cpu;
    x->now[stage] += t.cpu;
    x->port[stage] = fmax(x->port[stage], x->now[stage]) + t.beside;
    if (x->channel[stage] > x->now[stage])
        x->channel[stage] += t.beside;
    x->arrival[((int64_t)a->pass * x->s->pp + to) * x->pairs + piece / x->s->pp * x->s->n_micro + a->micro] = x->port[stage];
}

/* false: its input is not there yet. */
static bool run_action(sim *x, int stage)
{
    const cs_action *a = &x->s->stage[stage].action[x->next[stage]];
    const cs_layout *l = &x->q->layout;
    cs_sim_stage *st = &x->stage[stage];
    double *now = &x->now[stage];
    if (a->recv_from >= 0) {
        double there = x->arrival[((int64_t)a->pass * x->s->pp + stage) * x->pairs + a->chunk * x->s->n_micro + a->micro];
        if (there < 0)
            return false;
        *now = fmax(*now, there);
    }
    if (a->start_reduce >= 0) {
        cs_sim_time r = reduction(x, stage, a->start_reduce);
        x->gradients[stage] += r.cpu + r.beside;
        *now += r.cpu;
        st->busy += r.cpu;
        x->channel[stage] = fmax(x->channel[stage], *now) + r.beside;
        x->n_started[stage]++;
    }
    const cs_piece_cost *c = &x->cost[x->size_of[a->micro] * l->pp * l->chunks + piece_of(x, stage, a->chunk)];
    bool forward = a->pass == CS_PASS_FORWARD;
    double compute = forward ? c->forward : c->backward, tensor = forward ? c->tensor_forward : c->tensor_backward;
    cs_sim_time gather = forward ? c->gather_forward : c->gather_backward;
    if (x->without == GRADIENTS)
        gather = (cs_sim_time){0, 0};
    st->compute += compute;
    st->tensor += tensor;
    x->gradients[stage] += gather.cpu + gather.beside;
    double end = *now + gather.cpu + fmax(compute + tensor, gather.beside);
    if (st->span)
        st->span[x->next[stage]] = (cs_sim_span){*now, end};
    st->busy += end - *now;
    *now = end;
    if (a->send_to >= 0)
        send(x, stage, a, c->message_bytes);
    x->next[stage]++;
    return true;
}

static void run_pipeline(sim *x)
{
    for (bool moves = true; moves;) {
        moves = false;
        for (int stage = 0; stage < x->s->pp; stage++)
            while (x->next[stage] < x->s->stage[stage].n_actions && run_action(x, stage))
                moves = true;
    }
    for (int stage = 0; stage < x->s->pp; stage++)
        CS_ASSERT(x->next[stage] == x->s->stage[stage].n_actions);
}

/* Is the chunk's reduction named by an action of the stage? */
static bool started(const cs_stage_plan *p, int chunk)
{
    for (int64_t i = p->n_actions - 1; i >= 0; i--)
        if (p->action[i].start_reduce == chunk)
            return true;
    return false;
}

static void finish_stage(sim *x, int stage)
{
    const cs_stage_plan *p = &x->s->stage[stage];
    cs_sim_stage *st = &x->stage[stage];
    st->pipeline_end = x->now[stage];
    st->reduced = fmax(x->now[stage], x->channel[stage]);
    for (int c = 0; c < x->s->chunks; c++) {
        if (x->n_started[stage] > 0 && started(p, c))
            continue;
        cs_sim_time r = reduction(x, stage, c);
        x->gradients[stage] += r.cpu + r.beside;
        st->reduced += r.cpu + r.beside;
    }
    if (x->without != GRADIENTS && (stage == 0 || stage == x->s->pp - 1)) {
        double tied = cs_cost_tied(x->q, x->m);
        x->gradients[stage] += tied;
        st->reduced += tied;
    }
    double spread = x->without == GRADIENTS ? 0 : cs_cost_spread(x->q, x->m, stage);
    x->gradients[stage] += spread;
    st->optimizer = cs_cost_optimizer(x->q, x->m, stage) + spread;
}

/* The step in seconds. */
static double run(sim *x, leave_out without)
{
    const cs_layout *l = &x->q->layout;
    double reduced = 0, update = 0;
    start_over(x, without);
    run_pipeline(x);
    for (int stage = 0; stage < x->s->pp; stage++) {
        finish_stage(x, stage);
        reduced = fmax(reduced, x->stage[stage].reduced);
        update = fmax(update, x->stage[stage].optimizer);
    }
    cs_sim_time norm = cs_machine_scatter(x->m, cs_machine_group(x->m, l->world, 1), 8);
    return reduced + 2 * (norm.cpu + norm.beside) + update;
}

static void sum_up(sim *x, cs_simulation *out)
{
    double pp = x->s->pp, busy = 0;
    for (int i = 0; i < x->s->pp; i++)
        out->pipeline_s = fmax(out->pipeline_s, x->stage[i].pipeline_end);
    for (int i = 0; i < x->s->pp; i++) {
        cs_sim_stage *st = &x->stage[i];
        st->wait = out->pipeline_s - st->busy;
        busy += st->busy / pp;
        out->compute_s += st->compute / pp;
        out->tensor_s += st->tensor / pp;
        out->messages_s += st->messages / pp;
        out->gradients_s = fmax(out->gradients_s, x->gradients[i]);
        out->optimizer_s += cs_cost_optimizer(x->q, x->m, i) / pp;
    }
    out->bubble = out->pipeline_s > 0 ? fmax(0, 1 - busy / out->pipeline_s) : 0;
    out->tokens_per_s = (double)x->q->layout.global_batch * (double)x->q->layout.seq_length / out->step_s;
}

cs_status cs_simulate(const cs_memory_request *q, const cs_machine *m, cs_arena *arena, cs_simulation *out, cs_error *err)
{
    sim x;
    bool ok = init(&x, q, m, arena);
    *out = (cs_simulation){0};
    double lighter[2] = {0, 0};
    if (ok) { /* the whole comes last: its figures stay */
        lighter[0] = run(&x, MESSAGES);
        lighter[1] = run(&x, GRADIENTS);
    }
    for (int i = 0; ok && i < q->schedule->pp; i++)
        x.stage[i].span = array(arena, (size_t)q->schedule->stage[i].n_actions, sizeof *x.stage[i].span, &ok);
    if (!ok)
        return cs_fail_nomem(err, (size_t)q->layout.n_micro * (size_t)(q->layout.pp * q->layout.chunks) * 64, "the virtual clock");
    out->step_s = run(&x, NOTHING);
    out->messages_exposed_s = fmax(0, out->step_s - lighter[0]);
    out->gradients_exposed_s = fmax(0, out->step_s - lighter[1]);
    out->stage = x.stage;
    sum_up(&x, out);
    return CS_OK;
}

cs_status cs_simulate_step(const cs_memory_request *q, const cs_machine *m, cs_arena *scratch, double *step_s, cs_error *err)
{
    cs_arena_mark mark = cs_arena_save(scratch);
    sim x;
    bool ok = init(&x, q, m, scratch);
    if (ok)
        *step_s = run(&x, NOTHING);
    cs_arena_restore(scratch, mark);
    return ok ? CS_OK : cs_fail_nomem(err, (size_t)q->layout.n_micro * (size_t)(q->layout.pp * q->layout.chunks) * 64, "the virtual clock");
}

double cs_simulate_bound(const cs_memory_request *q, const cs_machine *m)
{
    const cs_layout *l = &q->layout;
    double most = 0;
    CS_ASSERT(l->n_mbs == 0);
    for (int64_t stage = 0; stage < l->pp; stage++) {
        double work = 0;
        for (int64_t c = 0; c < l->chunks; c++) {
            cs_piece_cost k = cs_cost_piece(q, m, stage, c, l->micro_batch);
            work += k.forward + k.backward + k.tensor_forward + k.tensor_backward + k.gather_forward.cpu + k.gather_backward.cpu;
        }
        most = fmax(most, work * (double)l->n_micro + cs_cost_optimizer(q, m, stage) + cs_cost_spread(q, m, stage));
    }
    return most;
}
