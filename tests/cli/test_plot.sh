#!/bin/bash
# plot: pictures, sketch, comparison, damaged metrics files.
. "$(dirname "$0")/../cli_lib.bash"
mkdir -p "$TMP/a" "$TMP/b c" "$TMP/one"
for i in $(seq 1 40); do
    echo "{\"step\": $i, \"lm_loss\": $((100 - i)).5, \"val_loss\": $([ $((i % 10)) = 0 ] && echo $((101 - i)) || echo null), \"learning_rate\": 1e-$((i % 3 + 3))}"
done >"$TMP/a/metrics.jsonl"
sed 's/\.5,/.6,/' "$TMP/a/metrics.jsonl" | head -n 20 >"$TMP/b c/metrics.jsonl"
printf '{"step": 21, "lm_lo' >>"$TMP/b c/metrics.jsonl"
echo '{"step": 7, "lm_loss": 2}' >"$TMP/one/metrics.jsonl"

is_png() { [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] || echo "not a PNG"; }

expect 0 "one run" "lm_loss +40 +99\.5 +60\.5 +60\.5 +40" "" "$CSPEED" plot "$TMP/a"
result "its PNG" "$(is_png "$TMP/a/loss.png")"
result "its SVG" "$(grep -c '</svg>' "$TMP/a/loss.svg" | grep -v '^1$')"
result "the sketch is 80 columns" "$("$CSPEED" plot "$TMP/a" | while IFS= read -r line; do case $line in *[│┤└]*) [ ${#line} -gt 80 ] && echo "$line" ;; esac; done)"
cp "$TMP/a/loss.png" "$TMP/first.png"
"$CSPEED" plot "$TMP/a" --quiet >/dev/null
result "same bytes again" "$(cmp "$TMP/a/loss.png" "$TMP/first.png" 2>&1)"
expect 0 "two runs, cut last line" "lm_loss +20" "last line is not complete" "$CSPEED" plot "$TMP/a" "$TMP/b c"
result "picture in the first folder" "$(is_png "$TMP/a/loss_compare.png")"
expect 0 "compare" "over 20 common steps: mean relative difference 0.00111[0-9]*, largest 0.00124[0-9]* at step 20" "" \
    "$CSPEED" plot --compare "$TMP/a" "$TMP/b c" --output "$TMP/cmp"
expect 0 "compare as JSON" '"largest_at_step": 20' "" "$CSPEED" plot --json --no-files --compare "$TMP/a" "$TMP/b c"
expect 0 "a run with itself" "mean relative difference 0, largest 0" "" "$CSPEED" plot --no-files --compare "$TMP/a" "$TMP/a/metrics.jsonl"
expect 0 "other keys and a running mean" "learning_rate" "" "$CSPEED" plot "$TMP/a" --keys lm_loss learning_rate --smooth 0.9 --output "$TMP/k"
result "its PNG" "$(is_png "$TMP/k.png")"
expect 0 "a single point" "lm_loss +1 +2" "" "$CSPEED" plot "$TMP/one/metrics.jsonl"
expect 2 "no run" "" "at least one run" "$CSPEED" plot
expect 2 "compare needs two" "" "two runs" "$CSPEED" plot --compare "$TMP/a"
expect 4 "missing run" "" "No such file" "$CSPEED" plot "$TMP/none"
expect 3 "no such key" "" "wanted keys" "$CSPEED" plot "$TMP/a" --keys nothing
mkdir "$TMP/bad" "$TMP/empty"
printf '{"step": 1, "lm_loss": 2}\nnot json\n{"step": 2, "lm_loss": 2}\n' >"$TMP/bad/metrics.jsonl"
expect 3 "a bad line" "" "metrics.jsonl:2" "$CSPEED" plot "$TMP/bad"
: >"$TMP/empty/metrics.jsonl"
expect 3 "an empty file" "" "no complete row" "$CSPEED" plot "$TMP/empty"
expect 4 "an unwritable place" "" "cannot" "$CSPEED" plot "$TMP/a" --output "$TMP/none/x"
rm "$TMP"/a/loss*
expect 4 "full disk" "" "No space left" env FAIL=io:enospc@3 "$CSPEED" plot "$TMP/a"
result "nothing half-written" "$(ls "$TMP/a" | grep -v '^metrics.jsonl$')"

n=0 bad=""
while n=$((n + 1)) && [ $n -lt 600 ]; do
    FAIL=mem@$n "$CSPEED" plot "$TMP/one" --output "$TMP/m" >"$TMP/out" 2>"$TMP/err"
    code=$?
    [ $code = 0 ] && [ ! -s "$TMP/err" ] && break
    [ $code = 5 ] && [ "$(wc -l <"$TMP/err")" = 1 ] || bad="$bad $n:$code:$(head -c 90 "$TMP/err")"
done
result "each allocation fails once ($n)" "$bad"
finish
