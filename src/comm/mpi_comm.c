/* Ranks of an MPI job. Sums are never left to the library: parts are exchanged point to point and added here
 * in rank order. Ranks of one host get their cs_comm_alloc buffers in memory that all of them map, and reduce in place. */
#include "comm/launch.h"

#ifdef CS_HAVE_MPI

#include "comm/mpi_comm.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "comm/sum.h"

#include <stdio.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20, DIRECT_BYTES = 64 << 10, PAGE_BYTES = 4096, TAG_COLLECTIVE = 2 };

static cs_mpi *own(cs_comm *c)
{
    return (cs_mpi *)c;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void mpi_barrier(cs_comm *c)
{
    MPI_Request all;
    MPI_Ibarrier(own(c)->comm, &all);
    cs_mpi_wait_all(own(c), 1, &all);
}

static void mpi_broadcast(cs_comm *c, void *buf, int64_t bytes, int root)
{
    for (int64_t at = 0; at < bytes; at += CS_MPI_MESSAGE_BYTES) {
        MPI_Request all;
        MPI_Ibcast((char *)buf + at, (int)smaller(bytes - at, CS_MPI_MESSAGE_BYTES), MPI_BYTE, root, own(c)->comm, &all);
        cs_mpi_wait_all(own(c), 1, &all);
    }
}

bool cs_mpi_may_share(const cs_mpi *c, int64_t bytes)
{
    return c->one_host && bytes >= DIRECT_BYTES;
}

void cs_mpi_place_of(const cs_mpi *c, const void *buf, int64_t bytes, int64_t place[2])
{
    place[0] = place[1] = 0;
    for (const cs_mpi_segment *s = c->segments; s; s = s->next) {
        const char *p = buf;
        if (s->shared && p >= s->mine && p + bytes <= s->mine + s->bytes) {
            place[0] = s->id;
            place[1] = p - s->mine;
        }
    }
}

bool cs_mpi_find_places(const cs_mpi *c, const int64_t *place, void **address)
{
    for (int r = 0; r < c->base.size; r++) {
        cs_mpi_segment *s = c->segments;
        while (s && s->id != place[2 * r])
            s = s->next;
        if (!s || !s->shared)
            return false;
        address[r] = s->peer[r] + place[2 * r + 1];
    }
    return true;
}

/* All ranks' buffers are in memory that this rank maps: fills c->out with their addresses. Collective. */
static bool find_shared(cs_mpi *c, const void *buf, int64_t bytes)
{
    if (!cs_mpi_may_share(c, bytes))
        return false;
    int64_t here[2];
    MPI_Request all;
    cs_mpi_place_of(c, buf, bytes, here);
    atomic_thread_fence(memory_order_seq_cst);
    MPI_Iallgather(here, 2, MPI_INT64_T, c->where, 2, MPI_INT64_T, c->comm, &all);
    cs_mpi_wait_all(c, 1, &all);
    atomic_thread_fence(memory_order_seq_cst);
    return cs_mpi_find_places(c, c->where, c->out);
}

static void shared_barrier(cs_mpi *c)
{
    atomic_thread_fence(memory_order_seq_cst);
    mpi_barrier(&c->base);
    atomic_thread_fence(memory_order_seq_cst);
}

static int64_t start_of(const int64_t *counts, int rank)
{
    int64_t at = 0;
    for (int r = 0; r < rank; r++)
        at += counts[r];
    return at;
}

/* Bytes of a block of `n` bytes in round `k`. */
static int part(int64_t n, int64_t k)
{
    int64_t left = n - k * CHUNK_BYTES;
    return (int)(left < 0 ? 0 : smaller(left, CHUNK_BYTES));
}

static int64_t rounds(const int64_t *counts, int size, size_t width)
{
    int64_t most = 0;
    for (int r = 0; r < size; r++)
        most = counts[r] > most ? counts[r] : most;
    return (most * (int64_t)width + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static void mpi_reduce_scatter(cs_comm *comm, const void *in, void *out, const int64_t *counts, cs_dtype t)
{
    cs_mpi *c = own(comm);
    int64_t width = (int64_t)cs_dtype_size(t), mine = counts[comm->rank] * width, lo = start_of(counts, comm->rank) * width;
    if (find_shared(c, in, start_of(counts, comm->size) * width)) {
        for (int r = 0; r < comm->size; r++)
            c->in[r] = (char *)c->out[r] + lo;
        cs_sum_ordered(&out, 1, c->in, comm->size, counts[comm->rank], t, (size_t)(start_of(counts, comm->size) * width));
        shared_barrier(c);
        return;
    }
    int64_t n_rounds = rounds(counts, comm->size, (size_t)width);
    for (int64_t k = 0; k < n_rounds; k++) {
        int n = 0;
        int64_t at = 0;
        for (int r = 0; r < comm->size; r++) {
            int64_t block = counts[r] * width;
            char *stage = c->stage + (size_t)r * CHUNK_BYTES;
            if (r == comm->rank) {
                c->in[r] = (const char *)in + lo + k * CHUNK_BYTES;
            } else {
                c->in[r] = stage;
                if (part(mine, k) > 0)
                    MPI_Irecv(stage, part(mine, k), MPI_BYTE, r, TAG_COLLECTIVE, c->comm, &c->request[n++]);
                if (part(block, k) > 0)
                    MPI_Isend((const char *)in + at + k * CHUNK_BYTES, part(block, k), MPI_BYTE, r, TAG_COLLECTIVE, c->comm, &c->request[n++]);
            }
            at += block;
        }
        cs_mpi_wait_all(c, n, c->request);
        void *to = (char *)out + k * CHUNK_BYTES;
        if (part(mine, k) > 0)
            cs_sum_ordered(&to, 1, c->in, comm->size, part(mine, k) / width, t, 0);
    }
}

static void mpi_allgather(cs_comm *comm, void *buf, const int64_t *counts, cs_dtype t)
{
    cs_mpi *c = own(comm);
    int64_t width = (int64_t)cs_dtype_size(t), mine = counts[comm->rank] * width, lo = start_of(counts, comm->rank) * width;
    if (find_shared(c, buf, start_of(counts, comm->size) * width)) {
        for (int r = 0; r < comm->size; r++)
            if (r != comm->rank)
                cs_copy_shared((char *)c->out[r] + lo, (char *)buf + lo, (size_t)mine, (size_t)(start_of(counts, comm->size) * width * comm->size));
        shared_barrier(c);
        return;
    }
    int64_t n_rounds = rounds(counts, comm->size, (size_t)width);
    for (int64_t k = 0; k < n_rounds; k++) {
        int n = 0;
        int64_t at = 0;
        for (int r = 0; r < comm->size; r++) {
            int64_t block = counts[r] * width;
            if (r != comm->rank && part(block, k) > 0)
                MPI_Irecv((char *)buf + at + k * CHUNK_BYTES, part(block, k), MPI_BYTE, r, TAG_COLLECTIVE, c->comm, &c->request[n++]);
            if (r != comm->rank && part(mine, k) > 0)
                MPI_Isend((char *)buf + lo + k * CHUNK_BYTES, part(mine, k), MPI_BYTE, r, TAG_COLLECTIVE, c->comm, &c->request[n++]);
            at += block;
        }
        cs_mpi_wait_all(c, n, c->request);
    }
}

static void mpi_allreduce_sum(cs_comm *comm, void *buf, int64_t n, cs_dtype t)
{
    cs_mpi *c = own(comm);
    size_t width = cs_dtype_size(t);
    if (find_shared(c, buf, n * (int64_t)width)) {
        int64_t lo = cs_comm_cut(n, comm->size, comm->rank, t), hi = cs_comm_cut(n, comm->size, comm->rank + 1, t);
        for (int r = 0; r < comm->size; r++) {
            c->out[r] = (char *)c->out[r] + (size_t)lo * width;
            c->in[r] = c->out[r];
        }
        cs_sum_ordered(c->out, comm->size, c->in, comm->size, hi - lo, t, (size_t)n * width * (size_t)comm->size);
        shared_barrier(c);
        return;
    }
    for (int r = 0; r < comm->size; r++)
        c->counts[r] = cs_comm_cut(n, comm->size, r + 1, t) - cs_comm_cut(n, comm->size, r, t);
    void *mine = (char *)buf + (size_t)cs_comm_cut(n, comm->size, comm->rank, t) * width;
    mpi_reduce_scatter(comm, buf, mine, c->counts, t);
    mpi_allgather(comm, buf, c->counts, t);
}

static void mpi_allreduce_max(cs_comm *comm, void *buf, int64_t n, cs_dtype t)
{
    cs_mpi *c = own(comm);
    int64_t width = (int64_t)cs_dtype_size(t), bytes = n * width;
    for (int r = 0; r < comm->size; r++)
        c->in[r] = c->stage + (size_t)r * CHUNK_BYTES;
    for (int64_t k = 0; k * CHUNK_BYTES < bytes; k++) {
        char *at = (char *)buf + k * CHUNK_BYTES;
        memcpy((char *)c->in[comm->rank], at, (size_t)part(bytes, k));
        MPI_Request all;
        MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, c->stage, CHUNK_BYTES, MPI_BYTE, c->comm, &all);
        cs_mpi_wait_all(c, 1, &all);
        cs_max_ordered(at, c->in, comm->size, part(bytes, k) / width, t);
    }
}

bool cs_mpi_map(MPI_Comm comm, int size, size_t bytes, MPI_Win *win, char **address)
{
    void *base = NULL;
    MPI_Errhandler old;
    MPI_Comm_get_errhandler(comm, &old);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    MPI_Info info;
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "true");
    int bad = MPI_Win_allocate_shared((MPI_Aint)(bytes + PAGE_BYTES), 1, info, comm, &base, win) != MPI_SUCCESS, any = 0;
    MPI_Info_free(&info);
    MPI_Comm_set_errhandler(comm, old);
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, comm);
    if (any) {
        if (!bad)
            MPI_Win_free(win);
        return false;
    }
    for (int r = 0; r < size; r++) { /* mappings start at pages, so that all processes round a buffer's start to the same byte */
        MPI_Aint given;
        int unit;
        void *start;
        MPI_Win_shared_query(*win, r, &given, &unit, &start);
        address[r] = (char *)start + (-(uintptr_t)start & (PAGE_BYTES - 1));
    }
    MPI_Win_lock_all(MPI_MODE_NOCHECK, *win);
    return true;
}

/* What follows blocks inside the library until all ranks are there, so they meet before in a wait that is watched. */
static void gather_ranks(cs_mpi *c)
{
    if (c->base.size > 1)
        mpi_barrier(&c->base);
}

static void *mpi_alloc(cs_comm *comm, int64_t bytes, bool sparse)
{
    cs_mpi *c = own(comm);
    gather_ranks(c);
    cs_mpi_segment *s = cs_calloc(1, sizeof *s + (size_t)comm->size * sizeof(char *));
    bool fits = sparse || (uint64_t)bytes / (uint64_t)sysconf(_SC_PAGESIZE) <= (uint64_t)sysconf(_SC_PHYS_PAGES);
    int bad = !s || !fits || cs_failpoint_mem(), any = 0;
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, c->comm);
    if (any) {
        cs_free(s);
        return NULL;
    }
    s->bytes = bytes ? (size_t)bytes : 1;
    s->id = ++c->next_id;
    s->shared = comm->size > 1 && cs_mpi_may_share(c, bytes) && cs_mpi_map(c->comm, comm->size, s->bytes, &s->win, s->peer);
    if (s->shared)
        s->mine = s->peer[comm->rank];
    else
        s->mine = sparse ? cs_alloc_sparse(s->bytes) : cs_alloc_aligned(s->bytes);
    bad = !s->mine;
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, c->comm);
    if (any) {
        cs_free(s->mine);
        cs_free(s);
        return NULL;
    }
    s->held = s->shared && !sparse ? bytes : 0;
    cs_mem_hold(s->held);
    if (s->shared && sparse)
        cs_mem_clear(s->mine, s->bytes);
    else if (!sparse)
        memset(s->mine, 0, s->bytes);
    s->next = c->segments;
    c->segments = s;
    MPI_Barrier(c->comm); /* nobody writes into a peer's memory before it is cleared */
    return s->mine;
}

static void drop(cs_mpi_segment *s)
{
    cs_mem_hold(-s->held);
    if (s->shared) {
        MPI_Win_unlock_all(s->win);
        MPI_Win_free(&s->win);
    } else {
        cs_free(s->mine);
    }
    cs_free(s);
}

static void mpi_free(cs_comm *comm, void *p)
{
    cs_mpi_segment **link = &own(comm)->segments;
    while (*link && (*link)->mine != p)
        link = &(*link)->next;
    CS_ASSERT(*link != NULL);
    cs_mpi_segment *s = *link;
    *link = s->next;
    gather_ranks(own(comm));
    drop(s);
}

static void mpi_destroy(cs_comm *comm)
{
    cs_mpi *c = own(comm);
    while (c->segments) {
        cs_mpi_segment *next = c->segments->next;
        drop(c->segments);
        c->segments = next;
    }
    if (c->is_world) {
        cs_mpi_mail_release(c->self);
        cs_mpi_watch_release(c->self);
        cs_free(c->self);
    }
    MPI_Comm_free(&c->mail);
    MPI_Comm_free(&c->comm);
    cs_free(c->stage);
    cs_free(c);
}

static void find_world_ranks(cs_mpi *c)
{
    MPI_Group world, group;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Comm_group(c->comm, &group);
    for (int r = 0; r < c->base.size; r++)
        MPI_Group_translate_ranks(group, 1, &r, world, &c->world_rank[r]);
    MPI_Group_free(&world);
    MPI_Group_free(&group);
}

/* Takes over `comm`; self NULL: it is the world. NULL (on all its ranks) when one is out of memory. Collective over comm. */
static cs_mpi *wrap(MPI_Comm comm, cs_mpi_rank *self, int local_size, const cs_comm_ops *ops)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    size_t n = (size_t)size;
    cs_mpi *c = cs_calloc(1, sizeof *c + n * (2 * sizeof(MPI_Request) + 2 * sizeof(void *) + 3 * sizeof(int64_t) + sizeof(int)));
    char *stage = c ? cs_alloc_aligned(n * CHUNK_BYTES) : NULL;
    cs_mpi_rank *mine = self || !stage ? NULL : cs_calloc(1, sizeof *mine);
    int bad = !stage || (!self && !mine), any = 0;
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, comm);
    if (any) {
        cs_free(mine);
        cs_free(stage);
        cs_free(c);
        MPI_Comm_free(&comm);
        return NULL;
    }
    c->base = (cs_comm){.ops = ops, .rank = rank, .size = size, .local_size = local_size};
    c->self = self ? self : mine;
    c->is_world = !self;
    c->comm = comm;
    MPI_Comm_dup(comm, &c->mail);
    MPI_Comm_set_errhandler(c->mail, MPI_ERRORS_RETURN);
    c->stage = stage;
    c->in = (const void **)(c + 1);
    c->out = (void **)(c->in + n);
    c->counts = (int64_t *)(c->out + n);
    c->where = c->counts + n;
    c->request = (MPI_Request *)(c->where + 2 * n);
    c->world_rank = (int *)(c->request + 2 * n);
    find_world_ranks(c);
    c->base.member = c->world_rank;
    MPI_Comm host;
    int on_host;
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host);
    MPI_Comm_size(host, &on_host);
    MPI_Comm_free(&host);
    int apart = on_host != size, anywhere = 0;
    MPI_Allreduce(&apart, &anywhere, 1, MPI_INT, MPI_MAX, comm);
    c->one_host = !anywhere;
    if (local_size == 0)
        c->base.local_size = on_host;
    return c;
}

static cs_status mpi_split(cs_comm *parent, int color, int key, cs_comm **out, cs_error *err)
{
    MPI_Comm group;
    gather_ranks(own(parent));
    MPI_Comm_split(own(parent)->comm, color, key, &group);
    cs_mpi *c = wrap(group, own(parent)->self, parent->local_size, parent->ops);
    int bad = !c, any = 0;
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, own(parent)->comm);
    if (any) {
        if (c)
            mpi_destroy(&c->base);
        return cs_fail_nomem(err, (size_t)parent->size * CHUNK_BYTES, "a group of ranks");
    }
    *out = &c->base;
    return CS_OK;
}

static const cs_comm_ops mpi_ops = {
    .name = "mpi",
    .barrier = mpi_barrier,
    .broadcast = mpi_broadcast,
    .allreduce_sum = mpi_allreduce_sum,
    .allreduce_max = mpi_allreduce_max,
    .reduce_scatter = mpi_reduce_scatter,
    .allgather = mpi_allgather,
    .send = cs_mpi_send,
    .recv = cs_mpi_recv,
    .begin = cs_mpi_begin,
    .wait = cs_mpi_wait,
    .progress = cs_mpi_progress,
    .alloc = mpi_alloc,
    .free = mpi_free,
    .split = mpi_split,
    .destroy = mpi_destroy,
};

/* Ends the job: together when all ranks come here, else by force, because the others may wait for this one in some collective. */
static void finish(MPI_Comm exit_comm, int code)
{
    MPI_Request all_here;
    int done = 0;
    double until = cs_clock_now() + 1.5;
    fflush(NULL);
    MPI_Ibarrier(exit_comm, &all_here);
    while (!done) {
        MPI_Test(&all_here, &done, MPI_STATUS_IGNORE);
        if (!done && code != 0 && cs_clock_now() > until)
            MPI_Abort(exit_comm, code);
        if (!done)
            usleep(1000);
    }
    MPI_Comm_free(&exit_comm);
    MPI_Finalize();
}

#define TEXT_OF(x) #x
#define NUMBER_TEXT(x) TEXT_OF(x)
const char *cs_mpi_name(void)
{
#if defined OPEN_MPI
    return "Open MPI " NUMBER_TEXT(OMPI_MAJOR_VERSION) "." NUMBER_TEXT(OMPI_MINOR_VERSION) "." NUMBER_TEXT(OMPI_RELEASE_VERSION);
#elif defined MPICH_VERSION
    return "MPICH " MPICH_VERSION;
#else
    return "MPI " NUMBER_TEXT(MPI_VERSION) "." NUMBER_TEXT(MPI_SUBVERSION);
#endif
}

/* May this job run as it is? CS_E_USAGE. */
static cs_status check_job(const cs_launcher *by, int64_t nproc, int size, int thread_level, cs_error *err)
{
    int *tag_max = NULL, known = 0;
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &tag_max, &known);
    if (size == 1 && by->size > 1)
        return cs_fail(err, CS_E_USAGE, "started as one of %d processes by %s, but the library that this program is built with (%s) sees one rank "
                       "only; start it with the mpirun of that library, or with --nproc %d", by->size, by->name, cs_mpi_name(), by->size);
    if (nproc > 1 && nproc != size)
        return cs_fail(err, CS_E_USAGE, "--nproc %lld, but the MPI job has %d ranks; leave --nproc away under mpirun", (long long)nproc, size);
    if (thread_level < MPI_THREAD_FUNNELED)
        return cs_fail(err, CS_E_USAGE, "%s gives thread level %d, but MPI_THREAD_FUNNELED is needed; use a build of it with threads", cs_mpi_name(),
                       thread_level);
    if (known && *tag_max < CS_TAG_MAX)
        return cs_fail(err, CS_E_USAGE, "%s has message tags up to %d, but %d are needed; choose another transport of it", cs_mpi_name(), *tag_max,
                       CS_TAG_MAX);
    return CS_OK;
}

int cs_mpi_launch(const cs_launcher *by, int64_t nproc, cs_rank_main rank_main, void *arg)
{
    int level, size, rank, code;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm exit_comm, world_comm;
    MPI_Comm_dup(MPI_COMM_WORLD, &exit_comm);
    MPI_Comm_dup(MPI_COMM_WORLD, &world_comm);
    cs_error err;
    cs_mpi *world = wrap(world_comm, NULL, 0, &mpi_ops);
    if (!world)
        code = cs_fail_nomem(&err, (size_t)size * CHUNK_BYTES, "the ranks of this run");
    else
        code = check_job(by, nproc, size, level, &err);
    if (code == CS_OK)
        code = cs_mpi_watch_create(world, &err);
    bool apart = size == 1 && by->rank > 0; /* the launcher's first process speaks for all */
    if (code != CS_OK && rank == 0 && !apart)
        cs_error_print(&err);
    if (code != CS_OK && apart)
        usleep(1500000); /* the launcher ends all when one has failed */
    if (code == CS_OK)
        code = rank_main(&world->base, arg);
    if (world && code == CS_OK)
        mpi_destroy(&world->base);
    finish(exit_comm, code);
    return code;
}

#endif
