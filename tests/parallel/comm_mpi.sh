#!/bin/bash
# Test programs as 2 and 4 ranks of an MPI job. They compare every result with a serial loop in rank order, so passing here and with
# forked ranks means equal bits on all back ends. The build is the one whose program CSPEED names.
set -u
cd "$(dirname "$0")/../.." || exit 1
tests=$(dirname "${CSPEED:-build/cspeed}")/tests/parallel
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
passed=0 failed=0
if ! command -v mpirun >/dev/null || ! nm "$tests/test_comm" | grep -q ' MPI_Init_thread'; then
    echo "no mpirun, or a build without MPI"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
flags=
mpirun --version 2>&1 | grep -q 'Open MPI' && flags='--oversubscribe --bind-to none'
for t in ${*:-test_comm test_dp}; do
    for n in 2 4; do
        # shellcheck disable=SC2086
        if mpirun $flags -n $n "$tests/$t"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "$t with $n ranks failed"
        fi
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
