#!/bin/bash
# convert: Megatron and AscendSpeed shards of every layout, DeepSpeed's names, PyTorch files, GGUF; there and back bit for bit, and what is refused.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive
head -c 20000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
"$CSPEED" preprocess --quiet --input "$TMP/text.txt" --output-prefix "$TMP/shk" --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod
convert() { "$CSPEED" convert --quiet "$@"; }
weights() { (cd "$1" && cat model*.safetensors | sha256sum); }
same() { [ "$(weights "$1")" = "$(weights "$2")" ] || echo "weights differ"; }

# 12 layers, so that 1, 2 and 3 stages and virtual stages work; a vocabulary that needs padding
cat >"$TMP/llama.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 517, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 12,
 "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
J
cat >"$TMP/internlm.json" <<'J'
{"architectures": ["InternLMForCausalLM"], "model_type": "internlm", "vocab_size": 517, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 12,
 "num_attention_heads": 4, "bias": true, "max_position_embeddings": 64}
J
cat >"$TMP/baichuan.json" <<'J'
{"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", "vocab_size": 517, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 12,
 "num_attention_heads": 4, "model_max_length": 64}
J
cat >"$TMP/bloom.json" <<'J'
{"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 517, "hidden_size": 32, "n_layer": 12, "n_head": 4, "seq_length": 64}
J
for m in llama internlm baichuan bloom; do
    "$CSPEED" train --quiet --model-config "$TMP/$m.json" --data-path "$TMP/shk_text_document" --seq-length 16 --train-iters 1 --lr 1e-3 --eval-iters 0 \
        --threads 1 --save "$TMP/run-$m" 2>"$TMP/stderr" || cat "$TMP/stderr"
    expect 0 "$m: to a folder" "" "" convert --input "$TMP/run-$m" --output "$TMP/hf-$m" --dtype bf16
    last=
    for layout in 1x1 2x1 4x1 1x2 2x2 4x2 1x3 2x3 4x3; do
        tp=${layout%x*} pp=${layout#*x}
        expect 0 "$m: to $layout" "" "" convert --input "${last:-$TMP/hf-$m}" --output "$TMP/mg-$m-$layout" --to megatron \
            --tensor-model-parallel-size "$tp" --pipeline-model-parallel-size "$pp"
        result "$m $layout: one file a rank" "$([ "$(find "$TMP/mg-$m-$layout" -name '*.pt' | wc -l)" = $((tp * pp)) ] || find "$TMP/mg-$m-$layout")"
        last=$TMP/mg-$m-$layout
    done
    expect 0 "$m: back through nine layouts" "" "" convert --input "$last" --output "$TMP/back-$m"
    result "$m: bit for bit" "$(same "$TMP/hf-$m" "$TMP/back-$m")"
    result "$m: the same config" "$(diff "$TMP/hf-$m/config.json" "$TMP/back-$m/config.json")"
    expect 0 "$m: verify shards" "form only" "" "$CSPEED" verify "$last"
done

# variants of one model
variant() { # variant NAME FLAGS...
    local name=$1
    shift
    expect 0 "$name" "" "" convert --input "$TMP/hf-llama" --output "$TMP/v" "$@"
    expect 0 "$name, back" "" "" convert --input "$TMP/v" --output "$TMP/v-back"
    result "$name: bit for bit" "$(same "$TMP/hf-llama" "$TMP/v-back")"
    rm -rf "$TMP/v" "$TMP/v-back"
}
variant "virtual stages" --tensor-model-parallel-size 2 --pipeline-model-parallel-size 3 --num-layers-per-virtual-pipeline-stage 2
variant "gate and up merged" --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2 --merge-mlp
variant "uneven stages" --pipeline-model-parallel-size 3 --partition-layers 5,6,1
variant "DeepSpeed's names" --tensor-model-parallel-size 4 --deepspeed
variant "another padding" --tensor-model-parallel-size 2 --make-vocab-size-divisible-by 1000 --added-token-num 3
expect 0 "AscendSpeed's flags" "" "" "$CSPEED" convert --quiet --input-model-dir "$TMP/hf-baichuan" --output-model-dir "$TMP/as" --tensor-model-parallel-size 2 \
    --pipeline-model-parallel-size 2 --make-vocab-size-divisible-by 8 --pse
expect 0 "the re-sharder's flags" "" "" "$CSPEED" convert --quiet --input-model-dir "$TMP/as/release" --output-model-dir "$TMP/as2" --src-tensor-model-parallel-size 2 \
    --src-pipeline-model-parallel-size 2 --tgt-tensor-model-parallel-size 1 --tgt-pipeline-model-parallel-size 3 --orig-vocab-size 517
expect 0 "and back" "" "" convert --input "$TMP/as2" --output "$TMP/as-back"
result "re-sharded: bit for bit" "$(same "$TMP/hf-baichuan" "$TMP/as-back")"
expect 0 "DeepSpeed's pipeline, BLOOM" "" "" convert --input "$TMP/hf-bloom" --output "$TMP/ds" --deepspeed --tensor-model-parallel-size 2 --pipeline-model-parallel-size 3
expect 0 "and back" "" "" convert --input "$TMP/ds" --output "$TMP/ds-back"
result "DeepSpeed's pipeline: bit for bit" "$(same "$TMP/hf-bloom" "$TMP/ds-back")"

# shards that lack one of them
lacking() { # lacking CODE NAME PATTERN LAYOUT FILES
    rm -rf "$TMP/l" && cp -r "$TMP/mg-llama-$4" "$TMP/l"
    (cd "$TMP/l/release" && eval "rm -r $5")
    expect "$1" "without $2" "" "^cspeed: error.*$3" convert --input "$TMP/l" --output "$TMP/l-out"
}
lacking 3 "one rank" 'l/release: 3 shards are no multiple of 2 tensor ranks; is one missing' 2x2 mp_rank_01_001
lacking 3 "a tensor rank" 'config asks for .* on 1 tensor ranks; is a shard missing' 2x1 'mp_rank_01*'
lacking 3 "a stage" 'the shards hold 6 layers, the model has 12' 2x2 'mp_rank_0?_001'
lacking 4 "a file" 'mp_rank_00_001/model_optim_rng.pt: cannot open' 1x2 'mp_rank_00_001/*.pt'
rm -rf "$TMP/l" && cp -r "$TMP/mg-llama-2x2" "$TMP/l" && echo 99 >"$TMP/l/latest_checkpointed_iteration.txt"
expect 4 "a tracker that names no folder" "" "l: no .* nor the folder that its latest_checkpointed_iteration.txt names" convert --input "$TMP/l" --output "$TMP/l-out"
expect 3 "a layout that the shards have not" "" "4 shards are not 2 tensor ranks times 3 pipeline ranks" \
    convert --input "$TMP/mg-llama-2x2" --output "$TMP/l-out" --src-pipeline-model-parallel-size 3
expect 2 "layouts that cannot be" "" "--merge-mlp: leave it out" convert --input "$TMP/hf-bloom" --output "$TMP/l-out" --to megatron --merge-mlp
expect 2 "DeepSpeed's files with stages" "" "--deepspeed: .* the pipeline size must be 1, not 2" \
    convert --input "$TMP/hf-llama" --output "$TMP/l-out" --deepspeed --pipeline-model-parallel-size 2

# GGUF
expect 0 "to GGUF" "" "" convert --input "$here/data/stories260K.bin" --output "$TMP/s.gguf" --to gguf --tokenizer "$here/data/tok512.bin"
expect 0 "from GGUF" "" "" convert --input "$TMP/s.gguf" --output "$TMP/s-back"
convert --input "$here/data/stories260K.bin" --output "$TMP/s-hf" >"$TMP/out"
result "GGUF: bit for bit" "$(same "$TMP/s-hf" "$TMP/s-back")"
expect 0 "the tokenizer inside" "" "" bash -c '"$0" tokenize --tokenizer-name-or-path "$1" <"$2" >"$3"' "$CSPEED" "$TMP/s.gguf" "$TMP/text.txt" "$TMP/ids"
result "gives the same ids" "$("$CSPEED" tokenize --tokenizer-name-or-path "$here/data/tok512.bin" <"$TMP/text.txt" | cmp - "$TMP/ids" 2>&1)"
result "and so does the folder's own" "$("$CSPEED" tokenize --tokenizer-name-or-path "$TMP/s-back" <"$TMP/text.txt" | cmp - "$TMP/ids" 2>&1)"
result "in files that others read" "$(cd "$TMP/s-back" && ls tokenizer.json tokenizer.model tokenizer_config.json 2>&1 >"$TMP/out")"
expect 0 "GGUF to shards" "" "" convert --input "$TMP/s.gguf" --output "$TMP/s-mg" --tensor-model-parallel-size 2
result "with a tokenizer" "$("$CSPEED" tokenize --tokenizer-name-or-path "$TMP/s-mg" <"$TMP/text.txt" | cmp - "$TMP/ids" 2>&1)"
expect 0 "GGUF to GGUF" "" "" convert --input "$TMP/s.gguf" --output "$TMP/s2.gguf" --to gguf
result "the same file" "$(cmp "$TMP/s.gguf" "$TMP/s2.gguf" 2>&1)"
expect 0 "a vocabulary named" "" "" convert --input "$here/data/stories260K.bin" --output "$TMP/s-named" --tokenizer "$TMP/s.gguf"
result "becomes files" "$("$CSPEED" tokenize --tokenizer-name-or-path "$TMP/s-named" <"$TMP/text.txt" | cmp - "$TMP/ids" 2>&1; ls "$TMP/s-named" | grep gguf)"
sed 's/"vocab_size": 517/"vocab_size": 512, "head_dim": 16, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,\
  "high_freq_factor": 4.0, "original_max_position_embeddings": 32}/' "$TMP/llama.json" >"$TMP/llama3.json"
"$CSPEED" train --quiet --model-config "$TMP/llama3.json" --data-path "$TMP/shk_text_document" --seq-length 16 --train-iters 1 --lr 1e-3 --eval-iters 0 \
    --threads 1 --save "$TMP/run-llama3" 2>"$TMP/stderr" || cat "$TMP/stderr"
expect 0 "Llama 3's scaling to GGUF" "" "" convert --input "$TMP/run-llama3" --output "$TMP/l3.gguf" --to gguf --tokenizer "$here/data/tok512.bin"
expect 0 "and back" "" "" convert --input "$TMP/l3.gguf" --output "$TMP/l3-back"
result "the same rule" "$(tr -d ' \n' <"$TMP/l3-back/config.json" |
    grep -qF '"rope_theta":10000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":32}' || cat "$TMP/l3-back/config.json")"
for f in l3.gguf l3-back; do "$CSPEED" logits --load "$TMP/$f" --ids "1 5 9 300 7 40 41 42" --output "$TMP/$f.npy" 2>"$TMP/stderr" || cat "$TMP/stderr"; done
result "the same logits" "$(cmp "$TMP/l3.gguf.npy" "$TMP/l3-back.npy" 2>&1)"
LC_ALL=C sed 's/\(tokenizer.ggml.model.\{12\}\)llama/\1klama/' "$TMP/s.gguf" >"$TMP/k.gguf"
expect 0 "an unknown kind of vocabulary" "" 'no tokenizer is written: .*k.gguf: .*"klama" is not supported, only llama, t5 and gpt2; name one with --tokenizer' \
    convert --input "$TMP/k.gguf" --output "$TMP/k-hf"
result "one line, and the weights" "$([ "$(wc -l <"$TMP/stderr")" = 1 ] || cat "$TMP/stderr"; same "$TMP/s-hf" "$TMP/k-hf")"
expect 2 "GGUF without a tokenizer" "" "needs a tokenizer, and the input has none; name one with --tokenizer" \
    convert --input "$TMP/hf-llama" --output "$TMP/n.gguf" --to gguf
expect 3 "named, it is an error" "" "klama" convert --input "$TMP/s.gguf" --output "$TMP/k2" --tokenizer "$TMP/k.gguf"
expect 0 "8 bits" "" "" convert --input "$TMP/s-hf" --output "$TMP/q.gguf" --to gguf --dtype q8_0 --tokenizer "$here/data/tok512.bin"
expect 0 "from 8 bits" "" "" convert --input "$TMP/q.gguf" --output "$TMP/q-back" --dtype f32
result "8 bits: smaller by far" "$([ "$(stat -c %s "$TMP/q.gguf")" -lt $(($(stat -c %s "$TMP/s.gguf") / 2)) ] || ls -l "$TMP"/*.gguf)"

# what cannot be
none() { # none NAME CODE PATTERN FLAGS...: nothing is written
    local name=$1 code=$2 pattern=$3
    shift 3
    expect "$code" "$name" "" "$pattern" convert --output "$TMP/none" "$@"
    result "$name: one line, nothing written" "$([ "$(wc -l <"$TMP/stderr")" = 1 ] || cat "$TMP/stderr"; ls -d "$TMP"/none* 2>&1 | grep -v "No such")"
}
none "tensor ranks do not divide" 2 "must divide the key and value heads, there are 4" --input "$TMP/hf-llama" --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1 --make-vocab-size-divisible-by 1
none "stages do not divide" 2 "must divide the layers, there are 12" --input "$TMP/hf-llama" --pipeline-model-parallel-size 5
none "partition does not add up" 2 "add up to the layers" --input "$TMP/hf-llama" --pipeline-model-parallel-size 2 --partition-layers 5,6
none "no such size" 2 "7B means 32 layers, hidden 4096" --input "$TMP/hf-llama" --type 7B
none "8 bits in a folder" 2 "q8_0 needs --to gguf" --input "$TMP/hf-llama" --dtype q8_0
none "GGUF without a tokenizer" 2 "needs a tokenizer" --input "$here/data/stories260K.bin" --to gguf
cp -r "$TMP/mg-llama-2x2" "$TMP/broken"
rm -r "$TMP/broken/release/mp_rank_01_001"
none "a shard is missing" 3 "" --input "$TMP/broken"
cp -r "$TMP/mg-llama-2x2" "$TMP/cut"
truncate -s 9000 "$TMP/cut/release/mp_rank_01_001/model_optim_rng.pt"
none "a shard is cut" 3 "mp_rank_01_001/model_optim_rng.pt: " --input "$TMP/cut"
cp -r "$TMP/mg-llama-2x1" "$TMP/mixed"
cp "$TMP/mg-internlm-2x1/release/mp_rank_01/model_optim_rng.pt" "$TMP/mixed/release/mp_rank_01/model_optim_rng.pt"
none "shards of two models" 3 "mp_rank_01/model_optim_rng.pt: tensor \".*\" has shape" --input "$TMP/mixed"
finish
