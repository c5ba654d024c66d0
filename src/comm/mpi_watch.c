/* The rings of the ranks of an MPI job: those of one host in memory that all its ranks map; of other hosts' ranks nothing is known. */
#ifdef CS_HAVE_MPI

#include "comm/mpi_comm.h"

#include "base/mem.h"

#include <unistd.h>

static void end_job(int code)
{
    MPI_Abort(MPI_COMM_WORLD, code);
}

/* Enters the rings of this host's ranks into self->ring; false (on all ranks of the host) when they cannot be shared. */
static bool share_rings(cs_mpi_rank *self, MPI_Comm host, int n_host)
{
    MPI_Group world, group;
    char **address = cs_calloc((size_t)n_host, sizeof *address);
    int bad = !address, any = 0;
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, host);
    if (any || !cs_mpi_map(host, n_host, sizeof(cs_watch_ring), &self->ring_win, address)) {
        cs_free(address);
        return false;
    }
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Comm_group(host, &group);
    for (int r = 0; r < n_host; r++) {
        int rank;
        MPI_Group_translate_ranks(group, 1, &r, world, &rank);
        self->ring[rank] = (cs_watch_ring *)address[r];
    }
    MPI_Group_free(&world);
    MPI_Group_free(&group);
    self->watch.said = &((cs_watch_ring *)address[0])->said;
    cs_free(address);
    return true;
}

cs_status cs_mpi_watch_create(cs_mpi *world, cs_error *err)
{
    cs_mpi_rank *self = world->self;
    int rank = world->base.rank, n_host, any = 0;
    MPI_Comm host;
    MPI_Comm_split_type(world->comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host);
    MPI_Comm_size(host, &n_host);
    self->ring_win = MPI_WIN_NULL;
    self->ring = cs_calloc((size_t)world->base.size, sizeof(cs_watch_ring *));
    int bad = !self->ring;
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, world->comm);
    if (!any && !share_rings(self, host, n_host)) {
        self->ring[rank] = cs_alloc_aligned(sizeof(cs_watch_ring));
        bad = !self->ring[rank];
        if (!bad)
            self->watch.said = &self->ring[rank]->said;
    }
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, world->comm);
    if (!any) {
        self->watch.mine = self->ring[rank];
        memset(self->watch.mine, 0, sizeof *self->watch.mine);
        atomic_store(&self->watch.mine->step, -1);
        self->watch.ring = self->ring;
        self->watch.rank = rank;
        self->watch.size = world->base.size;
        self->watch.launcher = getppid();
        self->watch.end = end_job;
        world->base.watch = &self->watch;
        cs_error_share_last_words(self->watch.said);
        if (world->base.size > 1)
            cs_watch_join(&world->base, NULL);
    }
    MPI_Barrier(world->comm); /* nobody looks at a ring before it is cleared */
    MPI_Comm_free(&host);
    return any ? cs_fail_nomem(err, sizeof(cs_watch_ring), "the record of communication") : CS_OK;
}

void cs_mpi_watch_release(cs_mpi_rank *self)
{
    cs_error_share_last_words(NULL);
    if (self->ring_win != MPI_WIN_NULL) {
        MPI_Win_unlock_all(self->ring_win);
        MPI_Win_free(&self->ring_win);
    } else if (self->ring) {
        cs_free(self->watch.mine);
    }
    cs_free(self->ring);
}

#endif
