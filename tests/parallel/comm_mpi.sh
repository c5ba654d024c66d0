#!/bin/bash
# Test programs as 2 and 4 ranks of an MPI job. They compare every result with a serial loop in rank order, so passing here and with
# forked ranks means equal bits on all back ends. The build is the one whose program CSPEED names.
. "$(dirname "$0")/../cli_lib.bash"
find_mpirun || skip_all "no mpirun, or a build without MPI"
tests=$(dirname "$CSPEED")/tests/parallel
for t in test_comm test_dp; do
    for n in 2 4; do
        expect 0 "$t with $n ranks" "" "" "${mpirun[@]}" -n $n "$tests/$t"
    done
done
finish
