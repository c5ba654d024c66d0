/* The shared region, waiting, and the barrier of the fork + shared memory back end.
 * A waiter spins for a moment and then sleeps in the kernel, waking now and then to see whether its peers are alive: with more ranks than
 * cores nobody burns the time that a peer needs. The mapping is anonymous memory, not a file: no file system call is made. */
#include "comm/shm.h"

#include "base/failpoint.h"
#include "base/mem.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN = 2000, SPIN_CROWDED = 20, LOOK_MS = 200 };
static const size_t page = 4096, huge_page = (size_t)2 << 20;

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Where the rings, and behind them the area of the world, begin. */
static size_t rings_start(int n_ranks)
{
    return round_up(sizeof(cs_shm_region) + (size_t)n_ranks * sizeof(_Atomic uint32_t), _Alignof(cs_watch_ring));
}

static size_t world_start(int n_ranks)
{
    return round_up(rings_start(n_ranks) + (size_t)n_ranks * sizeof(cs_watch_ring), page);
}

cs_status cs_shm_region_create(int n_ranks, cs_shm_region **out, cs_error *err)
{
    size_t world = world_start(n_ranks); /* every rank finds its area there */
    size_t least = world + cs_shm_area_bytes(n_ranks) + ((size_t)64 << 20);
    size_t bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) + least;
    void *p = MAP_FAILED;
    bool fails = cs_failpoint_mem();
    for (; !fails && p == MAP_FAILED && bytes >= least; bytes = p == MAP_FAILED ? bytes / 2 : bytes) /* address space may be limited */
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return cs_fail_nomem(err, least, "the memory that the ranks share");
    madvise(p, bytes, MADV_HUGEPAGE);
    cs_shm_region *r = p;
    r->bytes = bytes;
    r->n_ranks = n_ranks;
    atomic_store(&r->cursor, world + cs_shm_area_bytes(n_ranks));
    atomic_store(&((cs_shm_area *)((char *)r + world))->users, (uint32_t)n_ranks); /* a rank may leave before another one has come */
    *out = r;
    return CS_OK;
}

void cs_shm_region_destroy(cs_shm_region *region)
{
    if (region)
        munmap(region, region->bytes);
}

size_t cs_shm_reserve(cs_shm_region *region, size_t bytes)
{
    size_t align = bytes >= 2 * huge_page ? huge_page : page, at = atomic_load(&region->cursor), start, end;
    do {
        start = round_up(at, align);
        if (bytes > region->bytes || start > region->bytes - bytes)
            return 0;
        end = round_up(start + bytes, page);
    } while (!atomic_compare_exchange_weak(&region->cursor, &at, end));
    return start;
}

void cs_shm_return(cs_shm_region *region, size_t start, size_t bytes)
{
    char *p = (char *)region + start;
    size_t end = start + round_up(bytes, page);
    if (madvise(p, end - start, MADV_REMOVE) != 0)
        memset(p, 0, end - start);
    atomic_compare_exchange_strong(&region->cursor, &end, start); /* the last one taken: its addresses too */
}

size_t cs_shm_area_bytes(int size)
{
    size_t n = (size_t)size;
    return round_up(sizeof(cs_shm_area) + 2 * n * sizeof(cs_shm_post) + n * n * sizeof(cs_shm_box), page) + 2 * n * CS_SHM_STAGE_BYTES;
}

cs_shm_post *cs_shm_posts(const cs_shm *c, int half)
{
    return (cs_shm_post *)(c->area + 1) + (size_t)half * (size_t)c->base.size;
}

cs_shm_box *cs_shm_box_of(const cs_shm *c, int from, int to)
{
    cs_shm_box *first = (cs_shm_box *)cs_shm_posts(c, 2);
    return first + (size_t)from * (size_t)c->base.size + (size_t)to;
}

char *cs_shm_stage(const cs_shm *c, int half, int rank)
{
    size_t n = (size_t)c->base.size;
    char *end = (char *)c->area + cs_shm_area_bytes(c->base.size);
    return end - 2 * n * CS_SHM_STAGE_BYTES + ((size_t)half * n + (size_t)rank) * CS_SHM_STAGE_BYTES;
}

/* Rank of the first peer whose process has ended, -1 when all live. */
static int first_gone(const cs_shm *c, int peer)
{
    for (int r = 0; r < c->base.size; r++)
        if (r != c->base.rank && (peer < 0 || r == peer) && atomic_load(&c->region->gone[c->world_rank[r]]))
            return r;
    return -1;
}

/* A peer ended without an error of its own while this rank still waits for it. */
static _Noreturn void end_lost(const cs_shm *c, int peer)
{
    if (!atomic_load(&c->region->failed)) {
        cs_error err;
        cs_fail(&err, CS_E_PEER, "rank %d waits for rank %d, which has ended already; start the run again with --resume", c->world_rank[c->base.rank],
                c->world_rank[peer]);
        cs_error_last_words(&err);
    }
    cs_watch_end(c->base.watch, CS_E_PEER);
}

void cs_shm_disagree(const cs_shm *c, const char *mine, int64_t my_bytes, int other, const char *its, int64_t its_bytes)
{
    if (!atomic_exchange(&c->region->said, 1)) {
        cs_error err;
        cs_fail(&err, CS_E_INTERNAL, "ranks disagree: rank %d is in %s of %lld bytes, rank %d in %s of %lld bytes; please report this",
                c->world_rank[c->base.rank], mine, (long long)my_bytes, c->world_rank[other], its, (long long)its_bytes);
        cs_error_print(&err);
    }
    _exit(CS_E_INTERNAL);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void cs_shm_wait(cs_shm *c, cs_shm_word *w, uint32_t old, int peer)
{
    for (int i = 0; i < c->spin; i++) {
        if (atomic_load_explicit(&w->value, memory_order_acquire) != old)
            return;
        relax();
    }
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    cs_watch_wait wait = {0};
    while (atomic_load(&w->value) == old) {
        if (atomic_load(&c->region->failed))
            cs_watch_end(c->base.watch, CS_E_PEER);
        int gone = first_gone(c, peer);
        if (atomic_load(&w->value) != old) /* it was set before the peer ended */
            return;
        if (gone >= 0)
            end_lost(c, gone);
        cs_watch_look(c->base.watch, &wait);
        atomic_fetch_add(&w->sleepers, 1);
        syscall(SYS_futex, &w->value, FUTEX_WAIT, old, &look, NULL, 0); /* returns at once when the value has changed; else wake, time or signal */
        atomic_fetch_sub(&w->sleepers, 1);
    }
}

void cs_shm_set(cs_shm_word *w, uint32_t value)
{
    atomic_store(&w->value, value);
    if (atomic_load(&w->sleepers))
        syscall(SYS_futex, &w->value, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void cs_shm_arrive(cs_shm *c)
{
    cs_shm_area *a = c->area;
    uint32_t now = atomic_load(&a->generation.value);
    if (atomic_fetch_add(&a->arrived, 1) + 1 == (uint32_t)c->base.size) {
        atomic_store(&a->arrived, 0);
        cs_shm_set(&a->generation, now + 1);
    } else {
        cs_shm_wait(c, &a->generation, now, -1);
    }
}

static cs_shm *make(cs_shm_region *region, cs_shm_rank *self, size_t area, int rank, int size)
{
    size_t n = (size_t)size;
    cs_shm *c = cs_calloc(1, sizeof *c + n * (sizeof(int) + 4 * sizeof(void *)));
    if (!c)
        return NULL;
    c->in = (const void **)(c + 1);
    c->out = (void **)(c->in + n);
    c->first = (cs_shm_mail **)(c->out + n);
    c->last = c->first + n;
    c->world_rank = (int *)(c->last + n);
    c->self = self;
    c->base = (cs_comm){.ops = &cs_shm_ops, .rank = rank, .size = size, .local_size = region->n_ranks, .member = c->world_rank,
                       .watch = &self->watch};
    c->region = region;
    c->area = (cs_shm_area *)((char *)region + area);
    c->area_bytes = cs_shm_area_bytes(size);
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    c->spin = region->n_ranks <= cores ? SPIN : SPIN_CROWDED;
    return c;
}

cs_comm *cs_shm_join(cs_shm_region *region, int rank)
{
    size_t n = (size_t)region->n_ranks;
    cs_shm_rank *self = cs_calloc(1, sizeof *self + n * sizeof(cs_watch_ring *));
    cs_shm *c = self ? make(region, self, world_start(region->n_ranks), rank, region->n_ranks) : NULL;
    if (!c) {
        cs_free(self);
        return NULL;
    }
    c->is_world = true;
    cs_watch_ring *ring = (cs_watch_ring *)((char *)region + rings_start(region->n_ranks));
    for (int r = 0; r < region->n_ranks; r++) {
        c->world_rank[r] = r;
        self->ring[r] = &ring[r];
    }
    self->watch = (cs_watch){.mine = &ring[rank], .ring = self->ring, .rank = rank, .size = region->n_ranks, .said = &region->said};
    atomic_store(&ring[rank].step, -1);
    cs_watch_join(&c->base, NULL);
    return &c->base;
}

cs_shm *cs_shm_join_group(const cs_shm *parent, size_t area, int rank, int size, const int *member)
{
    cs_shm *c = make(parent->region, parent->self, area, rank, size);
    if (!c)
        return NULL;
    atomic_fetch_add(&c->area->users, 1); /* all members have joined before the split returns */
    for (int r = 0; r < size; r++)
        c->world_rank[r] = parent->world_rank[member[r]];
    return c;
}
