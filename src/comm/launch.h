/* Between launch.c and the MPI back end. Private to comm/. */
#ifndef CS_COMM_LAUNCH_H
#define CS_COMM_LAUNCH_H

#include "comm/comm.h"

/* What started this process, by the variables that it left. */
typedef struct cs_launcher {
    const char *name;
    int size; /* processes that it started; 0 = there is no launcher */
    int rank;
} cs_launcher;

/* Joins the MPI job, runs rank_main and finalises. Returns the exit code of this process. nproc > 1 must be the size of the job. */
int cs_mpi_launch(const cs_launcher *by, int64_t nproc, cs_rank_main rank_main, void *arg);
/* Name and version of the MPI library. */
const char *cs_mpi_name(void);

#endif
