/* Counted allocation and arenas. The size of every block is kept in front of it, so that held bytes are known exactly. */
#include "base/mem.h"

#include "base/failpoint.h"

#include <stdarg.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEADER = 64, BLOCK_MIN = 1 << 16 };

typedef struct header {
    void *raw;
    size_t bytes, discarded;
} header;

static atomic_llong mem_calls, mem_failures, mem_bytes, mem_peak;

bool cs_mul_checked(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool cs_add_checked(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

bool cs_align_checked(size_t a, size_t align, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, align - 1, &sum))
        return false;
    *out = sum & ~(align - 1);
    return true;
}

static void account(long long delta)
{
    long long now = atomic_fetch_add(&mem_bytes, delta) + delta;
    long long peak = atomic_load(&mem_peak);
    while (now > peak && !atomic_compare_exchange_weak(&mem_peak, &peak, now))
        ;
}

/* Payload aligned to `align`, the header right in front of it. */
static void *take_from(void *(*get)(size_t total), size_t bytes, size_t align)
{
    size_t total;
    atomic_fetch_add(&mem_calls, 1);
    uint8_t *raw = cs_failpoint_mem() || !cs_add_checked(bytes, HEADER + align, &total) ? NULL : get(total);
    if (!raw) {
        atomic_fetch_add(&mem_failures, 1);
        return NULL;
    }
    uintptr_t at = ((uintptr_t)raw + HEADER + align - 1) & ~(uintptr_t)(align - 1);
    header *h = (header *)(at - sizeof(header));
    h->raw = raw;
    h->bytes = bytes;
    h->discarded = 0;
    account((long long)bytes);
    return (void *)at;
}

void cs_mem_hold(int64_t bytes)
{
    account(bytes);
}

static void *take(size_t bytes, size_t align)
{
    return take_from(malloc, bytes, align);
}

static void *zeroed(size_t total)
{
    return calloc(1, total);
}

void *cs_alloc_sparse(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p = take_from(zeroed, bytes, page);
    if (!p)
        return NULL;
    header *h = (header *)((uint8_t *)p - sizeof(header));
    h->discarded = bytes;
    account(-(long long)bytes);
#ifdef MADV_NOHUGEPAGE
    madvise(p, bytes & ~(page - 1), MADV_NOHUGEPAGE);
#endif
    return p;
}

void cs_mem_clear(void *from, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)from, end = at + bytes;
    uintptr_t lo = (at + page - 1) & ~(page - 1), hi = end & ~(page - 1);
    if (lo >= hi) {
        memset(from, 0, bytes);
        return;
    }
    memset(from, 0, lo - at);
    memset((void *)hi, 0, end - hi);
    if (madvise((void *)lo, hi - lo, MADV_REMOVE) == 0)
        return;
    bool own = errno == EINVAL; /* private pages: their next content is zero */
    if (!own || madvise((void *)lo, hi - lo, MADV_DONTNEED) != 0)
        memset((void *)lo, 0, hi - lo);
}

void *cs_malloc(size_t bytes)
{
    return take(bytes, 16);
}

void *cs_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!cs_mul_checked(count, size, &bytes))
        return NULL;
    void *p = take(bytes, 16);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void *cs_realloc(void *old, size_t bytes)
{
    void *p = take(bytes, 16);
    if (p && old) {
        const header *h = (const header *)((uint8_t *)old - sizeof(header));
        memcpy(p, old, h->bytes < bytes ? h->bytes : bytes);
        cs_free(old);
    }
    return p;
}

void *cs_realloc_array(void *old, size_t count, size_t size)
{
    size_t bytes;
    return cs_mul_checked(count, size, &bytes) ? cs_realloc(old, bytes) : NULL;
}

void *cs_alloc_aligned(size_t bytes)
{
    bool huge = bytes >= ((size_t)4 << 20);
    void *p = take(bytes, huge ? (size_t)2 << 20 : 64);
#ifdef MADV_HUGEPAGE
    if (p && huge)
        madvise(p, bytes & ~(((size_t)2 << 20) - 1), MADV_HUGEPAGE);
#endif
    return p;
}

char *cs_strndup(const char *text, size_t n)
{
    char *p = cs_malloc(n + 1);
    if (p) {
        memcpy(p, text, n);
        p[n] = '\0';
    }
    return p;
}

char *cs_strdup(const char *text)
{
    return cs_strndup(text, strlen(text));
}

void cs_free(void *p)
{
    if (!p)
        return;
    const header *h = (const header *)((uint8_t *)p - sizeof(header));
    account(-(long long)(h->bytes - h->discarded));
    free(h->raw);
}

void cs_mem_discard(void *block, void *from, size_t bytes)
{
    header *h = (header *)((uint8_t *)block - sizeof(header));
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), lo = ((uintptr_t)from + page - 1) & ~(page - 1), hi = ((uintptr_t)from + bytes) & ~(page - 1);
    if (lo >= hi || madvise((void *)lo, hi - lo, MADV_DONTNEED) != 0)
        return;
    h->discarded += hi - lo;
    account(-(long long)(hi - lo));
}

void *cs_mem_must(void *p, size_t bytes, const char *what)
{
    if (!p) {
        cs_error err = {0};
        cs_fail_nomem(&err, bytes, what);
        cs_error_last_words(&err);
        _exit(CS_E_NOMEM);
    }
    return p;
}

cs_status cs_fail_nomem(cs_error *err, size_t bytes, const char *what)
{
    return cs_fail(err, CS_E_NOMEM, "out of memory: %zu bytes for %s; use a smaller model, batch or sequence", bytes, what);
}

int64_t cs_mem_calls(void)
{
    return atomic_load(&mem_calls);
}

int64_t cs_mem_failures(void)
{
    return atomic_load(&mem_failures);
}

int64_t cs_mem_bytes(void)
{
    return atomic_load(&mem_bytes);
}

int64_t cs_mem_peak(void)
{
    return atomic_load(&mem_peak);
}

struct cs_arena_block {
    cs_arena_block *next;
    uint8_t *data;
    size_t size, used;
};

void cs_arena_init(cs_arena *arena, const char *name)
{
    *arena = (cs_arena){.name = name};
}

void cs_arena_release(cs_arena *arena)
{
    for (cs_arena_block *b = arena->first, *next; b; b = next) {
        next = b->next;
        cs_free(b->data);
        cs_free(b);
    }
    *arena = (cs_arena){.name = arena->name};
}

static cs_arena_block *make_block(size_t size)
{
    cs_arena_block *b = cs_calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->data = cs_alloc_aligned(size);
    if (!b->data) {
        cs_free(b);
        return NULL;
    }
    b->size = size;
    return b;
}

bool cs_arena_reserve(cs_arena *arena, size_t bytes)
{
    if (!arena->first && bytes > 0)
        arena->first = make_block(bytes);
    return arena->first || bytes == 0;
}

/* The next block of the chain that can hold `bytes`, made if there is none. */
static cs_arena_block *next_block(cs_arena *arena, size_t bytes)
{
    cs_arena_block **link = arena->current ? &arena->current->next : &arena->first;
    for (; *link; link = &(*link)->next) {
        (*link)->used = 0;
        if ((*link)->size >= bytes)
            return *link;
    }
    size_t size = bytes < BLOCK_MIN ? BLOCK_MIN : bytes;
    if (size < arena->high_water / 2)
        size = arena->high_water / 2;
    cs_arena_block *b = make_block(size);
    if (!b)
        return NULL;
    *link = b;
    return b;
}

void *cs_arena_alloc(cs_arena *arena, size_t bytes)
{
    size_t need;
    if (!cs_align_checked(bytes ? bytes : 1, 64, &need))
        return NULL;
    cs_arena_block *b = arena->current;
    if (!b || b->size - b->used < need) {
        b = next_block(arena, need);
        if (!b)
            return NULL;
        arena->current = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    arena->used += need;
    if (arena->used > arena->high_water)
        arena->high_water = arena->used;
    return p;
}

void *cs_arena_must(cs_arena *arena, size_t bytes)
{
    return cs_mem_must(cs_arena_alloc(arena, bytes), bytes, arena->name);
}

void *cs_arena_calloc(cs_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!cs_mul_checked(count, size, &bytes))
        return NULL;
    void *p = cs_arena_alloc(arena, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

char *cs_arena_strdup(cs_arena *arena, const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = cs_arena_alloc(arena, n);
    if (p)
        memcpy(p, text, n);
    return p;
}

char *cs_arena_printf(cs_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : cs_arena_alloc(arena, (size_t)n + 1);
    if (p) {
        va_start(args, fmt);
        vsnprintf(p, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    return p;
}

cs_arena_mark cs_arena_save(const cs_arena *arena)
{
    return (cs_arena_mark){arena->current, arena->current ? arena->current->used : 0, arena->used};
}

void cs_arena_restore(cs_arena *arena, cs_arena_mark mark)
{
    arena->current = mark.block;
    arena->used = mark.used;
    if (mark.block)
        mark.block->used = mark.block_used;
}
