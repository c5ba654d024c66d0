#!/bin/bash
# inspect: every kind of file and folder is told by its content, whatever its name; damaged ones are exit 3 with a message, missing ones 4. CSPEED names
# the program.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
mkdir "$TMP/f"
f=$TMP/f
export OMP_WAIT_POLICY=passive

# kind NAME FILE KIND PATTERN: text and --json; the file is looked at under a name that says nothing.
kind() {
    local plain=$f/plain.$RANDOM
    cp "$2" "$plain"
    expect 0 "$1" "^kind: $3\$" "" "$CSPEED" inspect "$plain"
    [ -z "$4" ] || result "$1, facts" "$(grep -qE -e "$4" "$TMP/stdout" || { echo "no '$4' in"; cat "$TMP/stdout"; })"
    expect 0 "$1 --json" "\"kind\": \"$3\"" "" "$CSPEED" inspect "$plain" --json
    rm "$plain"
}
# damaged NAME FILE MESSAGE: exit 3, nothing on stdout
damaged() {
    expect 3 "$1" "" "error\[FORMAT\]: .*$3" "$CSPEED" inspect "$2"
    result "$1, no output" "$(cat "$TMP/stdout")"
}

# tokenizers and their parts
kind "tokenizer.model" "$data/tok_tiny.model" tokenizer "^tokenizer_source: SentencePiece BPE"
kind "tokenizer.json" "$data/tok_tiny.json" tokenizer "^tokenizer_vocab_size: 278"
kind "llama2.c tokenizer" "$data/tok512.bin" tokenizer "^tokenizer_ids: bos 1, eos 2, unk 0, pad -1"
kind "vocab.json" "$data/gpt2_tiny/vocab.json" vocabulary "^highest_id: 271"
kind "merges.txt" "$data/gpt2_tiny/merges.txt" "merge rules" "^rules: 15"
tail -n +2 "$data/gpt2_tiny/merges.txt" >"$f/bare"
kind "merges without a version line" "$f/bare" "merge rules" "^rules: 15"
echo '{"tokenizer_class": "LLaMATokenizer", "model_max_length": 1000000000000000019884624838656, "chat_template": "x"}' >"$f/conf"
kind "tokenizer_config.json" "$f/conf" "tokenizer config" "model_max_length 1e\+30"
echo '{"bos_token": {"content": "<s>"}, "pad_token": "<pad>"}' >"$f/map"
kind "special_tokens_map.json" "$f/map" "tokenizer config" "bos_token keys 1"
kind "GGUF vocabulary" "$data/vocab_tiny.gguf" GGUF "tokenizer.ggml.tokens +string +\[278 items\]"
kind "GGUF weights" "$data/../fuzz/corpus/gguf/tensors" GGUF "^  b +Q8_0 +\[1, 32\] +34"
mkdir "$f/words" && cp "$data/vocab_tiny.gguf" "$f/words/any.gguf"
expect 0 "folder with a GGUF vocabulary" "^tokenizer_files: \[any.gguf\]" "" "$CSPEED" inspect "$f/words"
expect 0 "folder with a pair" "^tokenizer_source: vocab.json with merges.txt" "" "$CSPEED" inspect "$data/gpt2_tiny"

# weights
kind "safetensors" "$data/../fuzz/corpus/safetensors/two" safetensors "^tensor_count: 2"
kind "llama2.c model" "$data/stories260K.bin" "llama2.c model" "^vocab_size: 512"
kind "npy" "$data/megatron/demo_text_document_train_indexmap_90ns_1024sl_2023s_sample_idx.npy" "npy array" "^shape: \[95, 2\]"
expect 0 "convert" "" "" "$CSPEED" convert --input "$data/stories260K.bin" --output "$TMP/hf" --tokenizer "$data/tok512.bin" --max-shard-size 300KB
expect 0 "Hugging Face folder" "^tensor_count: 47" "" "$CSPEED" inspect "$TMP/hf"
kind "model config" "$TMP/hf/config.json" "model config" "^num_hidden_layers: 5"
kind "safetensors index" "$TMP/hf/model.safetensors.index.json" "safetensors index" "^tensor_count: 47"
echo '{"model_type": "gpt_neox", "hidden_size": 8}' >"$f/other"
kind "config of another family" "$f/other" "model config" "^note: not a family"

# data
expect 0 "idx/bin by prefix" "^documents: 20" "" "$CSPEED" inspect "$data/megatron/demo_text_document"
expect 0 "idx/bin by .idx" "^tokens: 33063" "" "$CSPEED" inspect "$data/megatron/demo_text_document.idx"
expect 0 "idx/bin by .bin" "^tokens: 33063" "" "$CSPEED" inspect "$data/megatron/demo_text_document.bin"
printf '{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n' >"$f/rows"
kind "JSON lines" "$f/rows" "JSON lines" "^first_record: text string, n integer"
gzip -nc "$f/rows" >"$f/rows.packed"
kind "JSON lines, gzip" "$f/rows.packed" "JSON lines" "^compression: gzip"
kind "JSON lines, zstd" "$data/preprocess/small.jsonl.zst" "JSON lines" "^compression: zstd"
echo '[{"instruction": "a", "input": "", "output": "b"}]' >"$f/list"
kind "JSON list" "$f/list" JSON "^records: 1"
kind "JSON object" "$data/../golden/sampler.json" JSON ""
kind "text" "$data/ref_prompt.txt" text "^bytes: 600"
gzip -nc "$data/ref_prompt.txt" >"$f/text.packed"
kind "text, gzip" "$f/text.packed" text "^compression: gzip"

# a run
cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 16, "intermediate_size": 32,
 "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 32, "rms_norm_eps": 1e-5}
J
expect 0 "preprocess" "" "" "$CSPEED" preprocess --input "$data/ref_prompt.txt" --output-prefix "$TMP/d" --tokenizer-name-or-path "$data/tok512.bin" --append-eod
expect 0 "train" "" "" "$CSPEED" train --model-config "$TMP/tiny.json" --data-path "$TMP/d_text_document" --save "$TMP/run" --train-iters 3 --seq-length 16 \
    --micro-batch-size 1 --global-batch-size 1 --lr 1e-3 --log-interval 1 --split 100,0,0 --eval-iters 0 --threads 1 --quiet --tokenizer-name-or-path "$data/tok512.bin"
expect 0 "run folder" "^kind: run folder" "" "$CSPEED" inspect "$TMP/run"
expect 0 "checkpoint" "^kind: checkpoint" "" "$CSPEED" inspect "$TMP/run/iter_0000003"
kind "manifest" "$TMP/run/iter_0000003/MANIFEST" "checkpoint manifest" "^iteration: 3"
kind "metrics.jsonl" "$TMP/run/metrics.jsonl" "training metrics" "^last_step: 3"
kind "TensorBoard events" "$(echo "$TMP"/run/events.out.tfevents.*)" "TensorBoard events" "lm loss 3, "

# recognised, not read
kind "PyTorch file" "$data/torch/training.pt" "PyTorch checkpoint" "^tensor_count: [1-9]"
kind "PyTorch file with strides" "$data/torch/views.pt" "PyTorch checkpoint" "^storages: "
{ printf 'PK\003\004\024\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\005\0\0\0a.txt'; head -c 40 /dev/zero; } >"$f/zip"
kind "zip" "$f/zip" "zip archive" "^note: "
printf '\200\002\212\012\154\374\234\106\371\040\152\250\120\031.more' >"$f/old"
expect 3 "PyTorch before zip" "" "old: " "$CSPEED" inspect "$f/old"

cp "$data/../golden/parquet/v2_zstd_dict_nested.parquet" "$f/par"
kind "Parquet" "$f/par" Parquet "^row_groups: [1-9]"
result "its columns" "$("$CSPEED" inspect --json "$f/par" | grep -q '"codecs": *"ZSTD"' || "$CSPEED" inspect --json "$f/par")"

# damage
head -c 4000 "$data/vocab_tiny.gguf" >"$f/cut.gguf"
damaged "cut GGUF" "$f/cut.gguf" "offset [0-9]+: (string|key) claims"
head -c 4000 "$data/tok_tiny.model" >"$f/cut.model"
damaged "cut tokenizer.model" "$f/cut.model" "cut.model: "
head -c 3000 "$data/tok_tiny.json" >"$f/cut.json"
damaged "cut tokenizer.json" "$f/cut.json" "cut.json:[0-9]+:[0-9]+: "
head -c 6000 "$data/tok512.bin" >"$f/cut.bin"
damaged "cut llama2.c tokenizer" "$f/cut.bin" "offset [0-9]+: .* token 487"
head -c 300 "$data/../fuzz/corpus/safetensors/two" | head -c -3 >"$f/cut.safetensors"
damaged "cut safetensors" "$f/cut.safetensors" "cut.safetensors: "
head -c -1 "$f/par" >"$f/cut.par"
damaged "cut Parquet" "$f/cut.par" "PAR1"
printf 'PAR1\377\377\0\0PAR1' >"$f/foot.par"
damaged "Parquet with too large a footer" "$f/foot.par" "footer of 65535 bytes"
cp "$data/megatron/demo_text_document.idx" "$f/x.idx" && head -c 1000 "$data/megatron/demo_text_document.bin" >"$f/x.bin"
damaged "short .bin of a pair" "$f/x" "x.bin|x.idx"
head -c 60 "$f/x.idx" >"$f/y.idx" && cp "$f/x.bin" "$f/y.bin"
damaged "cut .idx" "$f/y.idx" "y.idx: "
head -c 40 "$f/rows.packed" >"$f/cut.gz"
damaged "cut gzip" "$f/cut.gz" "cut.gz: "
printf '{"text": "a"\n{"text": "b"}\n' >"$f/bad.jsonl"
damaged "bad JSON" "$f/bad.jsonl" "bad.jsonl:2:1: "
events=$(echo "$TMP"/run/events.out.tfevents.*)
{ head -c 60 "$events"; printf 'X'; tail -c +62 "$events"; } >"$f/bad.events"
damaged "event file with a changed byte" "$f/bad.events" "checksum of a record"
echo '{"he": 1, "x": -1}' >"$f/vocab.json" && printf 'h e\n' >"$f/merges.txt"
damaged "folder with a damaged pair" "$f" "vocab.json: "
: >"$f/empty"
damaged "empty file" "$f/empty" "empty file"
printf '\001\002\003\004\376\377' >"$f/noise"
damaged "noise" "$f/noise" "not a file this program reads .* 01 02 03 04"
mkdir "$f/nothing"
damaged "folder without anything" "$f/nothing" "without weights"
expect 4 "missing file" "" "No such file" "$CSPEED" inspect "$f/none"
expect 2 "no argument" "" "needs a file" "$CSPEED" inspect
finish
