# Helpers of the shell tests in tests/cli and tests/parallel; sourced, not run. CSPEED names the program under test.
# A script sources this file, calls expect or result per test, and ends with finish, which prints "N passed, N failed".
set -u
export LC_ALL=C.UTF-8
CSPEED=${CSPEED:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/cspeed}
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
n_passed=0 n_failed=0

# result NAME PROBLEM: passes when PROBLEM is empty
result() {
    if [ -z "$2" ]; then
        n_passed=$((n_passed + 1))
        echo "ok     $1"
    else
        n_failed=$((n_failed + 1))
        echo "FAILED $1: $2"
    fi
}

# expect CODE NAME STDOUT-PATTERN STDERR-PATTERN COMMAND...: exit code and extended regular expressions ("" = anything).
# What was printed stays in $TMP/stdout and $TMP/stderr.
expect() {
    local want=$1 name=$2 out=$3 err=$4 code problem=""
    shift 4
    "$@" >"$TMP/stdout" 2>"$TMP/stderr"
    code=$?
    [ "$code" = "$want" ] || problem="exit code $code instead of $want; $(head -c 400 "$TMP/stderr")"
    [ -z "$out" ] || grep -qE -e "$out" "$TMP/stdout" || problem="$problem stdout lacks '$out': $(head -c 300 "$TMP/stdout")"
    [ -z "$err" ] || grep -qE -e "$err" "$TMP/stderr" || problem="$problem stderr lacks '$err': $(head -c 300 "$TMP/stderr")"
    result "$name" "$problem"
}

# Sets `mpirun` to the mpirun of the MPI library that CSPEED is built with (MPIRUN names another one) and its flags for more ranks than cores, root
# included; false when the program was built without MPI or there is no mpirun.
find_mpirun() {
    local kind=openmpi
    case $("$CSPEED" version) in
    *"Open MPI "*) ;;
    *"MPICH "*) kind=mpich ;;
    *) return 1 ;;
    esac
    mpirun=("${MPIRUN:-$(command -v mpirun.$kind || command -v mpirun)}")
    [ -n "${mpirun[0]}" ] || return 1
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
    [ $kind = mpich ] || mpirun+=(--oversubscribe --bind-to none)
}

# For a script that cannot do anything here: says why and counts as skipped.
skip_all() {
    echo "$1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

finish() {
    echo "$n_passed passed, $n_failed failed"
    [ "$n_failed" = 0 ]
}
