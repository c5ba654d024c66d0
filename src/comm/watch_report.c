/* The end of a run whose ranks wait in vain: who is to blame, and what everybody did last. Reads the rings of the ranks of this host while their
 * owners may still write them; an entry that changes meanwhile is left out. */
#include "comm/watch.h"

#include "base/mem.h"

#include <stdio.h>

enum { FULL_RINGS = 8 };

const char *cs_watch_name(int kind)
{
    static const char *const name[CS_WATCH_KINDS] = {
        "barrier", "broadcast", "all-reduce (sum)", "all-reduce (max)", "reduce-scatter", "all-gather", "allocation", "free", "split into groups",
        "all-reduce (sum) under way", "reduce-scatter under way", "all-gather under way", "send", "receive"};
    return kind >= 0 && kind < CS_WATCH_KINDS ? name[kind] : "?";
}

bool cs_watch_is_message(int kind)
{
    return kind == CS_WATCH_SEND || kind == CS_WATCH_RECV;
}

const char *cs_ranks_text(const bool *in, int n, char *text, size_t size)
{
    int count = 0;
    size_t at = 0;
    for (int r = 0; r < n; r++)
        count += in[r];
    at = (size_t)snprintf(text, size, count == 1 ? "rank" : "ranks");
    for (int r = 0, shown = 0; r < n && at + 32 < size; r++) {
        int last = r;
        if (!in[r])
            continue;
        while (last + 1 < n && in[last + 1])
            last++;
        if (last < r + 2) /* a span is worth it from three on */
            last = r;
        at += (size_t)snprintf(text + at, size - at, "%s%d", shown++ ? ", " : " ", r);
        if (last > r)
            at += (size_t)snprintf(text + at, size - at, "-%d", last);
        r = last;
        if (at + 32 >= size && r + 1 < n)
            snprintf(text + at, size - at, ", ..");
    }
    return text;
}

/* A copy of that operation of a ring; false when it is gone or being written. */
static bool read_op(const cs_watch_ring *ring, uint64_t number, cs_watch_op *out)
{
    const cs_watch_op *op = &ring->op[number % CS_WATCH_OPS];
    if (number == 0 || atomic_load_explicit(&op->number, memory_order_acquire) != number)
        return false;
    *out = (cs_watch_op){.seq = op->seq, .bytes = op->bytes, .group = op->group, .peer = op->peer, .tag = op->tag, .slot = op->slot,
                         .kind = op->kind, .dtype = op->dtype, .done = atomic_load(&op->done)};
    memcpy(out->site, op->site, CS_WATCH_TEXT);
    out->site[CS_WATCH_TEXT - 1] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&op->number, memory_order_relaxed) == number;
}

/* The group of an operation as its rank knows it; NULL when it has left it. */
static const cs_watch_group *group_of(const cs_watch_ring *ring, const cs_watch_op *op)
{
    const cs_watch_group *g = op->slot >= 0 && op->slot < CS_WATCH_GROUPS ? &ring->group[op->slot] : NULL;
    return g && atomic_load(&g->id) == op->group ? g : NULL;
}

/* Has the rank of that ring begun the group's collective `seq`? */
static bool has_come(const cs_watch_ring *ring, uint32_t group, uint64_t seq)
{
    for (int i = 0; i < CS_WATCH_GROUPS; i++)
        if (atomic_load(&ring->group[i].id) == group)
            return atomic_load(&ring->group[i].begun) >= seq;
    return false;
}

/* It is in an operation and looked at the clock not long ago: a process that was stopped in a wait does not count as waiting. */
static bool waits(const cs_watch_ring *ring, int64_t waited_ms)
{
    int64_t fresh = waited_ms / 2 > 1000 ? waited_ms / 2 : 1000;
    return atomic_load(&ring->inside) != 0 && cs_watch_now_ms() - atomic_load(&ring->beat_ms) < fresh;
}

/* Marks whom the rank waits for in the operation that it is in. */
static void mark_missing(const cs_watch *w, int rank, bool *missing)
{
    const cs_watch_ring *ring = w->ring[rank];
    cs_watch_op op;
    if (!ring || !read_op(ring, atomic_load(&ring->inside), &op))
        return;
    const cs_watch_group *g = group_of(ring, &op);
    if (op.kind == CS_WATCH_RECV && op.peer >= 0 && op.peer < w->size)
        missing[op.peer] = true;
    if (cs_watch_is_message(op.kind) || !g)
        return;
    for (int i = 0; i < (g->stride ? g->size : w->size); i++) {
        int r = g->stride ? g->first + i * g->stride : i;
        if (r < 0 || r >= w->size || r == rank)
            continue;
        if (w->ring[r] ? !has_come(w->ring[r], op.group, op.seq) : g->stride != 0) /* nothing is known of other hosts */
            missing[r] = true;
    }
}

/* The ranks for which this one waits, over all that wait themselves: culprit[]. Where that finds nobody: all who do not wait. */
static int find_culprits(const cs_watch *w, int64_t waited_ms, bool *culprit, bool *seen, bool *missing)
{
    int n = 0;
    seen[w->rank] = true;
    for (bool again = true; again;) {
        again = false;
        memset(missing, 0, (size_t)w->size);
        for (int r = 0; r < w->size; r++)
            if (seen[r] && !culprit[r])
                mark_missing(w, r, missing);
        for (int r = 0; r < w->size; r++) {
            if (!missing[r] || seen[r])
                continue;
            seen[r] = again = true;
            culprit[r] = !w->ring[r] || !waits(w->ring[r], waited_ms);
            n += culprit[r];
        }
    }
    if (n > 0)
        return n;
    for (int r = 0; r < w->size; r++) {
        culprit[r] = r != w->rank && w->ring[r] && !waits(w->ring[r], waited_ms);
        n += culprit[r];
    }
    return n;
}

/* "all-reduce (sum) no. 12 of 8 bytes in cs_trainer_step" */
static const char *op_text(const cs_watch_op *op, char *text, size_t size)
{
    char which[48] = "";
    if (cs_watch_is_message(op->kind))
        snprintf(which, sizeof which, " %s rank %d, tag %d,", op->kind == CS_WATCH_SEND ? "to" : "from", op->peer, op->tag);
    else
        snprintf(which, sizeof which, " no. %llu", (unsigned long long)op->seq);
    snprintf(text, size, "%s%s of %lld bytes in %s", cs_watch_name(op->kind), which, (long long)op->bytes, op->site);
    return text;
}

static const char *group_text(const cs_watch_ring *ring, const cs_watch_op *op, char *text, size_t size)
{
    const cs_watch_group *g = group_of(ring, op);
    if (!g)
        snprintf(text, size, "a group that is gone");
    else if (g->stride == 0)
        snprintf(text, size, "%d ranks from rank %d on", g->size, g->first);
    else if (g->size == 2)
        snprintf(text, size, "ranks %d, %d", g->first, g->first + g->stride);
    else
        snprintf(text, size, "ranks %d, %d, .., %d", g->first, g->first + g->stride, g->first + (g->size - 1) * g->stride);
    return text;
}

static void put_line(const cs_watch_ring *ring, const cs_watch_op *op, const char *state)
{
    char what[160], who[64];
    fprintf(stderr, "    %-5s %s; %s\n", state, op_text(op, what, sizeof what), group_text(ring, op, who, sizeof who));
}

static void put_ring(const cs_watch *w, int rank, int64_t waited_ms, int n)
{
    const cs_watch_ring *ring = w->ring[rank];
    uint64_t last = atomic_load(&ring->n_ops), inside = atomic_load(&ring->inside);
    cs_watch_op op;
    char step[40] = "";
    if (atomic_load(&ring->step) >= 0)
        snprintf(step, sizeof step, " %lld", (long long)atomic_load(&ring->step));
    const char *state = inside == 0 ? "in no operation" : waits(ring, waited_ms) ? "waits" : "in an operation, but gives no sign of life";
    fprintf(stderr, "  rank %d, %.*s%s: %s; the last of its %llu operations:\n", rank, CS_WATCH_TEXT - 1, ring->section, step, state,
            (unsigned long long)last);
    for (uint64_t i = last > (uint64_t)n ? last - (uint64_t)n + 1 : 1; i <= last; i++)
        if (read_op(ring, i, &op))
            put_line(ring, &op, i == inside ? "in" : op.done ? "done" : "begun");
    if (inside != 0 && inside + (uint64_t)n <= last && read_op(ring, inside, &op))
        put_line(ring, &op, "in");
}

/* The ring of those to blame, of this rank, and then of as many others as fit; of the rest the last operation. */
static void put_rings(const cs_watch *w, const bool *culprit, int64_t waited_ms)
{
    int full = 0;
    for (int pass = 0; pass < 3; pass++)
        for (int r = 0; r < w->size; r++)
            if (w->ring[r] && pass == (culprit[r] ? 0 : r == w->rank ? 1 : 2))
                put_ring(w, r, waited_ms, full++ < FULL_RINGS ? CS_WATCH_OPS : 1);
}

void cs_watch_report(const cs_watch *w, int64_t waited_ms)
{
    cs_error err;
    cs_watch_op op = {0};
    char what[160] = "an operation", place[64] = "", who[400];
    bool *marks = cs_calloc(3 * (size_t)w->size, sizeof *marks);
    if (atomic_load(&w->mine->step) >= 0)
        snprintf(place, sizeof place, " of step %lld", (long long)atomic_load(&w->mine->step));
    if (read_op(w->mine, atomic_load(&w->mine->inside), &op))
        op_text(&op, what, sizeof what);
    int n = marks ? find_culprits(w, waited_ms, marks, marks + w->size, marks + 2 * w->size) : 0;
    double seconds = (double)waited_ms / 1e3;
    if (n > 0)
        cs_fail(&err, CS_E_PEER, "%s hang%s: rank %d has waited %.1f s for %s in %s%s; the run ends; start it again with --resume, and if nothing "
                "hangs but is slow, with a longer --comm-deadline",
                cs_ranks_text(marks, w->size, who, sizeof who), n == 1 ? "s" : "", w->rank, seconds,
                n == 1 ? "it" : "them", what, place);
    else
        cs_fail(&err, CS_E_PEER, "all ranks wait for each other: rank %d has waited %.1f s in %s%s; please report this with the lines below", w->rank,
                seconds, what, place);
    cs_error_print(&err);
    fprintf(stderr, "What the ranks of this host did last, section \"%.*s\":\n", CS_WATCH_TEXT - 1, w->mine->section);
    if (marks)
        put_rings(w, marks, waited_ms);
    fflush(stderr);
    cs_free(marks);
}
