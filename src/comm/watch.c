/* Writing down what a rank does, and the deadline of its waits. The only stores of another rank's ring are made by that rank. */
#include "comm/watch.h"

#include "base/clock.h"
#include "comm/backend.h"

#include <stdio.h>
#include <unistd.h>

/* LONGEST_STEP_MS: with more between two looks this process, or the machine, was stopped. */
enum { LONGEST_STEP_MS = 1000, SECONDS_TO_REPORT = 1 };

int64_t cs_watch_now_ms(void)
{
    return (int64_t)(cs_clock_now() * 1e3);
}

static void copy_text(char to[CS_WATCH_TEXT], const char *from)
{
    size_t n = from ? strlen(from) : 0;
    n = n < CS_WATCH_TEXT - 1 ? n : CS_WATCH_TEXT - 1;
    memcpy(to, from ? from : "", n);
    to[n] = '\0';
}

static uint32_t mix(uint32_t h, uint32_t x)
{
    uint64_t z = ((uint64_t)h << 32 | x) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(z >> 32);
}

/* Members as an arithmetic progression, which all groups of a mesh are. */
static int32_t stride_of(const cs_comm *c)
{
    int32_t stride = c->member[1] - c->member[0];
    for (int r = 2; r < c->size; r++)
        if (c->member[r] - c->member[r - 1] != stride)
            return 0;
    return stride;
}

void cs_watch_join(cs_comm *c, const cs_comm *parent)
{
    uint32_t id = parent ? mix(parent->group, (uint32_t)parent->n_splits) : 1;
    for (int r = 0; r < c->size; r++)
        id = mix(id, (uint32_t)c->member[r]);
    c->group = id | 1; /* never 0 */
    c->slot = -1;
    for (int i = 0; i < CS_WATCH_GROUPS && c->slot < 0; i++) {
        cs_watch_group *g = &c->watch->mine->group[i];
        if (atomic_load(&g->id) != 0)
            continue;
        c->slot = i;
        g->first = c->member[0];
        g->stride = stride_of(c);
        g->size = c->size;
        atomic_store(&g->begun, 0);
        atomic_store(&g->id, c->group);
    }
}

void cs_watch_leave(cs_comm *c)
{
    if (c->slot >= 0)
        atomic_store(&c->watch->mine->group[c->slot].id, 0);
}

uint64_t cs_watch_begin(cs_comm *c, cs_watch_kind kind, int64_t bytes, cs_dtype t, int peer, int tag)
{
    cs_watch_ring *ring = c->watch->mine;
    uint64_t number = atomic_load_explicit(&ring->n_ops, memory_order_relaxed) + 1;
    cs_watch_op *op = &ring->op[number % CS_WATCH_OPS];
    atomic_store_explicit(&op->number, 0, memory_order_relaxed);
    op->seq = cs_watch_is_message((int)kind) ? 0 : ++c->seq;
    op->bytes = bytes;
    op->group = c->group;
    op->peer = peer < 0 ? -1 : c->member[peer];
    op->tag = tag;
    op->slot = c->slot;
    op->kind = (uint8_t)kind;
    op->dtype = (uint8_t)t;
    atomic_store_explicit(&op->done, false, memory_order_relaxed);
    copy_text(op->site, c->site);
    atomic_store_explicit(&op->number, number, memory_order_release);
    atomic_store_explicit(&ring->n_ops, number, memory_order_release);
    if (op->seq > 0 && c->slot >= 0)
        atomic_store_explicit(&ring->group[c->slot].begun, op->seq, memory_order_release);
    return number;
}

void cs_watch_done(cs_comm *c, uint64_t number)
{
    cs_watch_op *op = &c->watch->mine->op[number % CS_WATCH_OPS];
    if (atomic_load_explicit(&op->number, memory_order_relaxed) == number) /* else 64 others have begun since */
        atomic_store_explicit(&op->done, true, memory_order_release);
}

void cs_watch_inside(cs_comm *c, uint64_t number)
{
    atomic_store_explicit(&c->watch->mine->inside, number, memory_order_release);
}

void cs_watch_end(const cs_watch *w, int code)
{
    fflush(NULL);
    if (w->end)
        w->end(code);
    _exit(code);
}

void cs_watch_look(cs_watch *w, cs_watch_wait *wait)
{
    int64_t now = cs_watch_now_ms(), passed = now - wait->last_ms, limit = atomic_load_explicit(&w->mine->limit_ms, memory_order_relaxed);
    if (wait->last_ms > 0 && passed < 20)
        return;
    if (wait->last_ms > 0)
        wait->waited_ms += passed < LONGEST_STEP_MS ? passed : LONGEST_STEP_MS;
    wait->last_ms = now;
    atomic_store_explicit(&w->mine->beat_ms, now, memory_order_relaxed);
    if (w->launcher > 0 && getppid() != w->launcher)
        cs_watch_end(w, CS_E_PEER);
    if (limit == 0 || wait->waited_ms < limit)
        return;
    if (!atomic_exchange(w->said, 1))
        cs_watch_report(w, wait->waited_ms);
    else
        sleep(SECONDS_TO_REPORT); /* the end of this process may end the one that reports */
    cs_watch_end(w, CS_E_PEER);
}

void cs_comm_set_deadline(cs_comm *c, const char *section, int64_t step, double seconds)
{
    if (!c->watch)
        return;
    cs_watch_ring *ring = c->watch->mine;
    copy_text(ring->section, section);
    atomic_store(&ring->step, step);
    atomic_store(&ring->limit_ms, seconds <= 0 ? 0 : seconds > 1e9 ? (int64_t)1e12 : seconds < 1e-3 ? 1 : (int64_t)(seconds * 1e3));
}

void cs_comm_set_check(cs_comm *c, bool on)
{
    if (c->watch)
        c->watch->check = on;
}
