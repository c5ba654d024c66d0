/* What every rank writes down about its communication, where the other ranks of its host can read it, and the deadline of its waits.
 * Writing costs a few stores per operation and no system call; time is looked at only where a wait has already gone on for a while.
 * A rank whose wait passes the deadline prints, once for all ranks, whom it waits for and what all of them did last, and ends the run. Private to
 * comm/. */
#ifndef CS_COMM_WATCH_H
#define CS_COMM_WATCH_H

#include "base/dtype.h"
#include "base/error.h"

#include <sys/types.h>

struct cs_comm;

enum { CS_WATCH_OPS = 64, CS_WATCH_GROUPS = 16, CS_WATCH_TEXT = 32 };

typedef enum cs_watch_kind {
    CS_WATCH_BARRIER, CS_WATCH_BROADCAST, CS_WATCH_SUM, CS_WATCH_MAX, CS_WATCH_SCATTER, CS_WATCH_GATHER, CS_WATCH_ALLOC, CS_WATCH_FREE,
    CS_WATCH_SPLIT, CS_WATCH_SUM_BEGUN, CS_WATCH_SCATTER_BEGUN, CS_WATCH_GATHER_BEGUN, CS_WATCH_SEND, CS_WATCH_RECV, CS_WATCH_KINDS
} cs_watch_kind;

/* One operation of a rank. Strings are copied: ranks of an MPI job have their constants at different addresses. */
typedef struct cs_watch_op {
    _Atomic uint64_t number; /* of this rank's operations, from 1; 0 = none, or it is being written */
    uint64_t seq;            /* of the group's collectives, from 1, the same on all members; 0 = a message */
    int64_t bytes;
    uint32_t group;          /* identity */
    int32_t peer;            /* world rank of the other end, or of the root; -1 = none */
    int32_t tag, slot;       /* slot: in cs_watch_ring.group, -1 = there was none left */
    uint8_t kind, dtype;
    _Atomic bool done;
    char site[CS_WATCH_TEXT]; /* the function that called */
} cs_watch_op;

/* A group that the rank is a member of: world ranks first, first + stride, .. (stride 0: irregular). */
typedef struct cs_watch_group {
    _Atomic uint32_t id; /* 0 = free */
    int32_t first, stride, size;
    _Atomic uint64_t begun; /* collectives */
} cs_watch_group;

typedef struct cs_watch_ring {
    _Alignas(64) _Atomic uint64_t n_ops;
    _Atomic uint64_t inside;    /* number of the operation that the rank is in, 0 = none */
    _Atomic int64_t beat_ms;    /* when it last looked at the clock while it waited */
    _Atomic int64_t limit_ms;   /* deadline of its section, 0 = none */
    _Atomic int64_t step;       /* -1 = none */
    _Atomic uint32_t said;      /* the host's first ring: somebody has printed the reason of the end */
    char section[CS_WATCH_TEXT];
    cs_watch_group group[CS_WATCH_GROUPS];
    cs_watch_op op[CS_WATCH_OPS]; /* number n is at n % CS_WATCH_OPS */
} cs_watch_ring;

typedef struct cs_watch {
    cs_watch_ring *mine;
    cs_watch_ring **ring;   /* [size], by world rank; NULL = on another host */
    int rank, size;         /* in the world */
    _Atomic uint32_t *said;
    bool check;             /* compare every collective before it begins */
    pid_t launcher;         /* 0 = not looked after */
    void (*end)(int code);  /* ends this process and its job; NULL = _exit */
} cs_watch;

/* A wait that goes on. Zeroed at its start. */
typedef struct cs_watch_wait {
    int64_t last_ms, waited_ms;
} cs_watch_wait;

/* Called in a wait that lasts, at least every 200 ms. Ends the process when the wait has passed the deadline, or when the launcher is gone. Time in
 * which this process was stopped does not count. */
void cs_watch_look(cs_watch *w, cs_watch_wait *wait);

/* Gives c its identity, made from the parent's and the number of groups it has split off (NULL: the world), and a place in the ring. */
void cs_watch_join(struct cs_comm *c, const struct cs_comm *parent);
void cs_watch_leave(struct cs_comm *c);

/* Writes down an operation that begins, with c->site; returns its number. peer: rank in c, -1 = none. */
uint64_t cs_watch_begin(struct cs_comm *c, cs_watch_kind kind, int64_t bytes, cs_dtype t, int peer, int tag);
void cs_watch_done(struct cs_comm *c, uint64_t number);
/* This rank is in that operation from now on (0: in none), and may have to wait in it. */
void cs_watch_inside(struct cs_comm *c, uint64_t number);

/* Ends the process, and under MPI its job. */
_Noreturn void cs_watch_end(const cs_watch *w, int code);

/* Prints the reason and the rings (watch_report.c). waited_ms: of the operation that this rank is in. */
void cs_watch_report(const cs_watch *w, int64_t waited_ms);
const char *cs_watch_name(int kind);
bool cs_watch_is_message(int kind);
int64_t cs_watch_now_ms(void);

/* Debug: compares what the members of c are about to do; ends the run naming the ranks that do something else. Collective. */
void cs_same_check_op(struct cs_comm *c, uint64_t number, uint64_t counts_hash);

/* "rank 3", "ranks 0, 2, 5-7": those r < n with in[r]. Returns text. */
const char *cs_ranks_text(const bool *in, int n, char *text, size_t size);

#endif
