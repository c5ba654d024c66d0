#!/bin/bash
# Adds the runs of scripts/fuzz_run.sh to the ledger in docs/testing.md: executions and seconds are summed per target, memory and edges are the
# highest seen, findings counts runs that ended with an input that fails. A log is counted once: it is renamed to NAME.counted.
# usage: scripts/fuzz_ledger.sh FOLDER...      (from the root of the repository)
set -eu
table=docs/testing.md
rows=$(mktemp)
trap 'rm -f "$rows" "$table.tmp"' EXIT
for folder in "$@"; do
    for log in "$folder"/log/*.log; do
        [ -f "$log" ] || continue
        name=$(basename "${log%.log}")
        awk -v name="$name" -v code="$(cat "${log%.log}.code" 2>/dev/null || echo 1)" '
            /^stat::number_of_executed_units:/ { n = $2 }
            /^stat::peak_live_bytes:/ { peak = $2 }
            /^wall_seconds:/ { seconds = $2 }
            match($0, / cov: [0-9]+/) { edges = substr($0, RSTART + 6, RLENGTH - 6) }
            END { if (n > 0) print name, n, seconds + 0, peak + 0, edges + 0, (code != 0) }' "$log" >>"$rows"
        mv "$log" "${log%.log}.counted"
    done
done
awk -v rows="$rows" '
    function cell(i) { gsub(/[ _]/, "", f[i]); return f[i] + 0 }
    function out(t) {
        printf "| %s | %d | %d | %d | %d | %d | %d |\n", t, n[t], (s[t] > 0 ? n[t] / s[t] : 0), s[t], (peak[t] + 1023) / 1024, edges[t], found[t]
    }
    BEGIN {
        while ((getline line < rows) > 0) {
            split(line, f, " ")
            t = f[1]; new[t] = 1
            n[t] += f[2]; s[t] += f[3]; found[t] += f[6]
            if (f[4] > peak[t]) peak[t] = f[4]
            if (f[5] > edges[t]) edges[t] = f[5]
        }
    }
    /^\| target \| executions/ { inside = 1; print; next }
    inside && /^\|---/ { print; next }
    inside && /^\|/ {
        split($0, f, "|"); t = f[2]; gsub(/ /, "", t)
        n[t] += cell(3); s[t] += cell(5); found[t] += cell(8)
        if (cell(6) * 1024 > peak[t]) peak[t] = cell(6) * 1024
        if (cell(7) > edges[t]) edges[t] = cell(7)
        new[t] = 1
        next
    }
    inside {
        inside = 0
        k = 0
        for (t in new) name[++k] = t
        for (i = 1; i < k; i++) for (j = i + 1; j <= k; j++) if (name[j] < name[i]) { t = name[i]; name[i] = name[j]; name[j] = t }
        for (i = 1; i <= k; i++) out(name[i])
    }
    { print }' "$table" >"$table.tmp"
mv "$table.tmp" "$table"
