/* What the files of the MPI back end share; only they know MPI. Private to comm/. */
#ifndef CS_COMM_MPI_COMM_H
#define CS_COMM_MPI_COMM_H

#include "comm/backend.h"

#include <mpi.h>
#include <stdatomic.h>

enum { CS_MPI_MESSAGE_BYTES = 1 << 30, CS_MPI_POOL_CLASSES = 48 };

typedef struct cs_mpi_mail { /* memory for a message that this rank sends, or for a collective under way; 2^k bytes with this head */
    struct cs_mpi_mail *next;
    MPI_Request request; /* of a message; it and `held` say whether it may be used again */
    bool held;
    _Alignas(64) char data[];
} cs_mpi_mail;

/* What belongs to a rank, whatever the group; made with the world and gone with it. */
typedef struct cs_mpi_rank {
    cs_mpi_mail *pool[CS_MPI_POOL_CLASSES]; /* by log2 of their size */
    cs_xfer *begun;                         /* collectives under way, in the order of their begin */
    cs_watch watch;
    cs_watch_ring **ring; /* of all ranks; NULL = of another host */
    MPI_Win ring_win;     /* MPI_WIN_NULL: this rank's ring alone, in memory of its own */
} cs_mpi_rank;

/* A wait that goes on. Zeroed at its start. */
typedef struct cs_mpi_pause {
    int turn;
    cs_watch_wait wait;
} cs_mpi_pause;

typedef struct cs_mpi_segment { /* one cs_comm_alloc */
    struct cs_mpi_segment *next;
    int64_t id;     /* the same on all ranks, from 1 */
    size_t bytes;
    int64_t held;   /* of them that count as held, beside cs_alloc_aligned's own count */
    char *mine;
    bool shared;    /* then win and peer are set; otherwise `mine` is from cs_alloc_aligned */
    MPI_Win win;
    char *peer[];   /* [size] */
} cs_mpi_segment;

typedef struct cs_mpi {
    cs_comm base;
    cs_mpi_rank *self;
    bool is_world;  /* then it owns `self` */
    MPI_Comm comm;  /* collectives */
    MPI_Comm mail;  /* messages of the callers, with their tags; errors are returned */
    bool one_host;
    cs_mpi_segment *segments;
    int64_t next_id;
    uint32_t n_begun;     /* collectives begun with _begin */
    char *stage;          /* size * CHUNK_BYTES */
    MPI_Request *request; /* [2*size] */
    const void **in;      /* [size] */
    void **out;           /* [size] */
    int64_t *counts;      /* [size] */
    int64_t *where;       /* [2*size] */
    int *world_rank;      /* [size] */
} cs_mpi;

/* Counts of the library are int: from 1 GiB on `bytes` become one element of a type of their own. Free it when the transfer has begun. */
int cs_mpi_begin_type(int64_t bytes, MPI_Datatype *type);
void cs_mpi_free_type(MPI_Datatype *type);

/* Memory with room for `bytes` that is neither held nor under way; ends the process when there is none. */
cs_mpi_mail *cs_mpi_mail_take(cs_mpi_rank *self, int64_t bytes);

/* Buffers of that size may lie in memory that all ranks of c map (the same answer on all). */
bool cs_mpi_may_share(const cs_mpi *c, int64_t bytes);
/* Segment (0: none) and offset of a buffer. */
void cs_mpi_place_of(const cs_mpi *c, const void *buf, int64_t bytes, int64_t place[2]);
/* From the places of all ranks: all can be reached; then address[size] holds where, in this process. The same answer on all. */
bool cs_mpi_find_places(const cs_mpi *c, const int64_t *place, void **address);

/* All loops that wait: completes the requests, or one turn of a loop of its own; moves on all collectives under way of this rank. */
void cs_mpi_wait_all(cs_mpi *c, int n, MPI_Request *request);
void cs_mpi_rest(cs_mpi_rank *self, cs_mpi_pause *pause);
void cs_mpi_move_all(cs_mpi_rank *self);

/* Memory of `bytes` on each rank of comm that all of them map, at pages: address[size] of each in this process. false (on all ranks) when the library
 * cannot give it. Collective, and blocking. */
bool cs_mpi_map(MPI_Comm comm, int size, size_t bytes, MPI_Win *win, char **address);

/* Gives the world its watch: the rings of the ranks of one host are in memory that all of them map. CS_E_NOMEM on all ranks. Collective. */
cs_status cs_mpi_watch_create(cs_mpi *world, cs_error *err);
void cs_mpi_watch_release(cs_mpi_rank *self);

/* Of the back end's table (backend.h). */
void cs_mpi_begin(cs_xfer *x, const cs_comm_args *a);
void cs_mpi_wait(cs_xfer *x);
void cs_mpi_progress(cs_comm *c);
void cs_mpi_send(cs_comm *c, const void *buf, int64_t bytes, int to, int tag);
void cs_mpi_recv(cs_xfer *x);
void cs_mpi_recv_wait(cs_xfer *x);
/* Waits until all messages of this rank have gone and frees their memory. */
void cs_mpi_mail_release(cs_mpi_rank *self);

#endif
