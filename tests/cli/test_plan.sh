#!/bin/bash
# plan: numbers of published models, every rule of layouts in one pass, and what a run then really takes. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

llama() { # llama VOCAB HIDDEN FFN LAYERS HEADS KV
    printf '{"model_type": "llama", "vocab_size": %d, "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d,
    "num_key_value_heads": %d, "max_position_embeddings": 2048}\n' "$@"
}
llama 32000 4096 11008 32 32 32 >"$TMP/7b.json"
llama 32000 8192 28672 80 64 8 >"$TMP/70b.json"
llama 512 256 704 6 8 4 >"$TMP/small.json"
llama 512 32 64 1 1 1 >"$TMP/nano.json"
echo '{"model_type": "bloom", "vocab_size": 250880, "hidden_size": 14336, "n_layer": 70, "n_head": 112, "seq_length": 2048}' >"$TMP/176b.json"
echo '{"model_type": "bloom", "vocab_size": 512, "hidden_size": 256, "n_layer": 5, "n_head": 8, "seq_length": 2048}' >"$TMP/bloom.json"
cat >"$TMP/machine.json" <<'END'
{"name": "hosts of 8", "gflops": 1500, "attention_gflops": 700, "memory_gb_per_s": 40, "ranks_per_host": 8, "host_gb_per_s": 20,
 "host_latency_us": 1, "net_gb_per_s": 1.25, "net_latency_us": 5}
END
plan() { "$CSPEED" plan --model-config "$TMP/$1.json" --machine "$TMP/${MACHINE:-machine}.json" "${@:2}"; }
key() { sed -nE "s/^ *\"$1\": ([0-9.e+-]+),?\$/\1/p" "$TMP/stdout" | head -1; }

expect 0 "7B" "^llama: .* 6738415616 parameters" "" plan 7b --seq-length 2048 --bf16
result "weights, gradients, master, moments" "$(grep -E '^(weights|gradients|master weights|moments) ' "$TMP/stdout" | awk '{ print $NF }' | tr '\n' ' ' |
    grep -vxF '13476831232 26953662464 26953662464 53907324928 ' || true)"
expect 0 "70B over 64 ranks" "stage 1 \(middle\).*stage 7 \(last\)" "" plan 70b --bf16 --seq-length 2048 --world-size 64 --sequence-parallel \
    --tensor-model-parallel-size 4 --pipeline-model-parallel-size 8 --use-distributed-optimizer --global-batch-size 64 --checkpoint-activations
expect 0 "BLOOM 176B as JSON" '"parameters": 176247271424' "" plan 176b --bf16 --json --seq-length 2048 --world-size 336 --global-batch-size 2016 \
    --tensor-model-parallel-size 4 --pipeline-model-parallel-size 14 --num-layers-per-virtual-pipeline-stage 5
expect 2 "world size" "" "must be TP x PP x DP, a multiple of 4 x 14 = 56" plan 176b --json --seq-length 2048 --world-size 384 \
    --tensor-model-parallel-size 4 --pipeline-model-parallel-size 14
expect 0 "interleaved" '"bubble": 0.0' "" plan 7b --json --seq-length 2048 --world-size 8 --pipeline-model-parallel-size 4 --global-batch-size 64 \
    --num-layers-per-virtual-pipeline-stage 4
result "8 layers and 7 + 4 chunks on the first stage" "$([ "$(key num_layers)" = 32 ] && [ "$(key in_flight)" = 11 ] || echo "$(key num_layers) $(key in_flight)")"
result "bubble 3/(2*32+3), more for the head on the last stage" "$(key bubble | awk '{ if ($1 < 0.0448 || $1 > 0.12) print }')"
result "FLOPs per token" "$(key flops_per_token | awk '{ if ($1 != 6 * 6607077376 + 12 * 32 * 4096 * 2048) print }')"
expect 2 "all rules at once" "" "legal: 1, 2, 4, 8, 16, 32" plan 7b --seq-length 3000 --tensor-model-parallel-size 3 --pipeline-model-parallel-size 5 \
    --world-size 15 --zero-stage 2 --global-batch-size 7 --micro-batch-size 2 --sequence-parallel extra
result "seven lines" "$([ "$(grep -c 'error\[USAGE\]' "$TMP/stderr")" = 7 ] || cat "$TMP/stderr")"
expect 2 "no model" "" "no model: give --model-config" "$CSPEED" plan --seq-length 64 --vocab-size 100
expect 2 "numbers out of range" "" "world-size: expected an integer" plan 7b --world-size -3 --seq-length x
expect 2 "too large" "" "does not fit in 63 bits" plan 7b --seq-length 2048 --micro-batch-size 1000000000000
expect 0 "sizes as flags" "12 layers, hidden 768" "" "$CSPEED" plan --machine "$TMP/machine.json" --num-layers 12 --hidden-size 768 --num-attention-heads 12 --vocab-size 32000 --seq-length 512
expect 0 "sizes of inference" "^key-value cache +1073741824$" "" plan 7b --bf16 --inference 2048
expect 0 "a model folder's own type" '"dtype": "f32"' "" plan 7b --inference 100 --json
expect 4 "missing file" "" "nowhere" "$CSPEED" plan --model-config "$TMP/nowhere" --seq-length 8

# The virtual clock.
expect 0 "BLOOM 176B on 96 ranks, layers by hand" "^stage 11 " "" plan 176b --bf16 --seq-length 2048 --world-size 96 --tensor-model-parallel-size 8 \
    --pipeline-model-parallel-size 12 --sequence-parallel --micro-batch-size 2 --global-batch-size 2048 --use-manual-layer-allocation \
    --manual-layers 5,6,6,6,6,6,6,6,6,6,6,5 --svg "$TMP/pipeline.svg" --train-iters 1000
result "days, stages of 5 and 6 layers" "$(grep -qE '^1000 steps, .* days$' "$TMP/stdout" && grep -qE '^layers +5 +6 +5$' "$TMP/stdout" || cat "$TMP/stdout")"
result "a drawing" "$(head -c 4 "$TMP/pipeline.svg" | grep -q '<svg' && tail -1 "$TMP/pipeline.svg" | grep -qx '</svg>' || echo none)"
pipe="--bf16 --json --seq-length 2048 --pipeline-model-parallel-size 4"
step() { plan 7b $pipe "$@" >"$TMP/stdout" || return; key bubble >"$TMP/bubble"; key gradients_exposed_s >"$TMP/exposed"; key step_s; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { if (!(a > 0 && a < b)) print a " is not below " b }'; }
opp="--world-size 4 --micro-batch-size 4 --global-batch-size 64"
step $opp >"$TMP/plain"; plain=$(cat "$TMP/bubble")
step $opp --optimized-pipeline --manual-mbs example-config-1 >"$TMP/other"
result "optimized pipeline: less bubble" "$(less "$(cat "$TMP/bubble")" "$plain"; less "$(cat "$TMP/other")" "$(cat "$TMP/plain")")"
step $opp --optimized-pipeline --manual-mbs 1 2 3,4 5 5 5 5 5 5 5 5 5 4 3 2 >"$TMP/list"
result "the same by list" "$(cmp "$TMP/other" "$TMP/list" 2>&1)"
fold="--world-size 64 --micro-batch-size 1 --global-batch-size 128 --num-layers-per-virtual-pipeline-stage 2"
step $fold >"$TMP/plain"; plain=$(cat "$TMP/exposed")
for mode in aiao fifo; do
    step $fold --foldx-mode $mode >"$TMP/other"
    result "Fold3D $mode: fewer gradients exposed" "$(less "$(cat "$TMP/exposed")" "$plain"; less "$(cat "$TMP/other")" "$(cat "$TMP/plain")")"
done
# Optional rates of a machine: sums of activations, row by row work, packing, fresh pages.
sharded() { # sharded KEY
    plan 7b --json --bf16 --seq-length 2048 --world-size 16 --tensor-model-parallel-size 2 --zero-stage 3 --global-batch-size 32 >"$TMP/stdout"
    key "$1"
}
while read -r part rate; do
    sed "s/{\"name\"/{$rate, \"name\"/" "$TMP/machine.json" >"$TMP/rates.json"
    result "slower with $rate" "$(less "$(sharded "$part")" "$(MACHINE=rates sharded "$part")")"
done <<'R'
tensor_s "tensor_gb_per_s": 10
compute_s "rows_gb_per_s": 20
compute_s "pack_gb_per_s": 20
compute_s "fresh_gb_per_s": 2
R
expect 0 "Fold3D without virtual stages" "4 micro-batches" "acts only with virtual stages" plan 7b --seq-length 2048 --world-size 4 \
    --pipeline-model-parallel-size 2 --global-batch-size 8 --fold-mode aiao
expect 0 "search over 1024 ranks" "legal, .* run on the virtual clock" "" plan 70b --bf16 --seq-length 2048 --world-size 1024 \
    --global-batch-size 1024 --search --memory 64 --diagram 0
expect 2 "search without memory" "" "needs --world-size, --global-batch-size and --memory" plan 70b --seq-length 2048 --search
expect 2 "search, too little memory" "" "no layout of 8 ranks fits into --memory 1.00 GiB" plan 70b --seq-length 2048 --search --world-size 8 \
    --global-batch-size 8 --memory 1
echo '{"name": 3, "gflops": -1, "gigaflops": 2, "ranks_per_host": 0}' >"$TMP/bad.json"
expect 3 "a bad machine" "" "unknown key \"gigaflops\"" "$CSPEED" plan --model-config "$TMP/7b.json" \
    --seq-length 2048 --machine "$TMP/bad.json"
result "all of it" "$([ "$(grep -c 'error\[FORMAT\]' "$TMP/stderr")" = 8 ] || cat "$TMP/stderr")"
expect 0 "this machine, measured" "tokens/s, .* a rank" "" "$CSPEED" plan --model-config "$TMP/small.json" --seq-length 512 --threads 1
plan 7b --json --seq-length 128 --optimizer sgd >"$TMP/stdout"
sgd=$(key moments_bytes) weights=$(key weights_bytes)
plan 7b --json --seq-length 128 --optimizer sgd --sgd-momentum 0 >"$TMP/stdout"
none=$(key moments_bytes)
plan 7b --json --seq-length 128 >"$TMP/stdout"
result "moments by optimizer" "$([ "$sgd" = "$weights" ] && [ "$none" = 0 ] && [ "$(key moments_bytes)" = $((2 * weights)) ] || echo "$sgd $none $(key moments_bytes)")"
for flags in "--manual-layers 5,6,6" "--use-manual-layer-allocation" "--manual-mbs 3" "--optimized-pipeline" \
    "--use-manual-layer-allocation --manual-layers 16,15" "--optimized-pipeline --manual-mbs 1,x"; do
    expect 2 "refused: $flags" "" "manual-(layers|mbs)" plan 7b --seq-length 2048 --world-size 2 --pipeline-model-parallel-size 2 $flags
done

# What runs take beyond what a tiny one takes, within 5 %. The peak of a run is in its metrics.
head -c 60000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
"$CSPEED" preprocess --input "$TMP/text.txt" --output-prefix "$TMP/shk" --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod 2>/dev/null
peak() { # peak MODEL FLAGS...
    rm -rf "$TMP/run"
    "$CSPEED" train --model-config "$TMP/$1.json" --data-path "$TMP/shk_text_document" --train-iters 1 --save "$TMP/run" --no-save-optim --log-interval 1 \
        --eval-iters 1 --lr 1e-3 --quiet "${@:2}" 2>"$TMP/stderr" || cat "$TMP/stderr" >&2
    sed -nE 's/.*"rss_bytes": ?([0-9.e+]+).*/\1/p' "$TMP/run/metrics.jsonl"
}
for setting in "small f32 4" "small bf16 6" "bloom f32 4"; do
    set -- $setting
    flags="--seq-length 512 --micro-batch-size $3 --dtype $2 --threads 2 --gemm own"
    nano=$(peak nano --seq-length 512 --dtype "$2" --threads 2 --gemm own) real=$(peak "$1" $flags)
    plan nano --json --seq-length 512 --dtype "$2" --threads 2 --gemm own >"$TMP/stdout"
    small=$(key total_bytes)
    plan "$1" --json $flags >"$TMP/stdout"
    result "$1 $2 takes what is planned" "$(awk -v r="$real" -v b="$nano" -v s="$small" -v p="$(key total_bytes)" \
        'BEGIN { got = r - b; want = p - s; if (!(got > 0 && want > 0.95 * got && want < 1.05 * got)) print got " bytes, planned " want }')"
done
finish
