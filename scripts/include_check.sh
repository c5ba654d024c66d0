#!/bin/bash
# Rules of the source tree that a compiler does not check (docs/design.md). Prints each breach, ends with "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
passed=0 failed=0

report() { # report NAME BREACHES
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s\n' "$2" | sed "s|^|$1: |"
    fi
}

# An include may point to the same or an earlier folder only. train and infer are siblings; eval and serve may use infer, not train.
includes=$(grep -rnoE '^#include "[^"]+"' src --include='*.[ch]' | awk -F'[:"]' '
    BEGIN {
        n = split("base fmt tensor kern comm text data nn model ckpt parallel optim train eval serve cli", f, " ")
        for (i = 1; i <= n; i++) rank[f[i]] = i
        rank["infer"] = rank["train"]
    }
    {
        split($1, at, "/"); from = at[2]
        split($4, to_path, "/"); to = to_path[1]
        bad = ""
        if (!(from in rank)) bad = "unknown folder " from
        else if (!(to in rank)) bad = "not a path from src/: " $4
        else if (rank[to] > rank[from]) bad = from " may not include " to
        else if (rank[to] == rank[from] && to != from) bad = from " and " to " are siblings"
        else if ((from == "eval" || from == "serve") && to == "train") bad = from " may not include train"
        else if (from == "serve" && to == "eval") bad = "serve may not include eval"
        else if (to == "kern" && from != "kern") bad = "kern is reached through tensor/kernels.h"
        if (bad != "") print $1 ":" $2 ": " bad
    }')
report "include direction" "$includes"

# Calls in FILES that match PATTERN; comments and string literals do not count.
calls() { # calls PATTERN FILE...
    local pattern=$1 file
    shift
    for file in "$@"; do
        "${CC:-cc}" -fpreprocessed -dD -E "$file" 2>/dev/null | sed -E 's/"([^"\\]|\\.)*"/""/g' | awk -v file="$file" -v pattern="$pattern" '
            /^# [0-9]+ / { line = $2; next }
            { if ($0 ~ "(^|[^A-Za-z0-9_>.])(" pattern ")[ ]*\\(") print file ":" line ": " $0; line++ }'
    done
}
mapfile -t all < <(find src -name '*.[ch]' | sort)
without() { # all files whose path does not match PATTERN
    printf '%s\n' "${all[@]}" | grep -vE "$1"
}

file_calls='open|openat|creat|read|write|pread|pwrite|readv|writev|fsync|fdatasync|rename|renameat|unlink|rmdir|mkdir|truncate|ftruncate|symlink|readlink'
file_calls="$file_calls|opendir|readdir|stat|lstat|fstat|fopen|fdopen|freopen|flock|popen|system|mkstemp|tmpfile"
mapfile -t files < <(without '^src/base/io(_map|_copy)?\.c$|^src/comm/')
report "file system calls outside base/io.c, io_map.c and io_copy.c" "$(calls "$file_calls" "${files[@]}")"
mapfile -t files < <(without '^src/base/io(_map)?\.c$|^src/comm/')
report "mmap outside base/io_map.c and comm/" "$(calls 'mmap|munmap|shm_open' "${files[@]}")"
mapfile -t files < <(without '^src/base/mem\.c$')
report "allocation outside base/mem.c" "$(calls 'malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign|asprintf|vasprintf|getline' "${files[@]}")"
mapfile -t files < <(without '^src/cli/main\.c$|^src/comm/')
report "environment outside cli/main.c and comm/" "$(calls 'getenv|secure_getenv|setenv|putenv' "${files[@]}")"
# What a file says must not be multiplied on the way to an allocation: cs_calloc, cs_realloc_array and cs_mul_checked look for overflow.
mapfile -t files < <(printf '%s\n' "${all[@]}" | grep -E '^src/(fmt|ckpt|data)/')
report "product in an allocation" "$(grep -nE 'cs_(malloc|realloc|arena_alloc)\(.* \* ' "${files[@]}")"
report "mpi.h outside comm/" "$(grep -rnE '#include <mpi' src --include='*.[ch]' | grep -v '^src/comm/')"
report "files over 600 lines" "$(wc -l "${all[@]}" | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines" }')"
report "lines over 150 columns" "$(grep -nE '^.{151,}$' "${all[@]}" | cut -c1-100)"
report "file names used twice" "$(printf '%s\n' "${all[@]}" | sed 's|.*/||' | sort | uniq -d)"
report "machine paths" "$(git grep -nE '/(work|home|root)/' -- src include tests scripts bench docs examples '*.md' '*.sh' Makefile ':!scripts/include_check.sh' 2>/dev/null | cut -c1-120)"
report "unfinished work" "$(grep -rnE 'TODO|FIXME|XXX[^X]' src include 2>/dev/null | cut -c1-120)"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
