/* One interface for the ranks of a run, three back ends: mpi (under mpirun), shm (fork + shared memory, --nproc), self.
 * Every operation says over which group it is collective and must be called by all its members in the same order.
 * Sums are taken in rank order 0,1,2,.. on every back end: bits do not depend on the MPI library nor on timing.
 * A group of size 1 makes every collective a no-op (copy where in != out), so callers never ask for the size first.
 * A peer that is lost ends this process with exit code 7 and one line: collectives return void. Counts are int64. */
#ifndef CS_COMM_COMM_H
#define CS_COMM_COMM_H

#include "base/dtype.h"
#include "base/error.h"

typedef struct cs_comm cs_comm;

int cs_comm_rank(const cs_comm *c);
int cs_comm_size(const cs_comm *c);
const char *cs_comm_backend(const cs_comm *c); /* "self", "shm", "mpi" */

/* Group of one. Borrowed constant. */
cs_comm *cs_comm_self(void);
/* Collective over `parent`: ranks with equal color form a group, ordered by key then parent rank. Destroy with cs_comm_destroy. */
cs_status cs_comm_split(cs_comm *parent, int color, int key, cs_comm **out_create, cs_error *err);
void cs_comm_destroy(cs_comm *c);

/* All collective over c. dtype: F64, F32, BF16, F16, I64, I32, U8. BF16 and F16 sums are taken in f32 and rounded once. */
void cs_comm_barrier(cs_comm *c);
void cs_comm_broadcast(cs_comm *c, void *buf, int64_t bytes, int root);
void cs_comm_allreduce_sum(cs_comm *c, void *buf, int64_t n, cs_dtype t);
void cs_comm_allreduce_max(cs_comm *c, void *buf, int64_t n, cs_dtype t); /* F64, I64 only */
/* in[size*n] -> out[n] = sum over ranks of their block `rank`; `out` may be in + rank*n. Blocks may be uneven: see _v. */
void cs_comm_reduce_scatter_sum_v(cs_comm *c, const void *in, void *out, const int64_t *counts, cs_dtype t);
/* Each rank gives counts[rank] elements at buf + sum(counts[0..rank)); after it all ranks hold all of buf. In place. */
void cs_comm_allgather_v(cs_comm *c, void *buf, const int64_t *counts, cs_dtype t);

/* Something under way. The caller owns it, leaves it where it is and reads nothing in it until it has been waited for. Zeroed: nothing under way. */
typedef struct cs_xfer {
    cs_comm *comm; /* NULL: nothing to wait for */
    struct cs_xfer *next;
    int kind, peer, tag;
    bool done;
    int64_t bytes;
    uint64_t number;
    void *buf, *state;
} cs_xfer;

enum { CS_TAG_MAX = (1 << 19) - 1 };
/* Point to point between this rank and another one of c; tag 0..CS_TAG_MAX; any number under way. A receive takes the first message of that rank
 * and tag that no receive begun earlier takes; its length must be `bytes`. The bytes of a send are copied away at once: `buf` may be used again
 * when the call returns, and neither it nor its wait ever waits for the receiver, so that a rank may go from it into any collective.
 * Not collective. Memory for messages under way is kept and used again; running out of it ends the process with exit code 5. */
void cs_comm_send_begin(cs_comm *c, const void *buf, int64_t bytes, int to, int tag, cs_xfer *x);
/* `buf` belongs to the transfer until cs_comm_wait returns. */
void cs_comm_recv_begin(cs_comm *c, void *buf, int64_t bytes, int from, int tag, cs_xfer *x);
/* Returns when what x stands for is complete, and zeroes x. Those under way may be waited for in any order. */
void cs_comm_wait(cs_xfer *x);

/* Collectives under way: the same results, bit for bit, as the blocking ones above. All members of c begin them in the same order; any number may
 * be under way, and any other operation, on this group or another one, may come between begin and wait. The wait needs no more of the other ranks
 * than that they have begun, or are inside some operation of this header. Buffers belong to the operation until cs_comm_wait; counts do not. From
 * cs_comm_alloc of c they are worked on in place; others go through copies of the whole (memory is kept and used again, as for messages). */
void cs_comm_allreduce_sum_begin(cs_comm *c, void *buf, int64_t n, cs_dtype t, cs_xfer *x);
void cs_comm_reduce_scatter_sum_begin(cs_comm *c, const void *in, void *out, const int64_t *counts, cs_dtype t, cs_xfer *x);
void cs_comm_allgather_begin(cs_comm *c, void *buf, const int64_t *counts, cs_dtype t, cs_xfer *x);
/* Does this rank's share of what all members of c have begun; returns without waiting. Not collective. Call it now and then while computing. */
void cs_comm_progress(cs_comm *c);

/* Memory that all ranks of one host can reduce without a copy (shm back end); elsewhere ordinary aligned memory. Zeroed.
 * Collective over c. Reductions over buffers from here are the fast path. Lives until cs_comm_free; NULL on all ranks when one is out of memory. */
void *cs_comm_alloc(cs_comm *c, int64_t bytes);
/* The same for a buffer of which little is used at a time: pages are taken when they are used, and cs_mem_clear gives them back. */
void *cs_comm_alloc_sparse(cs_comm *c, int64_t bytes);
/* Gives back what cs_comm_alloc of the same c gave. Collective over c; NULL (on all ranks) is fine. */
void cs_comm_free(cs_comm *c, void *p);

/* The worst status of all ranks; the first failing rank's message, tagged "rank R: ", comes back on every rank. Collective over c.
 * Call it after a phase that may fail on some ranks only. */
#define cs_agree(...) cs_agree_from(__func__, __VA_ARGS__)
cs_status cs_agree_from(const char *site, cs_comm *c, cs_status status, cs_error *err);

/* What this rank does from here on ("step", "save", ..; step -1: none), and how many seconds it may then wait within one operation; 0, as at the
 * start: for ever. The first rank that waits longer names those that it waits for, prints the last 64 operations of the ranks of its host, and ends
 * the run with exit code 7. c: any group; it holds for all. Not collective. */
void cs_comm_set_deadline(cs_comm *c, const char *section, int64_t step, double seconds);
/* Compare kind, bytes, dtype, root and number of every collective over c or another group between its members before it begins; the first
 * difference ends the run with exit code 70, naming both sides. Every collective then waits for all members. Not collective, but the same on all. */
void cs_comm_set_check(cs_comm *c, bool on);
/* `text` is lines "NAME VALUE", the same names in the same order on all ranks. CS_E_USAGE on all of them when the texts differ: names the ranks
 * with the less frequent text and the first line that differs with both values. Collective over c. */
cs_status cs_comm_check_same(cs_comm *c, const char *text, cs_error *err);

/* What a launched rank runs; its return value is the process's exit code. */
typedef int (*cs_rank_main)(cs_comm *world, void *arg);

/* Runs rank_main on every rank and returns the exit code of the whole:
 * under mpirun/srun (launcher variables present; build with MPI): joins the MPI job; CS_E_USAGE when the launcher started several processes and this
 *   build's MPI library sees only itself, because launcher and library are not of one MPI;
 * nproc > 1: forks nproc ranks (call before any thread exists) over shared memory, waits, forwards SIGTERM/SIGINT/SIGUSR1, ends the rest when one
 * dies (within 5 s; exit 7 unless the dead rank exited with its own non-zero code); ranks die with the parent;
 * else: runs it here with cs_comm_self(), without touching MPI.
 * A rank learns its number of ranks per host through cs_comm_local_size. CS_E_USAGE when --nproc contradicts the MPI job. */
int cs_launch(int64_t nproc, cs_rank_main rank_main, void *arg);
/* Zeroed memory that forked ranks and their parent share, for results that come back from cs_launch; NULL when out of memory. */
void *cs_launch_share(size_t bytes);
void cs_launch_unshare(void *p, size_t bytes);
bool cs_launch_under_mpi(void);
/* This process's number as the launcher says it, before anything is joined; 0 without a launcher. */
int cs_launch_rank(void);
/* Instead of cs_launch, for a process that has failed before it: joins the job, in which the others' first collective must be a cs_agree over the
 * world, so that the first failing rank's message is printed once and all end; without a job it prints. Returns the exit code. */
int cs_launch_failed(const cs_error *err);
/* The MPI library that this program is built with, "Open MPI 4.1.4", "MPICH 4.0.2"; NULL = none. */
const char *cs_launch_mpi_name(void);
/* Ranks of c's world on this host (for the default number of threads). */
int cs_comm_local_size(const cs_comm *c);

/* Whoever calls an operation is noted by its function's name, which a run that hangs prints. Returns c. */
cs_comm *cs_comm_from(cs_comm *c, const char *site);
#ifndef CS_COMM_BACKEND_H /* not inside comm.c and the back ends */
#define cs_comm_split(c, ...) cs_comm_split(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_barrier(c) cs_comm_barrier(cs_comm_from(c, __func__))
#define cs_comm_broadcast(c, ...) cs_comm_broadcast(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_allreduce_sum(c, ...) cs_comm_allreduce_sum(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_allreduce_max(c, ...) cs_comm_allreduce_max(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_reduce_scatter_sum_v(c, ...) cs_comm_reduce_scatter_sum_v(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_allgather_v(c, ...) cs_comm_allgather_v(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_send_begin(c, ...) cs_comm_send_begin(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_recv_begin(c, ...) cs_comm_recv_begin(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_allreduce_sum_begin(c, ...) cs_comm_allreduce_sum_begin(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_reduce_scatter_sum_begin(c, ...) cs_comm_reduce_scatter_sum_begin(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_allgather_begin(c, ...) cs_comm_allgather_begin(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_alloc(c, ...) cs_comm_alloc(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_alloc_sparse(c, ...) cs_comm_alloc_sparse(cs_comm_from(c, __func__), __VA_ARGS__)
#define cs_comm_free(c, ...) cs_comm_free(cs_comm_from(c, __func__), __VA_ARGS__)
#endif

#endif
