/* Ranks that were forked from one process and share one anonymous mapping, made before the fork and therefore at the same address
 * in all of them. Private to comm/.
 *
 *   | region head: cursor, failed, gone[rank] | rings of the ranks | area of the world group
 *   | ... bump-allocated: areas of groups, cs_comm_alloc blocks ...
 *
 * An area: barrier words | 2 x size posts | size^2 letter boxes | 2 x size stages. Two halves of posts and stages are used in turn, so that one
 * barrier per step is enough: who writes a half again has passed the barrier of the step between, which all others entered after
 * they had read it. */
#ifndef CS_COMM_SHM_H
#define CS_COMM_SHM_H

#include "comm/backend.h"

#include <stdatomic.h>

enum { CS_SHM_STAGE_BYTES = 256 << 10, CS_SHM_MAX_RANKS = 1024, CS_SHM_POOL_CLASSES = 48 };

typedef struct cs_shm_region {
    size_t bytes;           /* of the whole mapping, mostly never touched */
    _Atomic size_t cursor;  /* first free byte */
    int n_ranks;
    _Atomic uint32_t failed; /* a rank failed: everybody leaves quietly with exit code 7 */
    _Atomic uint32_t said;   /* somebody has printed the reason */
    _Atomic uint32_t gone[]; /* per world rank: its process has ended */
} cs_shm_region;

/* A word that others wait on, and how many of them sleep in the kernel. */
typedef struct cs_shm_word {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
} cs_shm_word;

typedef struct cs_shm_area {
    cs_shm_word generation;
    _Alignas(64) _Atomic uint32_t arrived;
    _Atomic uint32_t users; /* members that have not destroyed their handle */
} cs_shm_area;

/* What a rank says about the collective that it enters. */
typedef struct cs_shm_post {
    _Alignas(64) int64_t op, bytes, extra;
    const void *ptr;
} cs_shm_post;

/* A piece of the region that the rank which made it fills and others read: a message. 2^k bytes with this head. */
typedef struct cs_shm_mail {
    _Atomic uint32_t readers;      /* who still needs it; the owner may fill it again at 0 */
    int32_t tag;
    int64_t bytes;                 /* of data */
    struct cs_shm_mail *next;      /* of the same sender and receiver: the sender's word until it is posted, then the receiver's */
    struct cs_shm_mail *pool_next; /* the owner's: of the same size */
    _Alignas(64) char data[];
} cs_shm_mail;

/* From one rank of a group to another. */
typedef struct cs_shm_box {
    cs_shm_word sent;             /* counts messages */
    _Atomic(cs_shm_mail *) fresh; /* those not yet taken over by the receiver, the newest first */
} cs_shm_box;

typedef struct cs_shm_block { /* what cs_comm_alloc gave */
    struct cs_shm_block *next;
    void *mine;
    size_t start, bytes; /* of the ranks' buffers together, within the region */
    int64_t held;        /* bytes of `mine` that count as held */
} cs_shm_block;

/* What belongs to a rank, whatever the group; made with the world and gone with it. */
typedef struct cs_shm_rank {
    cs_shm_mail *pool[CS_SHM_POOL_CLASSES]; /* all pieces that it owns, by log2 of their size */
    cs_xfer *begun;                         /* receives and collectives under way, in the order of their begin */
    cs_watch watch;
    cs_watch_ring *ring[];                  /* of all ranks */
} cs_shm_rank;

typedef struct cs_shm {
    cs_comm base;
    cs_shm_rank *self;
    bool is_world; /* then it owns `self` */
    cs_shm_region *region;
    cs_shm_area *area;
    size_t area_bytes;
    int turn, spin;
    uint32_t n_begun;      /* collectives under way or done, begun with _begin */
    int *world_rank;       /* [size] */
    const void **in;       /* [size], scratch */
    void **out;            /* [size], scratch */
    cs_shm_mail **first;   /* [size], by sender: messages that wait for their receive, in the order of sending */
    cs_shm_mail **last;    /* [size] */
    cs_shm_block *blocks;
} cs_shm;

/* Maps the region for n ranks. CS_E_NOMEM. */
cs_status cs_shm_region_create(int n_ranks, cs_shm_region **out, cs_error *err);
void cs_shm_region_destroy(cs_shm_region *region);
/* The world of a freshly forked rank. NULL when out of memory. */
cs_comm *cs_shm_join(cs_shm_region *region, int rank);
/* A group of some of parent's ranks over an area reserved for it. NULL when out of memory. */
cs_shm *cs_shm_join_group(const cs_shm *parent, size_t area, int rank, int size, const int *member);

/* Reserves zeroed bytes of the region; 0 when it is full. */
size_t cs_shm_reserve(cs_shm_region *region, size_t bytes);
/* Gives the pages back to the system and makes them zero again. */
void cs_shm_return(cs_shm_region *region, size_t start, size_t bytes);

/* Waits until *w differs from `old`. `peer`: group rank that must change it, -1 = any member. A lost peer ends this process. */
void cs_shm_wait(cs_shm *c, cs_shm_word *w, uint32_t old, int peer);
void cs_shm_set(cs_shm_word *w, uint32_t value);
void cs_shm_arrive(cs_shm *c);

size_t cs_shm_area_bytes(int size);
cs_shm_post *cs_shm_posts(const cs_shm *c, int half);
char *cs_shm_stage(const cs_shm *c, int half, int rank);
cs_shm_box *cs_shm_box_of(const cs_shm *c, int from, int to);

/* A piece of this rank's with room for `bytes`, readers = 1; ends the process when the region is full. */
cs_shm_mail *cs_shm_mail_take(cs_shm *c, int64_t bytes);
void cs_shm_mail_post(cs_shm *c, cs_shm_mail *m, int to, int tag);
/* Appends what has come from that rank to its list, the oldest first. */
void cs_shm_mail_collect(cs_shm *c, int from);
/* Unlinks the first collected message of that rank and tag, NULL when there is none; the caller takes 1 from its readers when it has read it. */
cs_shm_mail *cs_shm_mail_find(cs_shm *c, int from, int tag);
void cs_shm_send(cs_comm *c, const void *buf, int64_t bytes, int to, int tag);
void cs_shm_recv(cs_xfer *x);
void cs_shm_recv_wait(cs_xfer *x);
void cs_shm_begin(cs_xfer *x, const cs_comm_args *a);
void cs_shm_wait_for(cs_xfer *x);
void cs_shm_progress(cs_comm *c);
/* Ends the process (exit code 70) naming both ranks, once for all ranks. */
_Noreturn void cs_shm_disagree(const cs_shm *c, const char *mine, int64_t my_bytes, int other, const char *its, int64_t its_bytes);

extern const cs_comm_ops cs_shm_ops;

#endif
