/* Collectives under way between forked ranks. A begin tells every member by a message where this rank's buffers are; once all have come the
 * work, cut into pieces, is free for all: whoever is in wait or progress claims pieces and does them for all ranks. So a wait depends on no
 * rank's progress, only on the begins and on pieces that somebody is computing at this moment: ranks cannot stop each other in a circle.
 * Who computes a piece does not show in its bits: sums are taken in rank order.
 *
 * Why the orders suffice: a letter's acquire brings the other ranks' inputs; a finished piece is published by the sequentially consistent
 * addition to `done`, which waiters load before they read results. The stores of a piece that go past the caches are fenced in sum.c. */
#include "comm/shm.h"

#include "comm/sum.h"

enum { PIECE_BYTES = 512 << 10 };

typedef struct job { /* one per collective, in a mail of rank 0 */
    cs_shm_word done; /* pieces */
    _Alignas(64) _Atomic int64_t claimed;
} job;

typedef struct letter {
    int64_t kind, n, t;
    char *in, *out;
    cs_shm_mail *copy; /* in and out are in it; NULL: they are the caller's */
    cs_shm_mail *job;  /* from rank 0 */
} letter;

typedef struct work { /* this rank's own record */
    cs_shm_mail *record; /* holds this */
    uint32_t number;
    int64_t n_pieces, mine; /* mine: done by this rank */
    int n_come;
    void *out;             /* the caller's, when the result must be copied there */
    letter *from;          /* [size] */
    int64_t *start;        /* [size + 1] first elements of the ranks' parts; of a sum: one part */
} work;

static bool in_region(const cs_shm *c, const void *p)
{
    const char *lo = (const char *)c->region;
    return (const char *)p >= lo && (const char *)p < lo + c->region->bytes;
}

static int32_t tag_of(const work *w)
{
    return -1 - (int32_t)(w->number & 0x3fffffff);
}

static int n_parts(const cs_shm *c, const letter *l)
{
    return l->kind == CS_XFER_SUM ? 1 : c->base.size;
}

static int64_t piece_elements(cs_dtype t)
{
    return PIECE_BYTES / (int64_t)cs_dtype_size(t);
}

/* Puts inputs that other ranks cannot reach into a copy that they can. */
static void copy_in(cs_shm *c, const work *w, letter *l, const cs_comm_args *a)
{
    size_t width = cs_dtype_size(a->t), lo = 0, bytes = (size_t)a->n * width;
    if (a->kind != CS_XFER_SUM)
        lo = (size_t)w->start[c->base.rank] * width;
    l->copy = cs_shm_mail_take(c, (int64_t)bytes);
    atomic_store_explicit(&l->copy->readers, (uint32_t)c->base.size, memory_order_relaxed);
    l->in = l->copy->data;
    l->out = l->in + (a->kind == CS_XFER_SCATTER ? lo : 0);
    if (a->kind == CS_XFER_GATHER)
        memcpy(l->in + lo, (const char *)a->in + lo, (size_t)a->counts[c->base.rank] * width);
    else
        memcpy(l->in, a->in, bytes);
}

void cs_shm_begin(cs_xfer *x, const cs_comm_args *a)
{
    cs_shm *c = (cs_shm *)x->comm;
    size_t n = (size_t)c->base.size;
    cs_shm_mail *record = cs_shm_mail_take(c, (int64_t)(sizeof(work) + n * sizeof(letter) + (n + 1) * sizeof(int64_t)));
    work *w = (work *)record->data;
    *w = (work){.record = record, .number = c->n_begun++, .n_come = 1, .out = a->out, .from = (letter *)(w + 1)};
    w->start = (int64_t *)(w->from + n);
    memset(w->from, 0, n * sizeof(letter));
    letter *l = &w->from[c->base.rank];
    *l = (letter){.kind = a->kind, .n = a->n, .t = a->t, .in = (char *)a->in, .out = a->out};
    w->start[0] = 0;
    w->start[1] = a->n;
    int64_t piece = piece_elements(a->t);
    for (int r = 0; r < n_parts(c, l); r++) {
        w->start[r + 1] = a->counts ? w->start[r] + a->counts[r] : a->n;
        w->n_pieces += (w->start[r + 1] - w->start[r] + piece - 1) / piece;
    }
    if (!in_region(c, a->in) || !in_region(c, a->out))
        copy_in(c, w, l, a);
    if (c->base.rank == 0) {
        l->job = cs_shm_mail_take(c, sizeof(job));
        memset(l->job->data, 0, sizeof(job));
        atomic_store_explicit(&l->job->readers, (uint32_t)n, memory_order_relaxed);
    }
    for (int r = 0; r < c->base.size; r++) {
        if (r == c->base.rank)
            continue;
        cs_shm_mail *m = cs_shm_mail_take(c, sizeof *l);
        memcpy(m->data, l, sizeof *l);
        cs_shm_mail_post(c, m, r, tag_of(w));
    }
    x->state = w;
    cs_shm_recv(x);
}

/* Takes in that rank's letter; false when it has not come. */
static bool has_begun(cs_shm *c, work *w, int rank)
{
    if (w->from[rank].in)
        return true;
    cs_shm_mail_collect(c, rank);
    cs_shm_mail *m = cs_shm_mail_find(c, rank, tag_of(w));
    if (!m)
        return false;
    static const char *const name[] = {"", "all-reduce (sum) under way", "reduce-scatter under way", "all-gather under way"};
    letter *l = &w->from[rank], *mine = &w->from[c->base.rank];
    memcpy(l, m->data, sizeof *l);
    atomic_fetch_sub_explicit(&m->readers, 1, memory_order_release);
    if (l->kind != mine->kind || l->n != mine->n || l->t != mine->t)
        cs_shm_disagree(c, name[mine->kind], mine->n * (int64_t)cs_dtype_size((cs_dtype)mine->t), rank, name[l->kind],
                        l->n * (int64_t)cs_dtype_size((cs_dtype)l->t));
    w->n_come++;
    return true;
}

/* Piece k, for all ranks. */
static void do_piece(cs_shm *c, const work *w, int64_t k)
{
    const letter *mine = &w->from[c->base.rank];
    cs_dtype t = (cs_dtype)mine->t;
    int64_t step = piece_elements(t), lo = 0, n = 0;
    size_t width = cs_dtype_size(t), size = (size_t)c->base.size, all = (size_t)w->start[n_parts(c, mine)] * width;
    int part = 0;
    for (;; part++) {
        int64_t pieces = (w->start[part + 1] - w->start[part] + step - 1) / step;
        if (k < pieces)
            break;
        k -= pieces;
    }
    lo = w->start[part] + k * step;
    n = w->start[part + 1] - lo < step ? w->start[part + 1] - lo : step;
    for (int r = 0; r < c->base.size; r++)
        c->in[r] = w->from[r].in + (size_t)lo * width;
    if (mine->kind == CS_XFER_GATHER) {
        for (int r = 0; r < c->base.size; r++)
            if (r != part)
                cs_copy_shared(w->from[r].out + (size_t)lo * width, c->in[part], (size_t)n * width, all * size);
    } else if (mine->kind == CS_XFER_SCATTER) {
        void *out = w->from[part].out + (size_t)k * (size_t)step * width;
        cs_sum_ordered(&out, 1, c->in, c->base.size, n, t, all);
    } else {
        for (int r = 0; r < c->base.size; r++)
            c->out[r] = w->from[r].out + (size_t)lo * width;
        cs_sum_ordered(c->out, c->base.size, c->in, c->base.size, n, t, all * size);
    }
}

/* Claims up to `most` pieces; all have begun. */
static void do_share(cs_shm *c, work *w, int64_t most)
{
    job *j = (job *)w->from[0].job->data;
    for (; w->mine < most; w->mine++) {
        int64_t k = atomic_load_explicit(&j->claimed, memory_order_relaxed) < w->n_pieces ? atomic_fetch_add(&j->claimed, 1) : w->n_pieces;
        if (k >= w->n_pieces)
            break;
        do_piece(c, w, k);
        if (atomic_fetch_add(&j->done.value, 1) + 1 == (uint32_t)w->n_pieces)
            cs_shm_set(&j->done, (uint32_t)w->n_pieces);
    }
}

static void copy_out(cs_shm *c, const work *w)
{
    const letter *l = &w->from[c->base.rank];
    size_t width = cs_dtype_size((cs_dtype)l->t), mine = 0, end = 0;
    if (!l->copy)
        return;
    if (l->kind != CS_XFER_SUM) {
        mine = (size_t)w->start[c->base.rank] * width;
        end = (size_t)w->start[c->base.rank + 1] * width;
    }
    if (l->kind == CS_XFER_SCATTER) {
        if (end > mine)
            memcpy(w->out, l->out, end - mine);
    } else { /* an all-gather leaves this rank's own part alone */
        memcpy(w->out, l->out, mine);
        memcpy((char *)w->out + end, l->out + end, (size_t)l->n * width - end);
    }
}

void cs_shm_wait_for(cs_xfer *x)
{
    if (x->kind == CS_XFER_RECV) {
        cs_shm_recv_wait(x);
        return;
    }
    cs_shm *c = (cs_shm *)x->comm;
    work *w = x->state;
    for (int r = 0; r < c->base.size; r++) {
        cs_shm_box *box = cs_shm_box_of(c, r, c->base.rank);
        for (uint32_t sent = atomic_load(&box->sent.value); !has_begun(c, w, r); sent = atomic_load(&box->sent.value))
            cs_shm_wait(c, &box->sent, sent, r);
    }
    do_share(c, w, w->n_pieces);
    job *j = (job *)w->from[0].job->data;
    for (uint32_t done; (done = atomic_load(&j->done.value)) != (uint32_t)w->n_pieces;)
        cs_shm_wait(c, &j->done, done, -1);
    copy_out(c, w);
    for (int r = 0; r < c->base.size; r++)
        if (w->from[r].copy)
            atomic_fetch_sub_explicit(&w->from[r].copy->readers, 1, memory_order_release);
    atomic_fetch_sub_explicit(&w->from[0].job->readers, 1, memory_order_release);
    cs_xfer **link = &c->self->begun;
    while (*link != x)
        link = &(*link)->next;
    *link = x->next;
    atomic_store_explicit(&w->record->readers, 0, memory_order_relaxed);
}

void cs_shm_progress(cs_comm *comm)
{
    cs_shm *c = (cs_shm *)comm;
    for (cs_xfer *x = c->self->begun; x; x = x->next) {
        if (x->comm != comm || x->kind == CS_XFER_RECV)
            continue;
        work *w = x->state;
        bool all = true;
        for (int r = 0; r < comm->size && all; r++)
            all = has_begun(c, w, r);
        if (!all) /* then nobody has begun the later ones everywhere either */
            return;
        do_share(c, w, (w->n_pieces + comm->size - 1) / comm->size);
    }
}
