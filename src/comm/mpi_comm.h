/* What the files of the MPI back end share; only they know MPI. Private to comm/. */
#ifndef CS_COMM_MPI_COMM_H
#define CS_COMM_MPI_COMM_H

#include "comm/backend.h"

#include <mpi.h>

enum { CS_MPI_MESSAGE_BYTES = 1 << 30, CS_MPI_POOL_CLASSES = 48 };

typedef struct cs_mpi_mail { /* a message that this rank sends, 2^k bytes with this head */
    struct cs_mpi_mail *next;
    MPI_Request request; /* MPI_REQUEST_NULL: may be used again */
    _Alignas(64) char data[];
} cs_mpi_mail;

/* What belongs to a rank, whatever the group; made with the world and gone with it. */
typedef struct cs_mpi_rank {
    cs_mpi_mail *pool[CS_MPI_POOL_CLASSES]; /* by log2 of their size */
} cs_mpi_rank;

typedef struct cs_mpi_segment { /* one cs_comm_alloc */
    struct cs_mpi_segment *next;
    int64_t id;     /* the same on all ranks, from 1 */
    size_t bytes;
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
    char *stage;          /* size * CHUNK_BYTES */
    MPI_Request *request; /* [2*size] */
    const void **in;      /* [size] */
    void **out;           /* [size] */
    int64_t *counts;      /* [size] */
    int64_t *where;       /* [2*size] */
} cs_mpi;

/* The back end's send, recv and wait (backend.h). */
void cs_mpi_send(cs_comm *c, const void *buf, int64_t bytes, int to, int tag);
void cs_mpi_recv(cs_xfer *x);
void cs_mpi_recv_wait(cs_xfer *x);
/* Waits until all messages of this rank have gone and frees their memory. */
void cs_mpi_mail_release(cs_mpi_rank *self);

#endif
