#!/bin/bash
# convert, inspect and verify: the stories model into a Hugging Face folder and on, every refusal, nothing half-written, damage named.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
hf=$TMP/hf

no_temps() { # no_temps NAME: nothing temporary below $TMP
    result "$1" "$(find "$TMP" -name '*.tmp.*' | head -n 3)"
}
same() { # same NAME FILE FILE
    result "$1" "$(cmp "$2" "$3" 2>&1)"
}

expect 0 "llama2.c model to a folder" "47 tensors, 260032 parameters" "" "$CSPEED" convert --input "$data/stories260K.bin" --output "$hf" --tokenizer "$data/tok512.bin"
for f in config.json generation_config.json model.safetensors tok512.bin; do
    [ -s "$hf/$f" ] && result "writes $f" "" || result "writes $f" "missing"
done
expect 0 "config" '"num_key_value_heads": 4' "" cat "$hf/config.json"
expect 0 "greedy text of the converted model" "" "" "$CSPEED" generate --load "$hf" --prompt "" --max-new-tokens 200 --dtype f32
result "its greedy text is llama2.c's" "$(cmp "$TMP/stdout" <(cat "$data/expected_greedy_200.txt" && echo) 2>&1)"
expect 0 "folder to folder" "" "" "$CSPEED" convert --input "$hf" --output "$TMP/again"
same "keeps the weights' bytes" "$hf/model.safetensors" "$TMP/again/model.safetensors"
same "carries the tokenizer over" "$hf/tok512.bin" "$TMP/again/tok512.bin"
expect 0 "to bf16" "520064 bytes" "" "$CSPEED" convert --input "$hf" --output "$TMP/bf16" --dtype bf16
expect 0 "bf16 config" '"torch_dtype": "bfloat16"' "" cat "$TMP/bf16/config.json"
expect 0 "bf16 to f64 and back" "" "" "$CSPEED" convert --input "$TMP/bf16" --output "$TMP/f64" --dtype f64
expect 0 "f64 back to bf16" "" "" "$CSPEED" convert --input "$TMP/f64" --output "$TMP/bf16b" --dtype bf16
same "bf16 is exact through f64" "$TMP/bf16/model.safetensors" "$TMP/bf16b/model.safetensors"
expect 0 "shards" "" "" "$CSPEED" convert --input "$hf" --output "$TMP/shards" --max-shard-size 200KB
[ -e "$TMP/shards/model.safetensors.index.json" ] && [ ! -e "$TMP/shards/model.safetensors" ] && result "shards have an index" "" || result "shards have an index" "no"
expect 0 "shards to one file" "" "" "$CSPEED" convert --input "$TMP/shards" --output "$TMP/joined"
same "joined shards are the same bytes" "$hf/model.safetensors" "$TMP/joined/model.safetensors"

expect 2 "output is not empty" "" "not empty" "$CSPEED" convert --input "$hf" --output "$TMP/again"
expect 2 "both flags missing, one pass" "" "--output is missing" "$CSPEED" convert
expect 2 "kind of output that is not there" "" "--to" "$CSPEED" convert --input "$hf" --output "$TMP/x" --to pickle
expect 2 "shard size" "" "max-shard-size" "$CSPEED" convert --input "$hf" --output "$TMP/x" --max-shard-size 5parsec
expect 4 "no such input" "" "no/such" "$CSPEED" convert --input "$TMP/no/such" --output "$TMP/x"
expect 4 "no such tokenizer" "" "tok.none" "$CSPEED" convert --input "$hf" --output "$TMP/x" --tokenizer "$TMP/tok.none"
expect 4 "input is an empty folder" "" "empty" bash -c 'mkdir "$1/empty"; "$0" convert --input "$1/empty" --output "$1/x"' "$CSPEED" "$TMP"
head -c 500000 "$data/stories260K.bin" >"$TMP/cut.bin"
expect 3 "llama2.c model cut off" "" "byte" "$CSPEED" convert --input "$TMP/cut.bin" --output "$TMP/x"
cp -r "$hf" "$TMP/cut" && truncate -s 500000 "$TMP/cut/model.safetensors"
expect 3 "safetensors cut off" "" "cut/model.safetensors: byte [0-9]+: tensor" "$CSPEED" convert --input "$TMP/cut" --output "$TMP/x"
rm "$TMP/shards/model-00002-of-"*
expect 4 "missing shard" "" "model-00002-of" "$CSPEED" convert --input "$TMP/shards" --output "$TMP/x"
cp -r "$hf" "$TMP/odd" && sed -i 's/"intermediate_size": 172/"intermediate_size": 176/' "$TMP/odd/config.json"
expect 3 "config of another model" "" "gate_proj.weight.*\[172, 64\].*\[176, 64\]" "$CSPEED" convert --input "$TMP/odd" --output "$TMP/x"

# Every file call fails once: exit 4 or a complete result, never something half under the output's name.
n=0 bad="" failures=0
while n=$((n + 1)) && [ $n -lt 60 ]; do
    FAIL=io:enospc@$n "$CSPEED" convert --input "$hf" --output "$TMP/y" >/dev/null 2>"$TMP/err"
    code=$?
    case $code in
    0) cmp -s "$hf/model.safetensors" "$TMP/y/model.safetensors" || bad="$bad $n:incomplete" ;;
    4) failures=$((failures + 1)) ;;
    *) bad="$bad $n:exit-$code" ;;
    esac
    [ -z "$(find "$TMP" -name 'y.tmp.*')" ] || bad="$bad $n:temporary"
    rm -rf "$TMP/y" "$TMP"/y.tmp.*
done
[ $failures -gt 8 ] || bad="$bad only-$failures-failures"
result "convert under a full disk" "$bad"
[ ! -e "$TMP/x" ] && result "refusals write nothing" "" || result "refusals write nothing" "$TMP/x is there"
no_temps "nothing temporary is left"

expect 0 "inspect a folder" "tie_word_embeddings: yes" "" "$CSPEED" inspect "$hf"
expect 0 "inspect weights" "model.norm.weight +F32 \[64\]" "" "$CSPEED" inspect "$hf/model.safetensors"
expect 0 "inspect --json" '"elements": 260032' "" "$CSPEED" inspect "$hf" --json
expect 0 "inspect a llama2.c model" "kind: llama2.c model" "" "$CSPEED" inspect "$data/stories260K.bin"
expect 0 "inspect a tokenizer" "tokenizer_vocab_size: 512" "" "$CSPEED" inspect "$data/tok512.bin"
expect 0 "inspect a config" "kind: model config" "" "$CSPEED" inspect "$hf/config.json"
expect 2 "inspect nothing" "" "needs a file" "$CSPEED" inspect
expect 3 "inspect damaged weights" "" "is the file cut off" "$CSPEED" inspect "$TMP/cut/model.safetensors"
printf 'hello\001' >"$TMP/hello"
expect 3 "inspect something else" "" "68 65 6c 6c 6f" "$CSPEED" inspect "$TMP/hello"
expect 4 "inspect nothing there" "" "No such file" "$CSPEED" inspect "$TMP/none"

expect 0 "verify a folder without a manifest" "form only" "" "$CSPEED" verify "$hf"
expect 3 "verify damaged weights without a manifest" "" "cut/model.safetensors" "$CSPEED" verify "$TMP/cut"
mkdir -p "$TMP/half/trainer"
expect 8 "verify a checkpoint without its manifest" "" "no MANIFEST" "$CSPEED" verify "$TMP/half"
expect 4 "verify nothing there" "" "no such folder" "$CSPEED" verify "$TMP/none"
expect 2 "verify needs a folder" "" "one folder" "$CSPEED" verify
finish
