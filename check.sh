#!/bin/bash
# Every check of the project; the last line on stdout is "N passed, N failed, N skipped". Exit code 0 only when nothing failed.
# usage: ./check.sh [STAGE...]
#   gcc    build with gcc -Werror; every test program, tests/cli, tests/parallel
#   clang  build with clang -Werror; the unit tests
#   san    the same tests under AddressSanitizer and UndefinedBehaviorSanitizer, leaks included (without MPI: Open MPI leaks by itself)
#   smoke  a build without MPI and oneDNN; the unit tests
#   mpich  a build with MPICH, where it is installed: tests/parallel and training under its mpirun (the other builds use the default MPI)
#   fuzz   every fuzz target for a short while
#   lint   rules of the source tree
set -u
cd "$(dirname "$0")"
all_stages="lint gcc clang san smoke mpich fuzz"
stages=${*:-$all_stages}
jobs=$(nproc)
passed=0 failed=0 skipped=0
began=$SECONDS
export LC_ALL=C.UTF-8
export OMP_WAIT_POLICY=passive # ranks and other work share the cores: a thread that waits must not spin
if [ -z "${CS_SHARED_DATA:-}" ] && [ -d ../shared/data ]; then
    CS_SHARED_DATA=$(cd ../shared/data && pwd)
    export CS_SHARED_DATA
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

say() { printf '== %s (%d s)\n' "$*" $((SECONDS - began)); }

fail() { # fail NAME [LOG]
    failed=$((failed + 1))
    echo "FAILED: $1"
    [ -n "${2:-}" ] && [ -f "$2" ] && tail -n 40 "$2"
}

build() { # build FOLDER MAKE-ARGUMENTS...: false when it does not build
    local folder=$1
    shift
    mkdir -p "$folder"
    if make -j"$jobs" BUILD="$folder" WERROR=1 "$@" >"$folder/build.log" 2>&1; then
        passed=$((passed + 1))
    else
        fail "build in $folder" "$folder/build.log"
        return 1
    fi
}

# Runs one cmocka program and adds up its counts. A program that ends badly without a count is one failure.
run_program() { # run_program PROGRAM LOG
    local code ok bad skip
    "$1" >"$2" 2>&1
    code=$?
    ok=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' "$2" | awk '{ n += $1 } END { print n + 0 }')
    bad=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' "$2" | awk '{ n += $1 } END { print n + 0 }')
    skip=$(sed -nE 's/^\[  SKIPPED \] ([0-9]+) test.*/\1/p' "$2" | awk '{ n += $1 } END { print n + 0 }')
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" != 0 ]; then
        echo "FAILED: $1 ($bad)"
        grep -E 'FAILED|ERROR|LINE' "$2" | head -n 20
    elif [ "$code" != 0 ] || [ "$((ok + skip))" = 0 ]; then
        fail "$1 ended with exit code $code" "$2"
    fi
}

# Runs one script whose last line is "N passed, N failed" (", N skipped" may follow).
run_script() { # run_script SCRIPT LOG
    local code last ok bad skip
    bash "$1" >"$2" 2>&1
    code=$?
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$2" | tail -n 1)
    read -r ok bad skip < <(echo "$last" | awk '{ print $1 + 0, $3 + 0, $5 + 0 }')
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" != 0 ]; then
        echo "FAILED: $1 ($bad)"
        grep -vE '^ok' "$2" | tail -n 40
    elif [ "$code" != 0 ] || [ -z "$last" ]; then
        fail "$1 ended with exit code $code" "$2"
    fi
}

run_tests() { # run_tests FOLDER KIND...: the test programs and scripts of tests/KIND against the build in FOLDER
    local folder=$1 kind source name
    shift
    export CSPEED="$PWD/$folder/cspeed"
    for kind in "$@"; do
        mkdir -p "$folder/log/$kind"
        for source in tests/"$kind"/*.c tests/"$kind"/*.sh; do
            [ -e "$source" ] || continue
            name=$(basename "${source%.*}")
            case $source in
            *.c) run_program "$folder/tests/$kind/$name" "$folder/log/$kind/$name.log" ;;
            *.sh) run_script "$source" "$folder/log/$kind/$name.sh.log" ;;
            esac
        done
    done
}

stage_lint() { mkdir -p build/check && run_script scripts/include_check.sh build/check/lint.log; }

stage_gcc() {
    build build/check/gcc CC=gcc tests && run_tests build/check/gcc unit grad golden parallel fail cli
}

stage_clang() {
    build build/check/clang CC=clang OPT=-O2 tests && run_tests build/check/clang unit
}

stage_san() {
    build build/check/san CC=gcc SAN=1 MPI=0 tests || return
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 CS_SANITIZED=1
    run_tests build/check/san unit grad golden parallel fail cli
    unset ASAN_OPTIONS UBSAN_OPTIONS CS_SANITIZED
}

stage_smoke() {
    build build/check/smoke CC=gcc OPT=-O1 MPI=0 DNNL=0 tests && run_tests build/check/smoke unit
}

stage_mpich() {
    local folder=build/check/mpich
    if ! pkg-config --exists mpich || ! command -v mpirun.mpich >/dev/null; then
        echo "skipped: MPICH (packages libmpich-dev and mpich) is not installed"
        skipped=$((skipped + 1))
        return
    fi
    build "$folder" CC=gcc OPT=-O1 MPI_PC=mpich "$folder/cspeed" "$folder/tests/parallel/test_comm" "$folder/tests/parallel/test_dp" || return
    export CSPEED="$PWD/$folder/cspeed"
    mkdir -p "$folder/log"
    run_script tests/parallel/comm_mpi.sh "$folder/log/comm_mpi.log"
    run_script tests/cli/test_mpirun.sh "$folder/log/test_mpirun.log"
}

stage_fuzz() {
    local folder=build/check/fuzz name
    build "$folder" CC=clang FUZZ=1 SAN=1 MPI=0 DNNL=0 fuzzers || return
    scripts/fuzz_run.sh "$folder" "${FUZZ_SECONDS:-4}" >"$folder/run.log" 2>&1
    for name in tests/fuzz/fuzz_*.c; do
        name=${name#tests/fuzz/fuzz_}
        name=${name%.c}
        if [ "$(cat "$folder/log/$name.code" 2>/dev/null)" = 0 ]; then
            passed=$((passed + 1))
        else
            fail "fuzz target $name" "$folder/log/$name.log"
        fi
    done
}

sh scripts/deps.sh check || exit 1
for stage in $stages; do
    case $stage in
    lint | gcc | clang | san | smoke | mpich | fuzz) ;;
    *)
        echo "check.sh: unknown stage $stage; stages are $all_stages" >&2
        exit 2
        ;;
    esac
done
for stage in $stages; do
    say "$stage"
    "stage_$stage"
done
say "done"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
