#!/bin/bash
# The frame of the command line: help, version, usage errors, closed and full stdout, failpoints. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"

expect 2 "no arguments" "" "Usage: cspeed COMMAND" "$CSPEED"
expect 0 "help" "Commands" "" "$CSPEED" help
expect 0 "--help" "Commands" "" "$CSPEED" --help
expect 0 "--version" "cspeed [0-9]+\.[0-9]+\.[0-9]+" "" "$CSPEED" --version
expect 0 "version" "jansson" "" "$CSPEED" version
expect 0 "version --json" '"isa":' "" "$CSPEED" version --json
expect 0 "help COMMAND" "--threads" "" "$CSPEED" help version
expect 0 "COMMAND --help" "--threads" "" "$CSPEED" version --help
expect 0 "--help wins over mistakes" "--threads" "" "$CSPEED" version --help --threads x
expect 2 "unknown command" "" "did you mean version" "$CSPEED" versoin
expect 2 "unknown flag" "" "--treads: unknown flag; did you mean --threads" "$CSPEED" version --treads 2
expect 2 "all mistakes at once" "" "given twice" "$CSPEED" version --treads 2 --quiet --quiet
expect 2 "range" "" "integer in 0..4096" "$CSPEED" version --threads -1
expect 2 "extra argument" "" "takes no arguments" "$CSPEED" version now
expect 0 "underscores" '"threads": 12' "" "$CSPEED" version --threads 1_2 --print_config
expect 4 "missing config" "" "No such file" "$CSPEED" version --config "$TMP/none.json"
echo '{"threads": 3, "json": true}' >"$TMP/c.json"
expect 0 "config file" '"threads": 5' "" "$CSPEED" version --config "$TMP/c.json" --threads 5 --print-config
echo '{"threads": 3' >"$TMP/c.json"
expect 3 "broken config" "" "c.json:[0-9]+:[0-9]+:" "$CSPEED" version --config "$TMP/c.json"
expect 4 "config is a folder" "" "directory" "$CSPEED" version --config "$TMP"
expect 2 "bad failpoint" "" "failpoint" env FAIL=boom@1 "$CSPEED" version
expect 5 "out of memory" "" "out of memory" env FAIL=mem@1+ "$CSPEED" version
expect 4 "failing read" "" "c.json" env FAIL=io:eio@1 "$CSPEED" version --config "$TMP/c.json"
expect 0 "man page" "\.TH CSPEED 1" "" "$CSPEED" help --man
expect 0 "completion" "complete -o filenames -F _cspeed cspeed" "" "$CSPEED" help --completion
expect 4 "full disk" "" "error\[IO\]: stdout" bash -c '"$0" version >/dev/full' "$CSPEED"
expect 4 "closed stdout" "" "error\[IO\]: stdout" bash -c '"$0" version >&-' "$CSPEED"
expect 0 "reader gone" "" "" bash -c 'set -o pipefail; { sleep 0.2; "$0" help; } | true' "$CSPEED"
expect 0 "completion is valid bash" "version" "" bash -c 'source <("$0" help --completion); COMP_WORDS=(cspeed ver); COMP_CWORD=1; _cspeed; echo "${COMPREPLY[@]}"' "$CSPEED"

# Every failing allocation of a run: exit 5 or a complete result, one error line, never a signal.
n=0 bad=""
while n=$((n + 1)) && [ $n -lt 400 ]; do
    FAIL=mem@$n "$CSPEED" version --print-config --threads 3 >"$TMP/out" 2>"$TMP/err"
    code=$?
    [ $code = 0 ] && grep -q '"json": false' "$TMP/out" && [ ! -s "$TMP/err" ] && break
    [ $code = 5 ] && [ "$(wc -l <"$TMP/err")" = 1 ] || bad="$bad $n:$code"
done
result "each allocation fails once ($n)" "$bad"

n=0 bad=""
echo '{"threads": 3, "json": true}' >"$TMP/c.json"
while n=$((n + 1)) && [ $n -lt 400 ]; do
    FAIL=mem@$n "$CSPEED" version --print-config --config "$TMP/c.json" >"$TMP/out" 2>"$TMP/err"
    code=$?
    [ $code = 0 ] && grep -q '"json": true' "$TMP/out" && [ ! -s "$TMP/err" ] && break
    [ $code = 5 ] && [ "$(wc -l <"$TMP/err")" = 1 ] || bad="$bad $n:$code:$(head -c 90 "$TMP/err")"
done
result "each allocation fails once while a config file is read ($n)" "$bad"
finish
