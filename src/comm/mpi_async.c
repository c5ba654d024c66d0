/* Collectives under way between the ranks of an MPI job, as a sequence of phases, each a set of requests:
 *   buffers in memory that all ranks map:  their places to all | own sum or copy, written to all | a token to all
 *   any others:                            each rank's part to it | own sum | (all-reduce) own sum to all
 * Every loop of this back end that waits moves all of them on, whatever the group, so that a rank that sits in one operation never stops another
 * one. Only point to point is used, with tags from the number of the collective: phases of several may overlap in any order. */
#ifdef CS_HAVE_MPI

#include "comm/mpi_comm.h"

#include "base/mem.h"
#include "comm/sum.h"

#include <sched.h>

enum { TAG_FIRST = 16, TAG_NUMBERS = 4096, SPIN = 1000 };
enum { PHASE_PLACES, PHASE_PARTS, PHASE_RESULTS, PHASE_TOKENS, PHASE_DONE };

typedef struct work {
    cs_mpi_mail *record, *stage; /* pieces of memory: this record; the others' values of this rank's part */
    uint32_t number;
    int kind, phase, n_requests;
    cs_dtype t;
    const char *in;
    char *out;             /* sum, all-gather: start of all parts; reduce-scatter: this rank's part */
    int64_t *start;        /* [size + 1] */
    int64_t *place;        /* [2 * size] */
    const void **from;     /* [size] scratch: c's own is in use where a blocking operation moves this one on */
    void **to;             /* [size] scratch */
    MPI_Request *request;  /* [2 * size] */
} work;

static int tag_of(const work *w)
{
    return TAG_FIRST + 4 * (int)(w->number % TAG_NUMBERS) + w->phase;
}

static void post(cs_mpi *c, work *w, bool send, const void *buf, int64_t bytes, int peer)
{
    if (bytes == 0)
        return;
    MPI_Datatype type;
    int n = cs_mpi_begin_type(bytes, &type);
    MPI_Request *q = &w->request[w->n_requests++];
    if (send)
        MPI_Isend(buf, n, type, peer, tag_of(w), c->comm, q);
    else
        MPI_Irecv((void *)buf, n, type, peer, tag_of(w), c->comm, q);
    cs_mpi_free_type(&type);
}

static int64_t part_bytes(const work *w, int rank)
{
    return (w->start[rank + 1] - w->start[rank]) * (int64_t)cs_dtype_size(w->t);
}

static size_t part_start(const work *w, int rank)
{
    return (size_t)w->start[rank] * cs_dtype_size(w->t);
}

/* The same two words to everybody. */
static void to_all(cs_mpi *c, work *w)
{
    for (int r = 0; r < c->base.size; r++) {
        if (r == c->base.rank)
            continue;
        post(c, w, false, &w->place[2 * r], 2 * sizeof *w->place, r);
        post(c, w, true, &w->place[2 * c->base.rank], 2 * sizeof *w->place, r);
    }
}

/* Where the values of a rank for this rank's part come in. */
static char *staged(const cs_mpi *c, const work *w, int rank)
{
    return w->stage->data + (size_t)(rank - (rank > c->base.rank)) * (size_t)part_bytes(w, c->base.rank);
}

static void begin_parts(cs_mpi *c, work *w)
{
    w->phase = PHASE_PARTS;
    w->stage = cs_mpi_mail_take(c->self, (c->base.size - 1) * part_bytes(w, c->base.rank));
    w->stage->held = true;
    for (int r = 0; r < c->base.size; r++) {
        if (r == c->base.rank)
            continue;
        post(c, w, false, staged(c, w, r), part_bytes(w, c->base.rank), r);
        post(c, w, true, w->in + part_start(w, r), part_bytes(w, r), r);
    }
}

static void begin_results(cs_mpi *c, work *w)
{
    w->phase = PHASE_RESULTS;
    for (int r = 0; r < c->base.size; r++) {
        if (r == c->base.rank)
            continue;
        post(c, w, false, w->out + part_start(w, r), part_bytes(w, r), r);
        post(c, w, true, w->out + part_start(w, c->base.rank), part_bytes(w, c->base.rank), r);
    }
}

static void own_sum(cs_mpi *c, work *w)
{
    size_t at = part_start(w, c->base.rank);
    void *to = w->kind == CS_XFER_SUM ? w->out + at : w->out;
    for (int r = 0; r < c->base.size; r++)
        w->from[r] = r == c->base.rank ? w->in + at : staged(c, w, r);
    cs_sum_ordered(&to, 1, w->from, c->base.size, w->start[c->base.rank + 1] - w->start[c->base.rank], w->t, 0);
    w->stage->held = false;
}

/* All buffers can be reached (their addresses are in w->to): does this rank's part and tells all. */
static void do_direct(cs_mpi *c, work *w)
{
    size_t at = part_start(w, c->base.rank);
    int64_t n = w->start[c->base.rank + 1] - w->start[c->base.rank];
    for (int r = 0; r < c->base.size; r++) {
        w->from[r] = (char *)w->to[r] + at;
        w->to[r] = (char *)w->to[r] + at;
    }
    void *out = w->out;
    size_t whole = (size_t)w->start[c->base.size] * cs_dtype_size(w->t);
    if (w->kind == CS_XFER_SUM)
        cs_sum_ordered(w->to, c->base.size, w->from, c->base.size, n, w->t, whole * (size_t)c->base.size);
    else if (w->kind == CS_XFER_SCATTER)
        cs_sum_ordered(&out, 1, w->from, c->base.size, n, w->t, whole);
    else
        for (int r = 0; r < c->base.size; r++)
            if (r != c->base.rank)
                cs_copy_shared(w->to[r], w->out + at, (size_t)part_bytes(w, c->base.rank), whole * (size_t)c->base.size);
    atomic_thread_fence(memory_order_seq_cst);
    w->phase = PHASE_TOKENS;
    to_all(c, w);
}

static void next_phase(cs_mpi *c, work *w)
{
    w->n_requests = 0;
    switch (w->phase) {
    case PHASE_PLACES:
        if (cs_mpi_find_places(c, w->place, w->to))
            do_direct(c, w);
        else if (w->kind == CS_XFER_GATHER)
            begin_results(c, w);
        else
            begin_parts(c, w);
        break;
    case PHASE_PARTS:
        own_sum(c, w);
        if (w->kind == CS_XFER_SUM)
            begin_results(c, w);
        else
            w->phase = PHASE_DONE;
        break;
    default: w->phase = PHASE_DONE; break;
    }
}

/* MPI_Testall by hand: gcc takes MPICH's MPI_STATUSES_IGNORE for an array that is too short. */
static bool all_done(int n, MPI_Request *request)
{
    int done = 1;
    for (int i = 0; i < n && done; i++)
        if (request[i] != MPI_REQUEST_NULL)
            MPI_Test(&request[i], &done, MPI_STATUS_IGNORE);
    return done;
}

static void move_on(cs_mpi *c, work *w)
{
    while (w->phase != PHASE_DONE) {
        if (!all_done(w->n_requests, w->request))
            return;
        next_phase(c, w);
    }
}

void cs_mpi_begin(cs_xfer *x, const cs_comm_args *a)
{
    cs_mpi *c = (cs_mpi *)x->comm;
    int size = c->base.size;
    size_t n = (size_t)size;
    size_t words = (3 * n + 1) * sizeof(int64_t) + 2 * n * (sizeof(MPI_Request) + sizeof(void *));
    cs_mpi_mail *record = cs_mpi_mail_take(c->self, (int64_t)(sizeof(work) + words));
    record->held = true;
    work *w = (work *)record->data;
    *w = (work){.record = record, .number = c->n_begun++, .kind = a->kind, .t = a->t, .in = a->in, .out = a->out};
    w->start = (int64_t *)(w + 1);
    w->place = w->start + n + 1;
    w->from = (const void **)(w->place + 2 * n);
    w->to = (void **)(w->from + n);
    w->request = (MPI_Request *)(w->to + n);
    w->start[0] = 0;
    for (int r = 0; r < size; r++)
        w->start[r + 1] = a->counts ? w->start[r] + a->counts[r] : cs_comm_cut(a->n, size, r + 1, a->t);
    int64_t bytes = a->n * (int64_t)cs_dtype_size(a->t);
    w->phase = PHASE_PLACES;
    if (cs_mpi_may_share(c, bytes)) {
        cs_mpi_place_of(c, a->in, bytes, &w->place[2 * c->base.rank]);
        atomic_thread_fence(memory_order_seq_cst);
        to_all(c, w);
    } else if (a->kind == CS_XFER_GATHER) {
        begin_results(c, w);
    } else {
        begin_parts(c, w);
    }
    x->state = w;
    cs_xfer **link = &c->self->begun;
    while (*link)
        link = &(*link)->next;
    *link = x;
}

void cs_mpi_move_all(cs_mpi_rank *self)
{
    for (cs_xfer *x = self->begun; x; x = x->next)
        move_on((cs_mpi *)x->comm, x->state);
}

void cs_mpi_progress(cs_comm *comm)
{
    cs_mpi_move_all(((cs_mpi *)comm)->self);
}

void cs_mpi_rest(cs_mpi_rank *self, cs_mpi_pause *pause)
{
    cs_mpi_move_all(self);
    if (++pause->turn <= SPIN)
        return;
    cs_watch_look(&self->watch, &pause->wait);
    sched_yield();
}

void cs_mpi_wait_all(cs_mpi *c, int n, MPI_Request *request)
{
    cs_mpi_pause pause = {0};
    while (!all_done(n, request))
        cs_mpi_rest(c->self, &pause);
}

void cs_mpi_wait(cs_xfer *x)
{
    if (x->kind == CS_XFER_RECV) {
        cs_mpi_recv_wait(x);
        return;
    }
    cs_mpi *c = (cs_mpi *)x->comm;
    work *w = x->state;
    cs_mpi_pause pause = {0};
    for (; move_on(c, w), w->phase != PHASE_DONE;)
        cs_mpi_rest(c->self, &pause);
    cs_xfer **link = &c->self->begun;
    while (*link != x)
        link = &(*link)->next;
    *link = x->next;
    w->record->held = false;
}

#endif
