/* Is a table legal? Nothing is taken from the generators: peers are derived from where the model's pieces are. */
#include "parallel/schedule.h"

#include <limits.h>
#include <string.h>

typedef struct check {
    const cs_schedule *s;
    int64_t pairs;     /* chunks * micro-batches */
    int64_t *slot_of;  /* [pairs] of the stage being looked at: slot + 1 taken by the forward, 0 = not yet forward, -1 = backward done */
    bool *taken;       /* [pairs] slots */
    bool *sent;        /* [2][pp][pairs] messages that were sent, by pass, receiving stage and the receiver's pair */
    int64_t *next;     /* [pp] action that the stage stands at */
    cs_error *err;
} check;

static cs_status breach(const check *c, int stage, int64_t i, const char *what)
{
    const cs_action *a = &c->s->stage[stage].action[i];
    return cs_fail(c->err, CS_E_INTERNAL, "schedule %s, stage %d, action %lld (%s, chunk %d, micro-batch %lld): %s", cs_schedule_name(c->s->kind),
                   stage, (long long)i, a->pass == CS_PASS_FORWARD ? "forward" : "backward", a->chunk, (long long)a->micro, what);
}

static cs_status check_peers(const check *c, int stage, int64_t i)
{
    const cs_action *a = &c->s->stage[stage].action[i];
    int pp = c->s->pp, piece = a->chunk * pp + stage;
    int before = piece == 0 ? -1 : (piece - 1) % pp, after = piece == pp * c->s->chunks - 1 ? -1 : (piece + 1) % pp;
    bool forward = a->pass == CS_PASS_FORWARD;
    if (a->recv_from != (forward ? before : after))
        return breach(c, stage, i, "receives from a stage that does not make its input");
    if (a->send_to != (forward ? after : before))
        return breach(c, stage, i, "sends to a stage that does not take its output");
    return CS_OK;
}

static cs_status check_slot(const check *c, int stage, int64_t i)
{
    const cs_action *a = &c->s->stage[stage].action[i];
    int64_t *mine = &c->slot_of[a->chunk * c->s->n_micro + a->micro];
    if (a->pass == CS_PASS_FORWARD) {
        if (*mine != 0)
            return breach(c, stage, i, "forward a second time");
        bool keeps = c->s->kind != CS_SCHEDULE_FORWARD;
        if (keeps ? a->slot < 0 || a->slot >= c->s->stage[stage].n_slots || a->slot >= c->pairs : a->slot != -1)
            return breach(c, stage, i, "no such slot");
        if (keeps && c->taken[a->slot])
            return breach(c, stage, i, "its slot is in use");
        if (keeps)
            c->taken[a->slot] = true;
        *mine = a->slot + 1 > 0 ? a->slot + 1 : -1;
        return CS_OK;
    }
    if (*mine <= 0)
        return breach(c, stage, i, *mine == 0 ? "backward before its forward" : "no backward belongs here, or a second one");
    if (a->slot != *mine - 1)
        return breach(c, stage, i, "not the slot that its forward took");
    c->taken[a->slot] = false;
    *mine = -1;
    return CS_OK;
}

static cs_status check_stage(const check *c, int stage)
{
    const cs_stage_plan *p = &c->s->stage[stage];
    int64_t left[CS_SCHEDULE_MAX_CHUNKS];
    bool started[CS_SCHEDULE_MAX_CHUNKS] = {false};
    int64_t n = c->s->kind == CS_SCHEDULE_FORWARD ? c->pairs : 2 * c->pairs;
    memset(c->slot_of, 0, (size_t)c->pairs * sizeof *c->slot_of);
    for (int k = 0; k < c->s->chunks; k++)
        left[k] = c->s->n_micro;
    for (int64_t i = 0; i < p->n_actions; i++) {
        const cs_action *a = &p->action[i];
        if ((a->pass != CS_PASS_FORWARD && a->pass != CS_PASS_BACKWARD) || a->chunk < 0 || a->chunk >= c->s->chunks || a->micro < 0 ||
            a->micro >= c->s->n_micro)
            return breach(c, stage, i, "no such pass, chunk or micro-batch");
        CS_TRY(check_peers(c, stage, i));
        CS_TRY(check_slot(c, stage, i));
        int r = a->start_reduce;
        if (r != -1 && (r < 0 || r >= c->s->chunks || left[r] != 0 || started[r]))
            return breach(c, stage, i, "starts a reduction of gradients that are not complete, or a second time");
        if (r != -1)
            started[r] = true;
        left[a->chunk] -= a->pass == CS_PASS_BACKWARD;
    }
    if (p->n_actions != n)
        return cs_fail(c->err, CS_E_INTERNAL, "schedule %s, stage %d: %lld actions, expected %lld", cs_schedule_name(c->s->kind), stage,
                       (long long)p->n_actions, (long long)n);
    return CS_OK;
}

/* Place in `sent` of the message that `stage` receives, or sends, with action a. */
static bool *message(const check *c, int stage, const cs_action *a, bool receives)
{
    int pp = c->s->pp, piece = a->chunk * pp + stage;
    if (!receives)
        piece += a->pass == CS_PASS_FORWARD ? 1 : -1;
    int64_t pair = (int64_t)(piece / pp) * c->s->n_micro + a->micro;
    return &c->sent[((int64_t)a->pass * pp + piece % pp) * c->pairs + pair];
}

/* Every stage goes as far as it can, again and again until nothing moves. */
static cs_status check_progress(const check *c)
{
    bool moves = true;
    while (moves) {
        moves = false;
        for (int stage = 0; stage < c->s->pp; stage++) {
            const cs_stage_plan *p = &c->s->stage[stage];
            for (; c->next[stage] < p->n_actions; c->next[stage]++) {
                const cs_action *a = &p->action[c->next[stage]];
                if (a->recv_from >= 0 && !*message(c, stage, a, true))
                    break;
                if (a->send_to >= 0)
                    *message(c, stage, a, false) = true;
                moves = true;
            }
        }
    }
    for (int stage = 0; stage < c->s->pp; stage++)
        if (c->next[stage] < c->s->stage[stage].n_actions)
            return breach(c, stage, c->next[stage], "deadlock: its input never comes");
    return CS_OK;
}

cs_status cs_schedule_check(const cs_schedule *s, cs_arena *scratch, cs_error *err)
{
    cs_arena_mark mark = cs_arena_save(scratch);
    if (s->pp < 1 || s->chunks < 1 || s->chunks > CS_SCHEDULE_MAX_CHUNKS || s->pp > INT_MAX / s->chunks || s->n_micro < 1)
        return cs_fail(err, CS_E_INTERNAL, "schedule of %d stages, %d chunks, %lld micro-batches", s->pp, s->chunks, (long long)s->n_micro);
    size_t pairs = 0, cells = 0;
    bool fits = cs_mul_checked((size_t)s->chunks, (size_t)s->n_micro, &pairs) && cs_mul_checked(pairs, 2 * (size_t)s->pp, &cells);
    check c = {.s = s, .pairs = (int64_t)pairs, .err = err};
    c.slot_of = fits ? cs_arena_calloc(scratch, pairs, sizeof *c.slot_of) : NULL;
    c.taken = fits ? cs_arena_calloc(scratch, pairs, sizeof *c.taken) : NULL;
    c.sent = fits ? cs_arena_calloc(scratch, cells, sizeof *c.sent) : NULL;
    c.next = cs_arena_calloc(scratch, (size_t)s->pp, sizeof *c.next);
    cs_status status = CS_OK;
    if (!c.slot_of || !c.taken || !c.sent || !c.next)
        status = cs_fail_nomem(err, fits ? cells : SIZE_MAX, "the check of the schedule");
    for (int stage = 0; stage < s->pp && status == CS_OK; stage++)
        status = check_stage(&c, stage);
    if (status == CS_OK)
        status = check_progress(&c);
    cs_arena_restore(scratch, mark);
    return status;
}
