#!/bin/bash
# generate, logits and score on the 260K stories model, converted from its llama2.c file. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
m="$TMP/stories"
gen() { "$CSPEED" generate --load "$m" --quiet "$@"; }

# same NAME FILE FILE
same() { result "$1" "$(cmp "$2" "$3" 2>&1)"; }
# has NAME FILE PATTERN
has() { result "$1" "$(grep -qE -e "$3" "$2" || echo "'$3' is not in: $(head -c 300 "$2")")"; }

expect 0 "convert the model" "" "" "$CSPEED" convert --input "$data/stories260K.bin" --tokenizer "$data/tok512.bin" --output "$m"

# Greedy text of 200 tokens from the empty prompt, as llama2.c's run.c prints it; one newline follows.
gen --prompt "" --max-new-tokens 200 >"$TMP/greedy"
{ cat "$data/expected_greedy_200.txt"; echo; } >"$TMP/expected"
same "200 greedy tokens" "$TMP/greedy" "$TMP/expected"
gen --prompt "" --max-new-tokens 200 --stream >"$TMP/streamed"
same "streamed is the same" "$TMP/streamed" "$TMP/expected"
gen --prompt "" --max-new-tokens 200 --dtype f64 >"$TMP/f64"
same "f64 is the same" "$TMP/f64" "$TMP/expected"
gen --prompt "" --max-new-tokens 5 --threads 1 >"$TMP/five"
result "exactly five tokens" "$([ "$(gen --prompt "" --max-new-tokens 5 --json | sed -nE 's/.*"tokens": ?([0-9]+).*/\1/p')" = 5 ] || echo no)"

# A prompt and its continuation are one text: the first 40 bytes give the rest.
head -c 40 "$data/expected_greedy_200.txt" >"$TMP/start"
gen --prompt "$(cat "$TMP/start")" --max-new-tokens 30 --echo >"$TMP/echo"
result "echo and continuation" "$(head -c 100 "$TMP/echo" | cmp -n 100 - "$data/expected_greedy_200.txt" 2>&1)"
gen --prompt "" --max-new-tokens 200 --stop "She loved" "red ball" >"$TMP/stopped"
sed -E '1s/She loved.*//;q' "$TMP/expected" >"$TMP/want"
same "stop string" "$TMP/stopped" "$TMP/want"
gen --prompt "" --max-new-tokens 200 --stop "She loved" --stream >"$TMP/stopped"
same "stop string, streamed" "$TMP/stopped" "$TMP/want"

# Batches: input order, and every text as if it had run alone.
cat >"$TMP/p.jsonl" <<'END'
{"prompt": "Once upon a time"}
{"prompt": ""}

{"prompt": "The little dog wanted to play in the garden with his friend, but it was raining and"}
{"prompt": "Tom said \"hello\" é 你好"}
{"prompt": "One day, a girl named Sue"}
END
for how in "" "--do-sample --temperature 0.9 --seed 7"; do
    # shellcheck disable=SC2086
    gen --prompts "$TMP/p.jsonl" --max-new-tokens 60 --batch-size 3 $how >"$TMP/batch"
    # shellcheck disable=SC2086
    gen --prompts - --max-new-tokens 60 --batch-size 1 $how <"$TMP/p.jsonl" >"$TMP/single"
    same "batch equals single ${how:-greedy}" "$TMP/batch" "$TMP/single"
    sed -E 's/.*"prompt": ?("([^"\\]|\\.)*").*/{"prompt": \1}/' "$TMP/batch" >"$TMP/order"
    grep . "$TMP/p.jsonl" | cmp -s - "$TMP/order" && order="" || order=$(diff <(grep . "$TMP/p.jsonl") "$TMP/order" | head -3)
    result "input order ${how:-greedy}" "$order"
done
gen --prompt "Once upon a time" --prompt "One day" --max-new-tokens 10 >"$TMP/two"
result "two prompts, two lines" "$([ "$(wc -l <"$TMP/two")" = 2 ] || cat "$TMP/two")"
has "second prompt" <(sed -n 2p "$TMP/two") "^, "

# Sampling: the same seed gives the same text.
for seed in 3 3 4; do gen --prompt "" --do-sample --temperature 1.2 --top-p 0.95 --seed $seed -n 50; done >"$TMP/seeds"
gen --prompt "" --do-sample --temperature 1.2 --top-p 0.95 --seed 3 -n 50 >"$TMP/a"
gen --prompt "" --do-sample --temperature 1.2 --top-p 0.95 --seed 3 -n 50 --threads 1 >"$TMP/b"
gen --prompt "" --do-sample --temperature 1.2 --top-p 0.95 --seed 4 -n 50 >"$TMP/c"
same "same seed, same text" "$TMP/a" "$TMP/b"
result "other seed, other text" "$(cmp -s "$TMP/a" "$TMP/c" && echo same)"
gen --prompt "" --do-sample --top-k 1 --seed 9 --max-new-tokens 200 >"$TMP/k1"
same "top-k 1 is greedy" "$TMP/k1" "$TMP/expected"
# At a high temperature byte tokens come out in any order: the stream stays valid UTF-8.
gen --prompt "" --do-sample --temperature 50 --top-k 0 --stream --max-new-tokens 300 >"$TMP/wild"
result "stream is UTF-8" "$(iconv -f UTF-8 -t UTF-8 "$TMP/wild" 2>&1 >/dev/null)"
gen --prompt $'broken \xff\xc3 bytes' --max-new-tokens 5 >"$TMP/bytes"
expect 0 "flags without effect are named" "" "--top-p has no effect without --do-sample" \
    "$CSPEED" generate --load "$m" --prompt x -n 1 --top-p 0.5 --temperature 0
result "any bytes as prompt" "$([ -s "$TMP/bytes" ] || echo "nothing printed")"

# More tokens than positions (512): a warning, a shorter text.
expect 0 "last position" '"tokens": ?512' "last position, 512" "$CSPEED" generate --load "$m" --prompt "" --max-new-tokens 2000 --json

# Mistakes.
g() { "$CSPEED" generate "$@"; }
long=$(printf 'word %.0s' {1..600})
expect 2 "no model" "" "--load PATH is required" g --prompt x
expect 4 "missing model" "" "error\[IO\]" g --load "$TMP/none" --prompt x
expect 4 "a file that is no model" "" "is not a folder" "$CSPEED" generate --load "$data/tok512.bin" --prompt x
expect 0 "a llama2.c model as it is" "" "" "$CSPEED" generate --load "$data/stories260K.bin" --tokenizer-name-or-path "$data/tok512.bin" --prompt Once --max-new-tokens 3
expect 2 "no prompt" "" "no prompt" g --load "$m"
expect 2 "two kinds of prompts" "" "exclude each other" g --load "$m" --prompt x --prompts "$TMP/p.jsonl"
expect 2 "prompt too long" "" "--prompt: [0-9]+ tokens, but the model has 512 positions" g --load "$m" --prompt "$long"
expect 2 "several mistakes" "" "--num-beams 2: beam search is not in this version" g --load "$m" --prompt x --num-beams 2 --do-sample --temperature 0
has "the other mistake" "$TMP/stderr" "--temperature 0: must be above 0"
expect 2 "empty stop string" "" "--stop: value 1 is empty" g --load "$m" --prompt x --stop ""
printf '{"prompt": "a"}\n{"messages": []}\n' >"$TMP/chat.jsonl"
expect 3 "messages" "" "chat.jsonl:2: .*chat templates" g --load "$m" --prompts "$TMP/chat.jsonl"
printf '{"prompt": "a"}\n{"prompt": 3}\n' >"$TMP/bad.jsonl"
expect 3 "wrong type" "" "bad.jsonl:2: expected" g --load "$m" --prompts "$TMP/bad.jsonl"
printf '{"prompt": "a"}\n{"prompt"\n' >"$TMP/bad.jsonl"
expect 3 "broken JSON" "" "bad.jsonl:2:" g --load "$m" --prompts "$TMP/bad.jsonl"
expect 4 "missing prompts" "" "error\[IO\]" g --load "$m" --prompts "$TMP/none.jsonl"
cp -r "$m" "$TMP/short" && truncate -s -100 "$TMP/short/model.safetensors"
expect 3 "truncated weights" "" "model.safetensors" g --load "$TMP/short" --prompt x
expect 4 "full disk" "" "error\[IO\]: stdout" bash -c '"$0" generate --load "$1" --prompt x -n 2 >/dev/full' "$CSPEED" "$m"

# generation_config.json gives defaults and end tokens: 432 is the comma of "Once upon a time,".
cp -r "$m" "$TMP/tuned"
echo '{"max_new_tokens": 7, "eos_token_id": [2, 432]}' >"$TMP/tuned/generation_config.json"
rm -f "$TMP/tuned/MANIFEST"
"$CSPEED" generate --load "$TMP/tuned" --prompt "" --json >"$TMP/tuned.out" 2>"$TMP/stderr"
has "end token of generation_config.json" "$TMP/tuned.out" '"finish_reason": ?"stop"'
has "text before the end token" "$TMP/tuned.out" '"text": ?"Once upon a time"'
echo '{"max_new_tokens": 3}' >"$TMP/tuned/generation_config.json"
"$CSPEED" generate --load "$TMP/tuned" --prompt "" --json >"$TMP/tuned.out" 2>"$TMP/stderr"
has "max_new_tokens of generation_config.json" "$TMP/tuned.out" '"tokens": ?3'

# logits and score agree with run.c: position 0 has its largest logit, 17.0235, at id 403, and logsumexp 17.2673.
expect 0 "logits of ids" "" "" "$CSPEED" logits --load "$m" --ids "1 403, 407" --output "$TMP/l.npy"
has "npy header" <(head -c 128 "$TMP/l.npy" | tr -d '\0') "'descr': '<f4', 'fortran_order': False, 'shape': \(3, 512\)"
result "npy size" "$([ "$(stat -c %s "$TMP/l.npy")" = $((128 + 3 * 512 * 4)) ] || stat -c %s "$TMP/l.npy")"
has "value" <(od -A n -t f4 -j $((128 + 403 * 4)) -N 4 "$TMP/l.npy") "17\.0235"
expect 0 "logits of a prompt" "" "" "$CSPEED" logits --load "$m" --prompt "$(cat "$data/ref_prompt.txt")" --output "$TMP/p.npy"
has "its header" <(head -c 128 "$TMP/p.npy" | tr -d '\0') "'shape': \(294, 512\)"
expect 2 "no output" "" "--output FILE.npy is required" "$CSPEED" logits --load "$m" --ids 1
expect 2 "id out of range" "" "id 512, outside the model's vocabulary of 512" "$CSPEED" logits --load "$m" --ids "1 512" --output "$TMP/x.npy"
expect 2 "no id" "" '"x" is not a token id' "$CSPEED" logits --load "$m" --ids "1 x" --output "$TMP/x.npy"
expect 4 "folder missing" "" "error\[IO\]" "$CSPEED" logits --load "$m" --ids "1 2" --output "$TMP/none/x.npy"
result "nothing half-written" "$(ls "$TMP" | grep 'x\.npy')"

cat >"$TMP/s.jsonl" <<'END'
{"context_ids": [1], "continuation_ids": [403]}
{"context": "", "continuation": "Once upon a time, there was"}
{"context": "Once upon a time, ", "continuation": "there was a little girl named Lily."}
{"context": "Once upon a time,", "continuation": " there was a little girl named Lily."}
{"context": "Once upon a time,", "continuation": " zebra"}
{"context_ids": [1, 403], "continuation_ids": []}
END
expect 0 "score" "" "" bash -c '"$0" score --load "$1" <"$2"' "$CSPEED" "$m" "$TMP/s.jsonl"
cp "$TMP/stdout" "$TMP/scores"
result "a line for each" "$([ "$(wc -l <"$TMP/scores")" = 6 ] || cat "$TMP/scores")"
has "log-probability" <(sed -n 1p "$TMP/scores") '"logprob": ?-0\.24374[0-9]*.*"is_greedy": ?true.*"tokens": ?\[403\].*"token_logprobs": ?\[-0\.24374'
has "greedy text from nothing" <(sed -n 2p "$TMP/scores") '"is_greedy": ?true'
has "greedy text" <(sed -n 3p "$TMP/scores") '"is_greedy": ?true'
result "spaces belong to the continuation" "$(cmp <(sed -n 3p "$TMP/scores") <(sed -n 4p "$TMP/scores"))"
has "unlikely text" <(sed -n 5p "$TMP/scores") '"is_greedy": ?false'
has "empty continuation" <(sed -n 6p "$TMP/scores") '"logprob": ?0\.0.*"tokens": ?\[\]'
expect 3 "score: wrong line" "" "stdin:1: expected" bash -c 'echo "{\"context\": 1}" | "$0" score --load "$1"' "$CSPEED" "$m"
expect 2 "score: too long" "" "stdin:1: [0-9]+ tokens, but the model has 512 positions" \
    bash -c 'echo "{\"context\": \"$2\", \"continuation\": \"x\"}" | "$0" score --load "$1"' "$CSPEED" "$m" "$long"
finish
