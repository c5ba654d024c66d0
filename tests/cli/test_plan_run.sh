#!/bin/bash
# What `plan` computes for a layout against a run of it: the order of every rank's passes and early reductions (from --profile) is the schedule's
# table, and the most memory that a rank of each stage takes is what was planned. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive
cd "$TMP" || exit 1

cat >llama.json <<'J'
{"model_type": "llama", "vocab_size": 515, "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 8, "num_attention_heads": 4,
 "num_key_value_heads": 2, "max_position_embeddings": 256}
J
echo '{"model_type": "bloom", "vocab_size": 515, "hidden_size": 128, "n_layer": 4, "n_head": 4, "seq_length": 256}' >bloom.json
cat >nano.json <<'J'
{"model_type": "llama", "vocab_size": 515, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1,
 "max_position_embeddings": 256}
J
cat >machine.json <<'J'
{"name": "any", "gflops": 50, "memory_gb_per_s": 10, "ranks_per_host": 8, "host_gb_per_s": 5, "net_gb_per_s": 1, "net_latency_us": 5,
 "host_latency_us": 1}
J
head -c 60000 "$here/../examples/data/shakespeare.txt" >text.txt
"$CSPEED" preprocess --quiet --input text.txt --output-prefix shk --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod

# actions TRACE: "pp coordinate, rank, pass, chunk, micro-batch" of every pass and every reduction of one chunk, as they stand in the trace; a line
# "disorder" where one begins before the one ahead of it has.
actions() {
    sed -nE -e 's/.*"pid":([0-9]+),"name":"process_name".*pp ([0-9]+)\)".*/rank \1 \2/p' \
        -e 's/.*"pid":([0-9]+),.*"name":"(forward|backward)","ts":([0-9.]+),.*"chunk":([0-9]+),"micro_batch":([0-9]+).*/\1 \3 \2 \4 \5/p' \
        -e 's/.*"pid":([0-9]+),.*"name":"reduce","ts":([0-9.]+),.*"chunk":([0-9]+).*/\1 \2 reduce \3 -/p' "$1" |
        awk '$1 == "rank" { stage[$2] = $3; next } { if ($2 + 0 < last[$1] + 0) print "disorder"; last[$1] = $2; print stage[$1], $1, $3, $4, $5 }'
}
# Every rank of the run (stdin) does what the table says for its stage.
same_order() { # same_order PLANNED EXECUTED RANKS
    local rank stage
    [ "$(awk '{ print $2 }' "$2" | sort -u | wc -l)" = "$3" ] || echo "not all ranks"
    ! grep -h disorder "$1" "$2" || return
    awk '{ print $2, $1 }' "$2" | sort -un | while read -r rank stage; do
        cmp -s <(awk -v s="$stage" '$1 == s { print $3, $4, $5 }' "$1") <(awk -v r="$rank" '$2 == r { print $3, $4, $5 }' "$2") ||
            echo "rank $rank, stage $stage"
    done
}
# figures FILE KEY...: a line "stage, values" for every object with a stage; the last key is also the last one in the file
figures() {
    sed -nE 's/^ *"([a-z_]+)": (-?[0-9]+),?$/\1 \2/p' "$1" | awk -v want="${*:2}" '
        BEGIN { n = split(want, key) }
        $1 == "stage" { stage = $2; open = 1 }
        open { value[$1] = $2 }
        open && $1 == key[n] { line = stage; for (i = 1; i <= n; i++) line = line " " value[key[i]]; print line; open = 0 }'
}
# The peak of a run is above the plan by what every run has beside: $base, from a tiny one. Within 1 %, or messages that a stage sends ahead ($1 bytes).
same_memory() {
    awk -v base="$base" -v messages="$1" '
        NR == FNR { kept[$1] = $2; temporary[$1] = $3 + $4; planned[$1] = $5; next }
        { if ($2 > peak[$1]) peak[$1] = $2
          if ($3 > kept[$1]) print "stage " $1 ": activations " $3 ", planned " kept[$1]
          if ($4 != temporary[$1]) print "stage " $1 ": temporary " $4 ", planned " temporary[$1] }
        END { for (s in planned) { n++
                  d = peak[s] - base - planned[s]
                  if (!(d > -0.01 * planned[s] && d < 0.01 * planned[s] + messages)) print "stage " s ": " peak[s] - base ", planned " planned[s] }
              if (!n) print "no stages" }' \
        <(figures plan.json activations_bytes logits_bytes temporary_bytes reserved_bytes) \
        <(figures run/memory.json peak_bytes activations_bytes temporary_bytes)
}
# measure MODEL RANKS FLAGS...
measure() {
    local flags=(--model-config "$1.json" --nproc "$2" --seq-length 128 --threads 1 --gemm own --eval-iters 1 "${@:3}")
    rm -rf run
    "$CSPEED" train "${flags[@]}" --data-path shk_text_document --train-iters 2 --save run --no-save-optim --eval-interval 1 --lr 1e-3 --quiet \
        --profile --profile-step-start 2 --profile-step-end 3 2>stderr || cat stderr
    "$CSPEED" plan "${flags[@]}" --machine machine.json --json --trace plan.trace >plan.json 2>stderr || cat stderr
}
measure nano 1 --dtype f32 --micro-batch-size 1
base=$(($(figures run/memory.json peak_bytes | cut -d' ' -f2) - $(figures plan.json reserved_bytes | cut -d' ' -f2)))

pp="--pipeline-model-parallel-size" n=0
while read -r model ranks messages flags; do
    n=$((n + 1))
    [ -z "${CS_SANITIZED:-}" ] || [ $((n % 3)) = 0 ] || continue # five of them under sanitizers
    # shellcheck disable=SC2086
    problem=$(measure "$model" "$ranks" $flags)
    name="$model, $ranks ranks $flags"
    result "$name: runs" "$problem"
    actions plan.trace >planned
    actions run/profile.json >executed
    result "$name: order" "$(same_order planned executed "$ranks")"
    result "$name: memory" "$(same_memory $((messages * 128 * 128 * 4)))"
done <<F
llama 1 0 --dtype f32 --micro-batch-size 2 --global-batch-size 4 --checkpoint-activations --checkpoint-num-layers 3
llama 2 0 --dtype f32 --micro-batch-size 2 --global-batch-size 4 --tensor-model-parallel-size 2
llama 2 0 --dtype bf16 --micro-batch-size 2 --global-batch-size 4 --tensor-model-parallel-size 2 --sequence-parallel
llama 2 4 --dtype f32 --micro-batch-size 1 --global-batch-size 6 $pp 2
llama 4 6 --dtype bf16 --micro-batch-size 1 --global-batch-size 8 $pp 4 --checkpoint-activations
llama 2 8 --dtype f32 --micro-batch-size 1 --global-batch-size 8 $pp 2 --num-layers-per-virtual-pipeline-stage 2
llama 4 16 --dtype f32 --micro-batch-size 2 --global-batch-size 16 $pp 4 --optimized-pipeline --manual-mbs 1,2,2,3,3,2,2,1
llama 4 8 --dtype f32 --micro-batch-size 1 --global-batch-size 8 $pp 2 --num-layers-per-virtual-pipeline-stage 2 --fold-mode aiao
llama 4 8 --dtype bf16 --micro-batch-size 1 --global-batch-size 8 $pp 2 --num-layers-per-virtual-pipeline-stage 1 --fold-mode fifo --zero-stage 1 --checkpoint-activations --checkpoint-policy block --checkpoint-block-layer 1
bloom 4 4 --dtype f32 --micro-batch-size 1 --global-batch-size 4 $pp 2 --tensor-model-parallel-size 2
llama 2 0 --dtype bf16 --micro-batch-size 1 --global-batch-size 4
bloom 2 0 --dtype bf16 --micro-batch-size 1 --global-batch-size 4 --zero-stage 2 --optimizer-offload-dir $TMP
bloom 2 0 --dtype f32 --micro-batch-size 1 --global-batch-size 4 --zero-stage 3 --checkpoint-activations --checkpoint-policy block --checkpoint-block-layer 2
llama 2 4 --dtype bf16 --micro-batch-size 1 --global-batch-size 6 $pp 2 --recompute-granularity selective --recompute-modules layernorm qkv core_attn mlp
llama 4 0 --dtype bf16 --micro-batch-size 1 --global-batch-size 4 --zero-stage 3 --tensor-model-parallel-size 2 --sequence-parallel --checkpoint-activations --checkpoint-num-layers 3
F
awk 'NR == 3 { held = $0; next } { print } NR == 4 { print held }' executed >swapped
result "two actions exchanged are seen" "$([ -n "$(same_order planned swapped 4)" ] || echo "not seen")"
result "a missing rank is seen" "$([ -n "$(same_order planned <(awk '$2 != 3' executed) 4)" ] || echo "not seen")"
finish
