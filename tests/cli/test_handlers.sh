#!/bin/bash
# preprocess, dataset styles: names, the three pairs of files, flags of samples, dataset_info.json, bad records. What the tokens are: tests/golden.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
records=$here/golden/instruction/records.jsonl
in=$TMP/in
out=$TMP/out
mkdir -p "$in" "$out"
pre() { "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok_tiny.json" --quiet "$@"; }
parts="input_ids attention_mask labels"

expect 0 "samples" '"documents": 50, .*"samples": 50, "trained_tokens": [0-9]+, "untrained_samples": 0, "long_samples": 0, "dtype": "i32"' "" \
    pre --json --input "$records" --output-prefix "$out/ref" --handler-name GeneralInstructionHandler --append-eod
result "names of the outputs" "$(diff <(printf 'ref_packed_%s_document\n' attention_mask.bin attention_mask.idx input_ids.bin input_ids.idx labels.bin labels.idx |
    sed -E 's/(\.[a-z]+)_document/_document\1/') <(ls "$out"))"
for w in 2 4; do
    for h in GeneralInstructionHandler MOSSInstructionHandler sharegpt; do
        pre --input "$records" --output-prefix "$out/one" --handler-name $h --append-eod
        expect 0 "$h, $w workers" "" "" pre --input "$records" --output-prefix "$out/more" --handler-name $h --append-eod --workers $w
        result "$h, $w workers: same bytes" "$(for f in $parts; do for e in bin idx; do
            cmp "$out/one_packed_${f}_document.$e" "$out/more_packed_${f}_document.$e" 2>&1; done; done)"
    done
done
rm -f "$out"/one* "$out"/more*

# ids NAME PART: tokens of a sample file, one a line
ids() { od -An -v -td4 -w4 "$out/$1_packed_$2_document.bin" | tr -d ' '; }
printf '{"instruction": "Once upon", "output": "a time"}\n' >"$in/one.jsonl"
expect 0 "input may be missing" "" "" pre --input "$in/one.jsonl" --output-prefix "$out/a" --handler-name GeneralInstructionHandler --append-eod
result "mask of ones, labels of the answer" "$(ids a attention_mask | sort -u | grep -vx 1; paste <(ids a input_ids) <(ids a labels) |
    awk '$2 != -100 && $1 != $2 { print "label " $2 " of " $1 } $2 == -100 { if (seen) print "gap"; n++ } $2 != -100 { seen = 1 } END { if (!n || !seen) print n, seen }')"
result "EOD is trained" "$([ "$(ids a labels | tail -n 1)" = 2 ] || ids a labels)"
n=$(ids a input_ids | wc -l)
pre --input "$in/one.jsonl" --output-prefix "$out/b" --handler-name GeneralInstructionHandler --append-eod --train-on-prompt
result "--train-on-prompt" "$(diff <(ids b input_ids) <(ids b labels))"
pre --input "$in/one.jsonl" --output-prefix "$out/p" --handler-name GeneralInstructionHandler --append-eod --pad-to-multiple-of 1000
result "--pad-to-multiple-of" "$(diff <(ids a input_ids; for ((i = n; i < 1000; i++)); do echo 2; done) <(ids p input_ids)
    diff <(ids a labels; for ((i = n; i < 1000; i++)); do echo -100; done) <(ids p labels)
    [ "$(ids p attention_mask | sort | uniq -c | tr '\n' ' ' | tr -s ' ')" = " $((1000 - n)) 0 $n 1 " ] || ids p attention_mask | sort | uniq -c)"
# one sample of n tokens, and one short one
{ cat "$in/one.jsonl"; echo '{"instruction": "", "output": ""}'; } >"$in/two.jsonl"
m=$(pre --json --input "$in/two.jsonl" --output-prefix "$out/l" --handler-name GeneralInstructionHandler --append-eod | grep -oE '"tokens": [0-9]+' | grep -oE '[0-9]+')
m=$((m - n))
for long in "keep $((n + m)) 2" "cut $((m + m)) 2" "drop $m 1"; do
    set -- $long
    expect 0 "--long-samples $1" "\"tokens\": $2, .*\"samples\": $3, .*\"long_samples\": 1," "" pre --json --input "$in/two.jsonl" --output-prefix "$out/l" \
        --append-eod --handler-name GeneralInstructionHandler --seq-length $((m - 1)) --long-samples $1
done
expect 0 "long samples in the summary" "" "1 samples of more than 31 tokens: cut" "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok_tiny.json" \
    --input "$in/one.jsonl" --output-prefix "$out/l" --handler-name GeneralInstructionHandler --seq-length 30 --long-samples cut
result "cut to 31 tokens" "$([ "$(ids l input_ids | wc -l)" = 31 ] && diff <(ids a input_ids | head -n 31) <(ids l input_ids))"
result "a sample without an answer is told" "$(grep -q '1 samples have no trained token' "$TMP/stderr" || cat "$TMP/stderr")"

# keys of the records from a dataset_info.json: beside the input, by name, by flag; formatting chooses the handler
mkdir "$in/lf"
printf '[{"q": "Once", "a": "upon"}]' >"$in/lf/qa.json"
printf '[{"q": "Once", "a": "upon"}, {"q": "a", "a": "time"}, 5]' >"$in/lf/few.json"
printf '{"talk": [{"role": "U", "text": "Once"}, {"role": "A", "text": "upon"}]}\n' >"$in/lf/talk.jsonl"
cat >"$in/lf/dataset_info.json" <<'JSON'
{"qa": {"file_name": "qa.json", "columns": {"prompt": "q", "response": "a"}},
 "talk": {"file_name": "talk.jsonl", "formatting": "sharegpt", "columns": {"messages": "talk"},
          "tags": {"role_tag": "role", "content_tag": "text", "user_tag": "U", "assistant_tag": "A"}},
 "pairs": {"file_name": "qa.json", "ranking": true, "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}},
 "few": {"file_name": "few.json", "num_samples": 1, "columns": {"prompt": "q", "response": "a"}},
 "minus": {"file_name": "few.json", "num_samples": -1},
 "hub": {"hf_hub_url": "someone/something"},
 "image": {"file_name": "qa.json", "columns": {"prompt": "q", "response": "a", "images": "i"}}}
JSON
printf '{"instruction": "Once", "output": "upon"}\n' >"$in/plain.jsonl"
pre --input "$in/plain.jsonl" --output-prefix "$out/want" --handler-name alpaca
like() { # like NAME FLAGS...: the same samples as "$in/plain.jsonl"
    local name=$1
    shift
    expect 0 "$name" "" "" pre --output-prefix "$out/got" "$@"
    result "$name: same samples" "$(for f in $parts; do cmp "$out/want_packed_${f}_document.bin" "$out/got_packed_${f}_document.bin" 2>&1; done)"
    rm -f "$out"/got*
}
like "dataset_info.json beside the input" --input "$in/lf/qa.json" --handler-name alpaca
like "num_samples" --input "$in/lf/few.json" --handler-name alpaca --workers 2
like "--dataset-name chooses the handler" --input "$in/lf/talk.jsonl" --dataset-name talk
like "--dataset-info and name are enough" --dataset-info "$in/lf/dataset_info.json" --dataset-name talk
like "--dataset-info, entry by file name" --dataset-info "$in/lf/dataset_info.json" --input "$in/lf/qa.json"
like "--handler-name openai with tags" --dataset-info "$in/lf/dataset_info.json" --dataset-name talk --handler-name openai

# objects over several lines, as MOSS's files are
cat >"$in/many.json" <<'JSON'
{
  "instruction": "Once { \" [",
  "output": "upon"
}
{ "instruction": "a",
  "output": "time",
  "more": [ { } ] }  {"instruction": "b", "output": "c"}
JSON
printf '%s\n' '{"instruction": "Once { \" [", "output": "upon"}' '{"instruction": "a", "output": "time"}' '{"instruction": "b", "output": "c"}' >"$in/plain.jsonl"
pre --input "$in/plain.jsonl" --output-prefix "$out/want" --handler-name alpaca
like "objects over several lines" --input "$in/many.json" --handler-name alpaca
cp "$in/many.json" "$in/many"
like "objects over several lines, no extension" --input "$in/many" --handler-name alpaca
mkdir "$in/folder"
for i in 1 2 3; do sed -n ${i}p "$in/plain.jsonl" | sed 's/^{/{\n/' >"$in/folder/$i.json"; done
printf 'output,instruction\nupon,"Once { "" ["\ntime,a\nc,b\n' >"$in/plain.csv"
like "a table" --input "$in/plain.csv" --handler-name alpaca
like "a folder of them" --input "$in/folder" --handler-name alpaca --workers 2
printf '{"instruction": "a", "output": "time"}\n' >"$in/plain.jsonl"

# mistakes: exit code, one line, nothing written
clean() { # clean NAME CODE PATTERN FLAGS...
    local name=$1 code=$2 pattern=$3
    shift 3
    rm -rf "$TMP/none"
    mkdir "$TMP/none"
    expect "$code" "$name" "" "$pattern" pre --output-prefix "$TMP/none/p" "$@"
    result "$name: one line, no file" "$([ "$(wc -l <"$TMP/stderr")" = 1 ] || cat "$TMP/stderr"; ls "$TMP/none")"
}
info=$in/lf/dataset_info.json
clean "unknown handler" 2 "handler-name.*GeneralInstructionHandler" --input "$records" --handler-name GeneralInstructHandler
clean "handler for JSON, text input" 2 "text file" --input "$here/data/ref_prompt.txt" --handler-name GeneralInstructionHandler
clean "keys with a handler of fixed keys" 2 "json-keys: GeneralInstructionHandler" --input "$records" --handler-name GeneralInstructionHandler --json-keys a
clean "--train-on-prompt for documents" 2 "train-on-prompt: goes with" --input "$records" --train-on-prompt
clean "--long-samples without length" 2 "needs --seq-length" --input "$records" --handler-name sharegpt --long-samples cut
clean "entry that is not there" 2 "no such entry; did you mean talk" --input "$in/lf/talk.jsonl" --dataset-name talks
clean "file that no entry has" 2 "no entry has the file_name plain.jsonl" --input "$in/plain.jsonl" --dataset-info "$info"
clean "entry of preferences" 3 "pairs: .*ranking" --dataset-info "$info" --dataset-name pairs
clean "entry that would be fetched" 3 "hub: has no file_name" --dataset-info "$info" --dataset-name hub
clean "entry of less than no records" 3 "minus.num_samples: expected a number" --dataset-info "$info" --dataset-name minus
clean "entry with images" 3 "image.columns.images" --dataset-info "$info" --dataset-name image
clean "entry of another form" 2 "has formatting sharegpt" --dataset-info "$info" --dataset-name talk --handler-name alpaca
clean "entry for fixed keys" 2 "has fixed keys" --dataset-info "$info" --dataset-name talk --handler-name MOSSInstructionHandler
echo '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}' >"$in/tokenizer.json"
expect 2 "ids of Baichuan 2" "" "ids up to 196 of Baichuan 2" "$CSPEED" preprocess --input "$records" --handler-name MOSSMultiTurnHandler \
    --output-prefix "$out/x" --tokenizer-name-or-path "$in/tokenizer.json"

{ cat "$in/many.json"; printf '{\n "instruction": "a",\n "output": b }\n{"instruction": "c", "output": "d"}\n'; } >"$in/bad.json"
clean "an object over several lines that is none" 3 "bad.json:10:12: " --input "$in/bad.json" --handler-name alpaca
expect 0 "--skip-bad over several lines" '"documents": 4, .*"skipped": 1' "bad.json:10:12: " pre --json --input "$in/bad.json" --output-prefix "$out/x" \
    --handler-name alpaca --skip-bad
{ cat "$in/many.json"; printf '{\n "instruction": "a",\n'; } >"$in/open.json"
clean "an object that does not end" 3 "open.json:(8|9|10):" --input "$in/open.json" --handler-name alpaca

# bad records: file, line and key
bad() { # bad HANDLER RECORD PATTERN
    { head -n 3 "$records" | sed 's/"instruction": "[^"]*"/"instruction": "Human: Assistant:"/'; printf '%s\n' "$2"; } >"$in/bad.jsonl"
    clean "$1: $3" 3 "bad.jsonl:4: .*$3" --input "$in/bad.jsonl" --handler-name "$1"
}
bad AlpacaPretrainHandler '{"input": "", "output": ""}' 'lacks the key "instruction"'
bad GeneralInstructionHandler '{"instruction": "a", "input": 5, "output": ""}' 'no string under "input"'
bad GeneralInstructionHandler '["a"]' 'no JSON object'
bad BelleMultiTurnInstructionHandler '{"instruction": "What?", "output": "a"}' 'no "Human:" under "instruction"'
bad BelleMultiTurnInstructionHandler '{"instruction": "Human: What?", "output": "a"}' 'no "Assistant:" behind the last "Human:"'
bad LeetcodePythonInstructionHandler '{"code_with_problem": "a", "code_only": "b"}' 'lacks the key "explanation_only"'
bad StackOverflowPythonPretrainHandler '{"title": "a", "question_body": "b", "answer_body": null}' 'no string under "answer_body"'
bad MOSSInstructionHandler '{"chat": []}' 'no object under "chat"'
bad MOSSInstructionHandler '{"chat": {"turn_1": {"Human": "a", "MOSS": "b"}, "turn_2": {"Human": "a"}}}' 'lacks the key "chat.turn_2.MOSS"'
bad MOSSMultiTurnHandler '{"chat": {"turn_1": "a"}}' 'no object under "chat.turn_1"'
bad alpaca '{"instruction": "a", "output": "b", "history": [["a"]]}' 'no list of \[question, answer\] under "history"'
bad sharegpt '{"conversations": {}}' 'no list under "conversations"'
bad sharegpt '{"conversations": [{"from": "human", "value": "a"}]}' 'has no answer'
bad sharegpt '{"conversations": [{"from": "robot", "value": "a"}]}' 'turn 1 of "conversations" is of "robot"; known are "human" and "gpt"'
bad sharegpt '{"conversations": [{"from": "human", "value": "a"}, {"from": "system", "value": "b"}]}' 'turn 2 .*only the first'
bad openai '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}' 'part 1 of the content of "messages\[0\]" is no text'
bad openai '{"messages": [{"role": "assistant", "content": null}]}' 'no string under "messages\[0\].content"'
expect 0 "--skip-bad: half a conversation leaves nothing" '"samples": 1, .*"long_samples"' "skipped: .*bad.jsonl:1: .*turn_2.MOSS" \
    bash -c 'printf "%s\n%s\n" "$1" "$2" >"$3/bad.jsonl"; shift 3; "$@"' - '{"chat": {"turn_1": {"Human": "a", "MOSS": "b"}, "turn_2": {"Human": "a"}}}' \
    '{"chat": {"turn_1": {"Human": "a", "MOSS": "b"}}}' "$in" "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok_tiny.json" --quiet --json --skip-bad \
    --handler-name MOSSInstructionHandler --output-prefix "$out/skip" --input "$in/bad.jsonl"
result "--skip-bad: one line" "$(grep -c skipped "$TMP/stderr" | grep -vx 1)"

# all six files or none, whatever call fails; an older set stays whole
n=0 wrong=""
while n=$((n + 1)) && [ $n -lt 200 ]; do
    rm -rf "$TMP/fail" && mkdir "$TMP/fail"
    FAIL=io:enospc@$n pre --input "$in/one.jsonl" --output-prefix "$TMP/fail/p" --handler-name alpaca 2>"$TMP/err"
    code=$?
    files=$(ls "$TMP/fail" | grep -vc '\.lock$')
    if [ $code = 0 ]; then
        [ "$files" = 6 ] || wrong="$wrong $n:$files"
        [ -s "$TMP/err" ] || break
    elif [ $code != 4 ] || [ "$files" != 0 ]; then
        wrong="$wrong $n:$code:$files"
    fi
done
result "each system call fails once ($n): six files or none" "$wrong"
n=0 wrong=""
printf '{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}\n' >"$in/talk.jsonl"
while n=$((n + 1)) && [ $n -lt 400 ]; do
    rm -rf "$TMP/fail" && mkdir "$TMP/fail"
    FAIL=mem@$n "$CSPEED" preprocess --quiet --tokenizer-name-or-path "$here/data/tok512.bin" --input "$in/talk.jsonl" --output-prefix "$TMP/fail/p" \
        --handler-name sharegpt --append-eod 2>"$TMP/err"
    code=$?
    [ $code = 0 ] && [ ! -s "$TMP/err" ] && break
    [ $code = 5 ] && [ "$(wc -l <"$TMP/err")" = 1 ] && [ -z "$(ls "$TMP/fail")" ] || wrong="$wrong $n:$code:$(head -c 90 "$TMP/err")"
done
result "each allocation fails once ($n)" "$wrong"
wrong=""
pre --input "$in/two.jsonl" --output-prefix "$TMP/old" --handler-name alpaca
for i in $(seq 1 18); do
    rm -rf "$TMP/kill" && mkdir "$TMP/kill"
    for f in $parts; do for e in bin idx; do cp "$TMP/old_packed_${f}_document.$e" "$TMP/kill/p_packed_${f}_document.$e"; done; done
    (FAIL=kill@rename:$i pre --input "$in/one.jsonl" --output-prefix "$TMP/kill/p" --handler-name alpaca) 2>"$TMP/err"
    code=$?
    [ $code = 0 ] && break
    pre --input "$in/plain.jsonl" --output-prefix "$TMP/kill/p" --handler-name openai 2>"$TMP/err" # fails, and must not leave parts of two sets
    new=0 old=0
    for f in $parts; do
        cmp -s "$TMP/old_packed_${f}_document.bin" "$TMP/kill/p_packed_${f}_document.bin" && old=$((old + 1))
        [ -e "$TMP/kill/p_packed_${f}_document.idx" ] && new=$((new + 1))
    done
    [ "$code" = 137 ] && [ $new = 3 ] && { [ $old = 3 ] || [ $old = 0 ]; } || wrong="$wrong $i:$code:$new:$old"
done
[ $i -gt 6 ] || wrong="$wrong $i renames only"
result "killed at every rename ($i), then a run that fails: one set" "$wrong"

finish
