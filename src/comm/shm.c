/* Collectives over shared memory. Buffers from cs_comm_alloc are read and written in place by all ranks; any others pass through
 * bounded stages, block by block. Every step checks that all ranks are in the same collective: a rank that is not is named. */
#include "comm/shm.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "comm/sum.h"

#include <stdio.h>
#include <unistd.h>

enum op { OP_BARRIER = 1, OP_BROADCAST, OP_SUM, OP_MAX, OP_REDUCE_SCATTER, OP_ALLGATHER, OP_ALLOC, OP_FREE, OP_SPLIT };
static const char *const op_name[] = {"",    "barrier", "broadcast", "all-reduce (sum)", "all-reduce (max)", "reduce-scatter", "all-gather",
                                      "allocation", "free", "split"};

static cs_shm *own(cs_comm *c)
{
    return (cs_shm *)c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The stage of this rank for the coming step. */
static char *next_stage(cs_shm *c)
{
    return cs_shm_stage(c, c->turn ^ 1, c->base.rank);
}

/* One step: says what this rank does and waits for the others. Afterwards the half `turn` of posts and stages may be read. */
static const cs_shm_post *meet(cs_shm *c, enum op op, const void *ptr, int64_t bytes, int64_t extra)
{
    c->turn ^= 1;
    cs_shm_post *post = cs_shm_posts(c, c->turn);
    post[c->base.rank] = (cs_shm_post){.op = op, .bytes = bytes, .extra = extra, .ptr = ptr};
    cs_shm_arrive(c);
    for (int r = 0; r < c->base.size; r++) {
        if (post[r].op == op && post[r].bytes == bytes && post[r].extra == extra)
            continue;
        cs_shm_disagree(c, op_name[op], bytes, r, op_name[post[r].op], post[r].bytes);
    }
    return post;
}

static bool shared(const cs_shm *c, const cs_shm_post *post, size_t bytes)
{
    const char *lo = (const char *)c->region, *hi = lo + c->region->bytes;
    for (int r = 0; r < c->base.size; r++) {
        const char *p = post[r].ptr;
        if (p < lo || p >= hi || bytes > (size_t)(hi - p))
            return false;
    }
    return true;
}

/* c->in[r] = stage of rank r in the current half. */
static void take_stages(cs_shm *c)
{
    for (int r = 0; r < c->base.size; r++)
        c->in[r] = cs_shm_stage(c, c->turn, r);
}

static void shm_barrier(cs_comm *comm)
{
    meet(own(comm), OP_BARRIER, NULL, 0, 0);
}

static void shm_broadcast(cs_comm *comm, void *buf, int64_t bytes, int root)
{
    cs_shm *c = own(comm);
    for (size_t at = 0, n = (size_t)bytes, len; at < n; at += len) {
        len = smaller(n - at, CS_SHM_STAGE_BYTES);
        if (comm->rank == root)
            memcpy(next_stage(c), (char *)buf + at, len);
        meet(c, OP_BROADCAST, NULL, bytes, root);
        if (comm->rank != root)
            memcpy((char *)buf + at, cs_shm_stage(c, c->turn, root), len);
    }
}

/* Every rank sums its part over all buffers and writes it into all of them. */
static void sum_in_place(cs_shm *c, const cs_shm_post *post, int64_t n, cs_dtype t)
{
    int size = c->base.size;
    int64_t lo = cs_comm_cut(n, size, c->base.rank, t), hi = cs_comm_cut(n, size, c->base.rank + 1, t);
    for (int r = 0; r < size; r++) {
        c->out[r] = (char *)post[r].ptr + (size_t)lo * cs_dtype_size(t);
        c->in[r] = c->out[r];
    }
    cs_sum_ordered(c->out, size, c->in, size, hi - lo, t, (size_t)n * cs_dtype_size(t) * (size_t)size);
    meet(c, OP_SUM, NULL, 0, 0);
}

static void shm_allreduce_sum(cs_comm *comm, void *buf, int64_t n, cs_dtype t)
{
    cs_shm *c = own(comm);
    size_t width = cs_dtype_size(t), bytes = (size_t)n * width;
    if (bytes > CS_SHM_STAGE_BYTES) {
        const cs_shm_post *post = meet(c, OP_SUM, buf, (int64_t)bytes, t);
        if (shared(c, post, bytes)) {
            sum_in_place(c, post, n, t);
            return;
        }
    }
    for (size_t at = 0, len; at < bytes; at += len) {
        len = smaller(bytes - at, CS_SHM_STAGE_BYTES);
        void *part = (char *)buf + at;
        memcpy(next_stage(c), part, len);
        meet(c, OP_SUM, NULL, (int64_t)len, t);
        take_stages(c);
        cs_sum_ordered(&part, 1, c->in, comm->size, (int64_t)(len / width), t, 0);
    }
}

static void shm_allreduce_max(cs_comm *comm, void *buf, int64_t n, cs_dtype t)
{
    cs_shm *c = own(comm);
    size_t width = cs_dtype_size(t), bytes = (size_t)n * width;
    for (size_t at = 0, len; at < bytes; at += len) {
        len = smaller(bytes - at, CS_SHM_STAGE_BYTES);
        void *part = (char *)buf + at;
        memcpy(next_stage(c), part, len);
        meet(c, OP_MAX, NULL, (int64_t)len, t);
        take_stages(c);
        cs_max_ordered(part, c->in, comm->size, (int64_t)(len / width), t);
    }
}

/* First element and number of all ranks' elements together. */
static int64_t start_of(const int64_t *counts, int rank)
{
    int64_t at = 0;
    for (int r = 0; r < rank; r++)
        at += counts[r];
    return at;
}

static void shm_reduce_scatter(cs_comm *comm, const void *in, void *out, const int64_t *counts, cs_dtype t)
{
    cs_shm *c = own(comm);
    size_t width = cs_dtype_size(t), bytes = (size_t)start_of(counts, comm->size) * width;
    size_t lo = (size_t)start_of(counts, comm->rank) * width, hi = lo + (size_t)counts[comm->rank] * width;
    if (bytes > CS_SHM_STAGE_BYTES) {
        const cs_shm_post *post = meet(c, OP_REDUCE_SCATTER, in, (int64_t)bytes, t);
        if (shared(c, post, bytes)) {
            for (int r = 0; r < comm->size; r++)
                c->in[r] = (const char *)post[r].ptr + lo;
            cs_sum_ordered(&out, 1, c->in, comm->size, counts[comm->rank], t, bytes);
            meet(c, OP_REDUCE_SCATTER, NULL, 0, 0); /* nobody's input may change before all have read it */
            return;
        }
    }
    for (size_t at = 0, len; at < bytes; at += len) {
        len = smaller(bytes - at, CS_SHM_STAGE_BYTES);
        memcpy(next_stage(c), (const char *)in + at, len);
        meet(c, OP_REDUCE_SCATTER, NULL, (int64_t)len, t);
        size_t from = at > lo ? at : lo, to = smaller(at + len, hi);
        if (from >= to)
            continue;
        for (int r = 0; r < comm->size; r++)
            c->in[r] = cs_shm_stage(c, c->turn, r) + (from - at);
        void *part = (char *)out + (from - lo);
        cs_sum_ordered(&part, 1, c->in, comm->size, (int64_t)((to - from) / width), t, 0);
    }
}

static void shm_allgather(cs_comm *comm, void *buf, const int64_t *counts, cs_dtype t)
{
    cs_shm *c = own(comm);
    size_t width = cs_dtype_size(t), bytes = (size_t)start_of(counts, comm->size) * width;
    if (bytes > CS_SHM_STAGE_BYTES) {
        const cs_shm_post *post = meet(c, OP_ALLGATHER, buf, (int64_t)bytes, t);
        if (shared(c, post, bytes)) {
            size_t at = (size_t)start_of(counts, comm->rank) * width;
            for (int r = 0; r < comm->size; r++)
                if (r != comm->rank)
                    cs_copy_shared((char *)post[r].ptr + at, (char *)buf + at, (size_t)counts[comm->rank] * width, bytes * (size_t)comm->size);
            meet(c, OP_ALLGATHER, NULL, 0, 0);
            return;
        }
    }
    size_t most = 0;
    for (int r = 0; r < comm->size; r++)
        most = (size_t)counts[r] * width > most ? (size_t)counts[r] * width : most;
    char *mine = (char *)buf + (size_t)start_of(counts, comm->rank) * width;
    for (size_t done = 0; done < most; done += CS_SHM_STAGE_BYTES) {
        size_t my_bytes = (size_t)counts[comm->rank] * width;
        if (done < my_bytes)
            memcpy(next_stage(c), mine + done, smaller(my_bytes - done, CS_SHM_STAGE_BYTES));
        meet(c, OP_ALLGATHER, NULL, (int64_t)done, t);
        size_t at = 0;
        for (int r = 0; r < comm->size; r++) {
            size_t n = (size_t)counts[r] * width;
            if (r != comm->rank && done < n)
                memcpy((char *)buf + at + done, cs_shm_stage(c, c->turn, r), smaller(n - done, CS_SHM_STAGE_BYTES));
            at += n;
        }
    }
}

/* The leader reserves for all; every rank needs a record of its own. Any failure is everybody's. */
/* Pages of the region are taken when they are used. */
static void *shm_alloc(cs_comm *comm, int64_t bytes, bool sparse)
{
    cs_shm *c = own(comm);
    size_t unit = bytes >= (4 << 20) ? (size_t)2 << 20 : 4096, stride, all;
    cs_shm_block *b = cs_calloc(1, sizeof *b);
    if (!cs_align_checked(bytes ? (size_t)bytes : 1, unit, &stride) || !cs_mul_checked(stride, (size_t)comm->size, &all))
        all = SIZE_MAX;
    int64_t answer = !b || cs_failpoint_mem() ? -1 : 0;
    if (answer == 0 && comm->rank == 0) {
        answer = (int64_t)cs_shm_reserve(c->region, all);
        answer = answer ? answer : -1;
    }
    memcpy(next_stage(c), &answer, sizeof answer);
    meet(c, OP_ALLOC, NULL, bytes, 0);
    int64_t start = 0;
    bool bad = false;
    for (int r = 0; r < comm->size; r++) {
        memcpy(&answer, cs_shm_stage(c, c->turn, r), sizeof answer);
        bad |= answer < 0;
        start = r == 0 ? answer : start;
    }
    if (bad) {
        if (comm->rank == 0 && start > 0)
            cs_shm_return(c->region, (size_t)start, all);
        cs_free(b);
        return NULL;
    }
    *b = (cs_shm_block){.next = c->blocks, .mine = (char *)c->region + start + (size_t)comm->rank * stride, .start = (size_t)start, .bytes = all,
                        .held = sparse ? 0 : bytes};
    c->blocks = b;
    cs_mem_hold(b->held);
    return b->mine;
}

static void shm_free(cs_comm *comm, void *p)
{
    cs_shm *c = own(comm);
    cs_shm_block **link = &c->blocks;
    while (*link && (*link)->mine != p)
        link = &(*link)->next;
    CS_ASSERT(*link != NULL);
    cs_shm_block *b = *link;
    *link = b->next;
    cs_mem_hold(-b->held);
    meet(c, OP_FREE, NULL, (int64_t)b->start, 0);
    if (comm->rank == 0)
        cs_shm_return(c->region, b->start, b->bytes);
    cs_free(b);
}

typedef struct split_note { /* what a rank stages in a split: first its choice, then the area that it reserved as a leader */
    cs_split_entry entry;
    int64_t area;
} split_note;

static cs_status shm_split(cs_comm *parent, int color, int key, cs_comm **out, cs_error *err)
{
    cs_shm *p = own(parent), *group = NULL;
    size_t n = (size_t)parent->size;
    cs_split_entry *entry = cs_calloc(n, sizeof *entry + sizeof(int));
    int *member = entry ? (int *)(entry + n) : NULL, size = 0, rank = 0;
    split_note note = {{color, key}, entry ? 0 : -1};
    memcpy(next_stage(p), &note, sizeof note);
    meet(p, OP_SPLIT, NULL, 0, 0);
    if (entry) {
        for (int r = 0; r < parent->size; r++)
            memcpy(&entry[r], cs_shm_stage(p, p->turn, r), sizeof entry[r]);
        size = cs_comm_split_members(entry, parent->size, parent->rank, member);
        while (member[rank] != parent->rank)
            rank++;
        if (rank == 0) {
            size_t area = cs_shm_reserve(p->region, cs_shm_area_bytes(size));
            note.area = area ? (int64_t)area : -1;
        }
    }
    memcpy(next_stage(p), &note, sizeof note);
    meet(p, OP_SPLIT, NULL, 1, 0);
    bool bad = false;
    int64_t area = 0;
    for (int r = 0; r < parent->size; r++) {
        memcpy(&note, cs_shm_stage(p, p->turn, r), sizeof note);
        bad |= note.area < 0;
        area = entry && r == member[0] ? note.area : area;
    }
    if (!bad)
        group = cs_shm_join_group(p, (size_t)area, rank, size, member);
    cs_free(entry);
    int64_t failed = bad || !group;
    shm_allreduce_max(parent, &failed, 1, CS_I64);
    if (failed) { /* areas of a failed split stay reserved: address space only */
        cs_free(group);
        return cs_fail_nomem(err, cs_shm_area_bytes(parent->size), "a group of ranks");
    }
    *out = &group->base;
    return CS_OK;
}

static void shm_destroy(cs_comm *comm)
{
    cs_shm *c = own(comm);
    while (c->blocks) { /* not given back with cs_comm_free: the memory goes with the processes */
        cs_shm_block *next = c->blocks->next;
        cs_free(c->blocks);
        c->blocks = next;
    }
    if (atomic_fetch_sub(&c->area->users, 1) == 1)
        cs_shm_return(c->region, (size_t)((char *)c->area - (char *)c->region), c->area_bytes);
    if (c->is_world)
        cs_free(c->self);
    cs_free(c);
}

const cs_comm_ops cs_shm_ops = {
    .name = "shm",
    .barrier = shm_barrier,
    .broadcast = shm_broadcast,
    .allreduce_sum = shm_allreduce_sum,
    .allreduce_max = shm_allreduce_max,
    .reduce_scatter = shm_reduce_scatter,
    .allgather = shm_allgather,
    .send = cs_shm_send,
    .recv = cs_shm_recv,
    .begin = cs_shm_begin,
    .wait = cs_shm_wait_for,
    .progress = cs_shm_progress,
    .alloc = shm_alloc,
    .free = shm_free,
    .split = shm_split,
    .destroy = shm_destroy,
};
