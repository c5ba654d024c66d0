/* Between launch.c and the MPI back end. Private to comm/. */
#ifndef CS_COMM_LAUNCH_H
#define CS_COMM_LAUNCH_H

#include "comm/comm.h"

/* Joins the MPI job, runs rank_main and finalises. Returns the exit code of this process. nproc > 1 must be the size of the job. */
int cs_mpi_launch(int64_t nproc, cs_rank_main rank_main, void *arg);

#endif
