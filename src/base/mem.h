/* The only caller of malloc: counted, failable on purpose, overflow-checked. Arenas with mark and release.
 * Four lifetimes (docs/design.md): program, model, micro-batch, call; each is one arena or one buffer. */
#ifndef CS_BASE_MEM_H
#define CS_BASE_MEM_H

#include "base/error.h"

/* false when the result does not fit in size_t; *out is untouched then. */
bool cs_mul_checked(size_t a, size_t b, size_t *out);
bool cs_add_checked(size_t a, size_t b, size_t *out);
/* Rounds up to a multiple of `align` (a power of two). */
bool cs_align_checked(size_t a, size_t align, size_t *out);

/* As malloc/calloc/realloc/strdup; NULL when out of memory (or a `mem` failpoint fires). Free with cs_free.
 * cs_alloc_aligned gives 64-byte aligned memory, huge-page friendly from 4 MiB up; the content is undefined. */
void *cs_malloc(size_t bytes);
void *cs_calloc(size_t count, size_t size);
void *cs_realloc(void *old, size_t bytes);
/* cs_realloc of count * size bytes; NULL when that overflows. */
void *cs_realloc_array(void *old, size_t count, size_t size);
void *cs_alloc_aligned(size_t bytes);
char *cs_strdup(const char *text);
char *cs_strndup(const char *text, size_t n);
void cs_free(void *p);
/* Gives the whole pages of [from, from+bytes), a part of the block that cs_alloc_aligned returned as `block`, back to the system: the content is
 * lost and no longer counts as held. The block is freed as usual. */
void cs_mem_discard(void *block, void *from, size_t bytes);

/* Counts bytes that come from elsewhere as held (memory that ranks share, the used part of a sparse buffer); negative when they go. */
void cs_mem_hold(int64_t bytes);

/* Zeroed memory whose pages are taken when they are first used, for buffers larger than what they hold at a time; nothing of it counts as held. */
void *cs_alloc_sparse(size_t bytes);
/* Makes [from, from+bytes) zero; whole pages go back to the system where they can (memory of this process alone, or shared and without a file). */
void cs_mem_clear(void *from, size_t bytes);

/* Hands p on; NULL ends the process with one line and exit code 5. For use inside a step, where nothing can be unwound. */
void *cs_mem_must(void *p, size_t bytes, const char *what);

/* CS_E_NOMEM with the requested size in the message. */
cs_status cs_fail_nomem(cs_error *err, size_t bytes, const char *what);

/* Number of allocation calls so far in this process (tests: none after step 1). */
int64_t cs_mem_calls(void);
/* Number of those that returned NULL; tells a library's "cannot" from "out of memory". */
int64_t cs_mem_failures(void);
/* Bytes now held and the highest value so far, of all cs_* allocations in this process and of what cs_mem_hold says. */
int64_t cs_mem_bytes(void);
int64_t cs_mem_peak(void);

/* Bump allocator over a chain of blocks; grows when needed, keeps its blocks on release. */
typedef struct cs_arena_block cs_arena_block;
typedef struct cs_arena {
    const char *name;
    cs_arena_block *first, *current;
    size_t used;       /* bytes handed out and not released */
    size_t high_water; /* highest `used` so far */
} cs_arena;
typedef struct cs_arena_mark {
    cs_arena_block *block;
    size_t block_used, used;
} cs_arena_mark;

void cs_arena_init(cs_arena *arena, const char *name);
void cs_arena_release(cs_arena *arena);
/* Gives an arena without memory one block of that size; false when out of memory. */
bool cs_arena_reserve(cs_arena *arena, size_t bytes);
/* 64-byte aligned, undefined content; NULL when out of memory. */
void *cs_arena_alloc(cs_arena *arena, size_t bytes);
/* cs_mem_must of cs_arena_alloc. */
void *cs_arena_must(cs_arena *arena, size_t bytes);
/* Zeroed array of count*size bytes, NULL on overflow or out of memory. */
void *cs_arena_calloc(cs_arena *arena, size_t count, size_t size);
char *cs_arena_strdup(cs_arena *arena, const char *text);
char *cs_arena_printf(cs_arena *arena, const char *fmt, ...) CS_PRINTF(2, 3);
cs_arena_mark cs_arena_save(const cs_arena *arena);
void cs_arena_restore(cs_arena *arena, cs_arena_mark mark);

#endif
