/* Messages between forked ranks. A sender copies its bytes into a piece of the region that it owns and posts the piece; a receiver copies them
 * out and sets the piece free. So a send waits for nobody, and after the first steps it takes no new memory.
 *
 * Why the orders suffice: the sender fills a piece and then publishes it by the release exchange of `fresh`; the receiver takes the whole list
 * over with one acquire exchange, so it sees all bytes, and as nobody ever removes a single element there is no ABA. From then on `next` is the
 * receiver's. Its release decrement of `readers` comes after its last read; the owner fills the piece again only after an acquire load of 0. */
#include "comm/shm.h"

#include "base/mem.h"

enum { SMALLEST = 12 }; /* log2 of the bytes of the smallest piece */

/* log2 of the size of a piece with that much data. */
static int class_of(int64_t bytes)
{
    int k = SMALLEST;
    while (((uint64_t)1 << k) < (uint64_t)bytes + sizeof(cs_shm_mail))
        k++;
    return k;
}

cs_shm_mail *cs_shm_mail_take(cs_shm *c, int64_t bytes)
{
    int k = class_of(bytes);
    CS_ASSERT(k < CS_SHM_POOL_CLASSES);
    cs_shm_mail *m = c->self->pool[k];
    while (m && atomic_load_explicit(&m->readers, memory_order_acquire) != 0)
        m = m->pool_next;
    if (!m) {
        size_t start = cs_shm_reserve(c->region, (size_t)1 << k);
        m = cs_mem_must(start ? (char *)c->region + start : NULL, (size_t)bytes, "a message to another rank");
        m->pool_next = c->self->pool[k];
        c->self->pool[k] = m;
        cs_mem_hold((int64_t)sizeof *m + bytes); /* the pages that are used */
    }
    atomic_store_explicit(&m->readers, 1, memory_order_relaxed);
    m->bytes = bytes;
    return m;
}

void cs_shm_mail_post(cs_shm *c, cs_shm_mail *m, int to, int tag)
{
    cs_shm_box *box = cs_shm_box_of(c, c->base.rank, to);
    m->tag = tag;
    m->next = atomic_load_explicit(&box->fresh, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&box->fresh, &m->next, m, memory_order_release, memory_order_relaxed))
        ; /* only the receiver competes, and only to take all */
    cs_shm_set(&box->sent, atomic_load_explicit(&box->sent.value, memory_order_relaxed) + 1); /* this rank alone writes it */
}

void cs_shm_mail_collect(cs_shm *c, int from)
{
    cs_shm_box *box = cs_shm_box_of(c, from, c->base.rank);
    if (!atomic_load_explicit(&box->fresh, memory_order_relaxed))
        return;
    cs_shm_mail *newest = atomic_exchange_explicit(&box->fresh, NULL, memory_order_acquire), *oldest = NULL;
    for (cs_shm_mail *m = newest, *older; m; m = older) {
        older = m->next;
        m->next = oldest;
        oldest = m;
    }
    if (c->first[from])
        c->last[from]->next = oldest;
    else
        c->first[from] = oldest;
    c->last[from] = newest;
}

cs_shm_mail *cs_shm_mail_find(cs_shm *c, int from, int tag)
{
    for (cs_shm_mail *m = c->first[from], *before = NULL; m; before = m, m = m->next) {
        if (m->tag != tag)
            continue;
        if (before)
            before->next = m->next;
        else
            c->first[from] = m->next;
        if (c->last[from] == m)
            c->last[from] = before;
        return m;
    }
    return NULL;
}

void cs_shm_send(cs_comm *comm, const void *buf, int64_t bytes, int to, int tag)
{
    cs_shm *c = (cs_shm *)comm;
    cs_shm_mail *m = cs_shm_mail_take(c, bytes);
    if (bytes > 0)
        memcpy(m->data, buf, (size_t)bytes);
    cs_shm_mail_post(c, m, to, tag);
}

void cs_shm_recv(cs_xfer *x)
{
    cs_xfer **link = &((cs_shm *)x->comm)->self->begun;
    while (*link)
        link = &(*link)->next;
    *link = x;
}

/* Completes every receive from that rank whose message has come, in the order of their begin: equal tags match in order. The mail is collected
 * once, in front: a message that came while the list is walked would go to a later receive of its tag. */
static void deliver(cs_shm *c, int from)
{
    cs_shm_mail_collect(c, from);
    for (cs_xfer **link = &c->self->begun; *link;) {
        cs_xfer *x = *link;
        cs_shm_mail *m = x->comm == &c->base && x->kind == CS_XFER_RECV && x->peer == from ? cs_shm_mail_find(c, from, x->tag) : NULL;
        if (!m) {
            link = &x->next;
            continue;
        }
        if (m->bytes != x->bytes)
            cs_comm_wrong_length(x, m->bytes);
        if (m->bytes > 0)
            memcpy(x->buf, m->data, (size_t)m->bytes);
        atomic_fetch_sub_explicit(&m->readers, 1, memory_order_release);
        x->done = true;
        *link = x->next;
    }
}

void cs_shm_recv_wait(cs_xfer *x)
{
    cs_shm *c = (cs_shm *)x->comm;
    cs_shm_box *box = cs_shm_box_of(c, x->peer, c->base.rank);
    while (!x->done) {
        uint32_t sent = atomic_load(&box->sent.value); /* before looking: what comes later changes it */
        deliver(c, x->peer);
        if (!x->done)
            cs_shm_wait(c, &box->sent, sent, x->peer);
    }
}
