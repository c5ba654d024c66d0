/* The front of every collective: argument checks, groups of one, agreement on errors. The back ends do the moving. */
#include "comm/backend.h"

#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

int cs_comm_rank(const cs_comm *c)
{
    return c->rank;
}

int cs_comm_size(const cs_comm *c)
{
    return c->size;
}

int cs_comm_local_size(const cs_comm *c)
{
    return c->local_size;
}

const char *cs_comm_backend(const cs_comm *c)
{
    return c->ops->name;
}

cs_comm *cs_comm_from(cs_comm *c, const char *site)
{
    if (c->size > 1)
        c->site = site;
    return c;
}

static uint64_t hash_counts(const int64_t *counts, int size)
{
    uint64_t h = 0;
    for (int r = 0; counts && r < size; r++)
        h = (h ^ (uint64_t)counts[r]) * 0x9e3779b97f4a7c15u;
    return h;
}

/* An operation of a group of two or more begins, and this rank is in it. root: -1 = none. */
static uint64_t enter(cs_comm *c, cs_watch_kind kind, int64_t bytes, cs_dtype t, int root, const int64_t *counts)
{
    uint64_t number = cs_watch_begin(c, kind, bytes, t, root, 0);
    cs_watch_inside(c, number);
    if (c->watch->check)
        cs_same_check_op(c, number, hash_counts(counts, c->size));
    return number;
}

static void leave(cs_comm *c, uint64_t number)
{
    cs_watch_done(c, number);
    cs_watch_inside(c, 0);
}

cs_status cs_comm_split(cs_comm *parent, int color, int key, cs_comm **out_create, cs_error *err)
{
    CS_ASSERT(color >= 0);
    *out_create = NULL;
    if (parent->size == 1)
        return parent->ops->split(parent, color, key, out_create, err);
    uint64_t number = enter(parent, CS_WATCH_SPLIT, 0, CS_U8, -1, NULL);
    cs_status s = parent->ops->split(parent, color, key, out_create, err);
    leave(parent, number);
    if (s != CS_OK)
        return s;
    parent->n_splits++;
    (*out_create)->watch = parent->watch;
    if ((*out_create)->size > 1)
        cs_watch_join(*out_create, parent);
    return CS_OK;
}

void cs_comm_destroy(cs_comm *c)
{
    if (!c)
        return;
    if (c->size > 1)
        cs_watch_leave(c);
    c->ops->destroy(c);
}

void cs_comm_barrier(cs_comm *c)
{
    if (c->size == 1)
        return;
    uint64_t number = enter(c, CS_WATCH_BARRIER, 0, CS_U8, -1, NULL);
    c->ops->barrier(c);
    leave(c, number);
}

void cs_comm_broadcast(cs_comm *c, void *buf, int64_t bytes, int root)
{
    CS_ASSERT(bytes >= 0 && root >= 0 && root < c->size);
    if (c->size == 1 || bytes == 0)
        return;
    uint64_t number = enter(c, CS_WATCH_BROADCAST, bytes, CS_U8, root, NULL);
    c->ops->broadcast(c, buf, bytes, root);
    leave(c, number);
}

static bool summable(cs_dtype t)
{
    return t == CS_F64 || t == CS_F32 || t == CS_BF16 || t == CS_F16 || t == CS_I64 || t == CS_I32 || t == CS_U8;
}

static int64_t bytes_of(int64_t n, cs_dtype t)
{
    return n * (int64_t)cs_dtype_size(t);
}

void cs_comm_allreduce_sum(cs_comm *c, void *buf, int64_t n, cs_dtype t)
{
    CS_ASSERT(n >= 0 && summable(t));
    if (c->size == 1 || n == 0)
        return;
    uint64_t number = enter(c, CS_WATCH_SUM, bytes_of(n, t), t, -1, NULL);
    c->ops->allreduce_sum(c, buf, n, t);
    leave(c, number);
}

void cs_comm_allreduce_max(cs_comm *c, void *buf, int64_t n, cs_dtype t)
{
    CS_ASSERT(n >= 0 && (t == CS_F64 || t == CS_I64));
    if (c->size == 1 || n == 0)
        return;
    uint64_t number = enter(c, CS_WATCH_MAX, bytes_of(n, t), t, -1, NULL);
    c->ops->allreduce_max(c, buf, n, t);
    leave(c, number);
}

static int64_t total(const int64_t *counts, int size)
{
    int64_t n = 0;
    for (int r = 0; r < size; r++) {
        CS_ASSERT(counts[r] >= 0);
        n += counts[r];
    }
    return n;
}

void cs_comm_reduce_scatter_sum_v(cs_comm *c, const void *in, void *out, const int64_t *counts, cs_dtype t)
{
    CS_ASSERT(summable(t));
    int64_t n = total(counts, c->size);
    if (n == 0)
        return;
    if (c->size > 1) {
        uint64_t number = enter(c, CS_WATCH_SCATTER, bytes_of(n, t), t, -1, counts);
        c->ops->reduce_scatter(c, in, out, counts, t);
        leave(c, number);
    } else if (in != out) {
        memcpy(out, in, (size_t)n * cs_dtype_size(t));
    }
}

void cs_comm_allgather_v(cs_comm *c, void *buf, const int64_t *counts, cs_dtype t)
{
    int64_t n = total(counts, c->size);
    if (c->size == 1 || n == 0)
        return;
    uint64_t number = enter(c, CS_WATCH_GATHER, bytes_of(n, t), t, -1, counts);
    c->ops->allgather(c, buf, counts, t);
    leave(c, number);
}

void cs_comm_send_begin(cs_comm *c, const void *buf, int64_t bytes, int to, int tag, cs_xfer *x)
{
    CS_ASSERT(bytes >= 0 && to >= 0 && to < c->size && to != c->rank && tag >= 0 && tag <= CS_TAG_MAX);
    *x = (cs_xfer){0};
    uint64_t number = cs_watch_begin(c, CS_WATCH_SEND, bytes, CS_U8, to, tag);
    c->ops->send(c, buf, bytes, to, tag);
    cs_watch_done(c, number);
}

void cs_comm_recv_begin(cs_comm *c, void *buf, int64_t bytes, int from, int tag, cs_xfer *x)
{
    CS_ASSERT(bytes >= 0 && from >= 0 && from < c->size && from != c->rank && tag >= 0 && tag <= CS_TAG_MAX);
    *x = (cs_xfer){.comm = c, .peer = from, .tag = tag, .bytes = bytes, .buf = buf};
    x->number = cs_watch_begin(c, CS_WATCH_RECV, bytes, CS_U8, from, tag);
    c->ops->recv(x);
}

void cs_comm_wait(cs_xfer *x)
{
    if (x->comm) {
        cs_watch_inside(x->comm, x->number);
        x->comm->ops->wait(x);
        leave(x->comm, x->number);
    }
    *x = (cs_xfer){0};
}

static void begin(cs_comm *c, cs_xfer *x, const cs_comm_args *a)
{
    static const cs_watch_kind kinds[] = {
        [CS_XFER_SUM] = CS_WATCH_SUM_BEGUN, [CS_XFER_SCATTER] = CS_WATCH_SCATTER_BEGUN, [CS_XFER_GATHER] = CS_WATCH_GATHER_BEGUN};
    *x = (cs_xfer){0};
    if (c->size == 1 || a->n == 0)
        return;
    *x = (cs_xfer){.comm = c, .kind = a->kind};
    x->number = enter(c, kinds[a->kind], bytes_of(a->n, a->t), a->t, -1, a->counts);
    c->ops->begin(x, a);
    cs_watch_inside(c, 0);
}

void cs_comm_allreduce_sum_begin(cs_comm *c, void *buf, int64_t n, cs_dtype t, cs_xfer *x)
{
    CS_ASSERT(n >= 0 && summable(t));
    begin(c, x, &(cs_comm_args){.kind = CS_XFER_SUM, .in = buf, .out = buf, .n = n, .t = t});
}

void cs_comm_reduce_scatter_sum_begin(cs_comm *c, const void *in, void *out, const int64_t *counts, cs_dtype t, cs_xfer *x)
{
    CS_ASSERT(summable(t));
    int64_t n = total(counts, c->size);
    if (c->size == 1 && n > 0 && in != out)
        memcpy(out, in, (size_t)n * cs_dtype_size(t));
    begin(c, x, &(cs_comm_args){.kind = CS_XFER_SCATTER, .in = in, .out = out, .n = n, .counts = counts, .t = t});
}

void cs_comm_allgather_begin(cs_comm *c, void *buf, const int64_t *counts, cs_dtype t, cs_xfer *x)
{
    begin(c, x, &(cs_comm_args){.kind = CS_XFER_GATHER, .in = buf, .out = buf, .n = total(counts, c->size), .counts = counts, .t = t});
}

void cs_comm_progress(cs_comm *c)
{
    if (c->size > 1)
        c->ops->progress(c);
}

static void *alloc(cs_comm *c, int64_t bytes, bool sparse)
{
    CS_ASSERT(bytes >= 0);
    if (c->size == 1)
        return c->ops->alloc(c, bytes, sparse);
    uint64_t number = enter(c, CS_WATCH_ALLOC, bytes, CS_U8, -1, NULL);
    void *p = c->ops->alloc(c, bytes, sparse);
    leave(c, number);
    return p;
}

void *cs_comm_alloc(cs_comm *c, int64_t bytes)
{
    return alloc(c, bytes, false);
}

void *cs_comm_alloc_sparse(cs_comm *c, int64_t bytes)
{
    return alloc(c, bytes, true);
}

void cs_comm_free(cs_comm *c, void *p)
{
    if (!p)
        return;
    uint64_t number = c->size > 1 ? enter(c, CS_WATCH_FREE, 0, CS_U8, -1, NULL) : 0;
    c->ops->free(c, p);
    if (c->size > 1)
        leave(c, number);
}

cs_status cs_agree_from(const char *site, cs_comm *c, cs_status status, cs_error *err)
{
    if (c->size == 1)
        return status;
    c->site = site;
    int64_t worst[2] = {status, status == CS_OK ? 0 : c->size - c->rank}; /* the second is largest on the first failing rank */
    cs_comm_allreduce_max(c, worst, 2, CS_I64);
    if (worst[0] == CS_OK)
        return CS_OK;
    int first = c->size - (int)worst[1];
    cs_error local = {0}, *e = err ? err : &local;
    if (first == c->rank) {
        if (e->msg[0] == '\0')
            cs_fail(e, status, "failed without a message");
        cs_error_prefix(e, "rank %d", first);
    }
    cs_comm_broadcast(c, e->msg, sizeof e->msg, first);
    e->status = (cs_status)worst[0];
    return e->status;
}

int cs_comm_split_members(const cs_split_entry *entry, int size, int me, int *member)
{
    int n = 0;
    for (int r = 0; r < size; r++) {
        if (entry[r].color != entry[me].color)
            continue;
        int at = n++;
        for (; at > 0 && entry[member[at - 1]].key > entry[r].key; at--)
            member[at] = member[at - 1];
        member[at] = r;
    }
    return n;
}

int64_t cs_comm_cut(int64_t n, int size, int r, cs_dtype t)
{
    int64_t per_line = 64 / (int64_t)cs_dtype_size(t), lines = (n + per_line - 1) / per_line;
    int64_t at = (lines / size * r + lines % size * r / size) * per_line;
    return at < n ? at : n;
}

void cs_comm_wrong_length(const cs_xfer *x, int64_t got)
{
    cs_error err;
    if (got >= 0)
        cs_fail(&err, CS_E_INTERNAL, "message of tag %d: rank %d of the group sent %lld bytes, rank %d expects %lld; please report this", x->tag,
                x->peer, (long long)got, x->comm->rank, (long long)x->bytes);
    else
        cs_fail(&err, CS_E_INTERNAL, "message of tag %d: rank %d of the group sent more than the %lld bytes that rank %d expects; please report this",
                x->tag, x->peer, (long long)x->bytes, x->comm->rank);
    cs_error_print(&err);
    fflush(NULL);
    _exit(CS_E_INTERNAL);
}

