#!/bin/bash
# Runs fuzz targets that are built in FOLDER/tests/fuzz, FUZZ_JOBS of them at once (default: one per core), each for SECONDS after all its seeds.
# usage: scripts/fuzz_run.sh FOLDER SECONDS [NAME...]      (from the root of the repository; no NAME = every tests/fuzz/fuzz_NAME.c)
# Seeds: tests/fuzz/corpus/NAME, and what a line "// seeds: GLOB..." of the target names. Dictionary: tests/fuzz/dict/NAME.dict. A line
# "// options: ..." of the target goes to libFuzzer. Results: FOLDER/log/NAME.log, its exit code in NAME.code, inputs that failed in
# FOLDER/artifacts/NAME. With FUZZ_KEEP=1 new inputs are kept in FOLDER/corpus/NAME for the next run.
set -u
folder=$1 seconds=$2
shift 2
export folder seconds FUZZ_KEEP=${FUZZ_KEEP:-0} CS_SHARED_DATA=${CS_SHARED_DATA:-}
export UBSAN_OPTIONS=print_stacktrace=1 LC_ALL=C.UTF-8
mkdir -p "$folder/log"
if [ $# = 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        source=${source#tests/fuzz/fuzz_}
        set -- "$@" "${source%.c}"
    done
fi

run_one() { # run_one NAME
    local source=tests/fuzz/fuzz_$1.c work=$folder/corpus/$1 seeds=$folder/seeds/$1 log=$folder/log/$1.log pattern seed began=$SECONDS
    local -a options=() corpus=()
    [ "$FUZZ_KEEP" = 1 ] || work=$folder/scratch/$1
    rm -rf "$folder/seeds/$1" "$folder/scratch/$1"
    mkdir -p "$work" "$seeds" "$folder/artifacts/$1"
    for pattern in $(sed -nE 's|^// seeds: (.*)|\1|p' "$source"); do
        for seed in ${pattern/'$CS_SHARED_DATA'/${CS_SHARED_DATA:-/nowhere}}; do
            [ -f "$seed" ] && cp "$seed" "$seeds/$(echo "$seed" | tr / _ | tail -c 200)"
        done
    done
    [ -d "tests/fuzz/corpus/$1" ] && corpus+=("tests/fuzz/corpus/$1")
    [ -f "tests/fuzz/dict/$1.dict" ] && options+=("-dict=tests/fuzz/dict/$1.dict")
    # shellcheck disable=SC2046
    "$folder/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=2 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 "${options[@]}" \
        $(sed -nE 's|^// options: (.*)|\1|p' "$source") -artifact_prefix="$folder/artifacts/$1/" "$work" "$seeds" "${corpus[@]}" >"$log" 2>&1
    echo $? >"$folder/log/$1.code"
    echo "wall_seconds: $((SECONDS - began))" >>"$log"
    echo "$1: exit code $(cat "$folder/log/$1.code"), $(sed -nE 's/^stat::number_of_executed_units: +//p' "$log") executions"
}
export -f run_one
rm -f $(printf "$folder/log/%s.code " "$@")
printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I{} bash -c 'run_one {}'
for name in "$@"; do
    [ "$(cat "$folder/log/$name.code")" = 0 ] || exit 1
done
