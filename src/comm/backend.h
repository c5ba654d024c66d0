/* What a back end provides; comm.c checks arguments, handles groups of one and calls through it. Private to comm/. */
#ifndef CS_COMM_BACKEND_H
#define CS_COMM_BACKEND_H

#include "comm/comm.h"
#include "comm/watch.h"

enum { CS_XFER_RECV, CS_XFER_SUM, CS_XFER_SCATTER, CS_XFER_GATHER }; /* cs_xfer.kind */

/* A collective to begin. counts: NULL for a sum, whose parts the back end chooses. */
typedef struct cs_comm_args {
    int kind;
    const void *in;
    void *out;
    int64_t n; /* elements of all ranks' parts together */
    const int64_t *counts;
    cs_dtype t;
} cs_comm_args;

/* Called for groups of two or more, with n > 0, except alloc, free, split and destroy. */
typedef struct cs_comm_ops {
    const char *name;
    void (*barrier)(cs_comm *c);
    void (*broadcast)(cs_comm *c, void *buf, int64_t bytes, int root);
    void (*allreduce_sum)(cs_comm *c, void *buf, int64_t n, cs_dtype t);
    void (*allreduce_max)(cs_comm *c, void *buf, int64_t n, cs_dtype t);
    void (*reduce_scatter)(cs_comm *c, const void *in, void *out, const int64_t *counts, cs_dtype t);
    void (*allgather)(cs_comm *c, void *buf, const int64_t *counts, cs_dtype t);
    void (*send)(cs_comm *c, const void *buf, int64_t bytes, int to, int tag); /* buffered */
    void (*recv)(cs_xfer *x);                                                 /* comm, peer, tag, bytes and buf are set */
    void (*begin)(cs_xfer *x, const cs_comm_args *a);                          /* comm and kind are set */
    void (*wait)(cs_xfer *x);
    void (*progress)(cs_comm *c);
    void *(*alloc)(cs_comm *c, int64_t bytes, bool sparse);
    void (*free)(cs_comm *c, void *p);
    cs_status (*split)(cs_comm *parent, int color, int key, cs_comm **out, cs_error *err);
    void (*destroy)(cs_comm *c);
} cs_comm_ops;

/* First member of every back end's own struct. */
struct cs_comm {
    const cs_comm_ops *ops;
    int rank, size, local_size;
    const int *member; /* [size] world ranks */
    cs_watch *watch;   /* of the process; NULL = alone */
    const char *site;  /* who called last */
    uint64_t seq;      /* collectives begun */
    uint32_t group;    /* identity, the same on all members */
    int slot, n_splits;
};

/* A rank's answer to a split: members of one color, sorted by key, then parent rank. */
typedef struct cs_split_entry {
    int32_t color, key;
} cs_split_entry;

/* From the entries of all parent ranks: writes the parent ranks of `me`'s group in order to member[] and returns their number. */
int cs_comm_split_members(const cs_split_entry *entry, int size, int me, int *member);

/* Start of rank r's part when n elements are cut into `size` parts whose borders are multiples of 64 bytes (n at r == size). */
int64_t cs_comm_cut(int64_t n, int size, int r, cs_dtype t);

/* A message whose length is not the one that its receiver expects (`got` -1: longer): ends the process with exit code 70. */
_Noreturn void cs_comm_wrong_length(const cs_xfer *x, int64_t got);

#endif
