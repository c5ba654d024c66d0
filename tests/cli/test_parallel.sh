#!/bin/bash
# Training over several ranks against one rank, through the program: layouts, types, checkpoints that change their layout, a rank that is killed.
# CSPEED names the program. tests/parallel compares the numbers themselves in many more layouts.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 515, "hidden_size": 32, "intermediate_size": 88,
 "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
J
cat >"$TMP/bloom.json" <<'J'
{"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 515, "hidden_size": 32, "n_layer": 4, "n_head": 4, "seq_length": 64}
J
head -c 60000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
cd "$TMP" || exit 1
"$CSPEED" preprocess --quiet --input text.txt --output-prefix shk --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod

MODEL=tiny.json
# train RUN FLAGS...: the flags that a layout changes come from the caller
train() {
    local run=$1 iters=(--train-iters 6)
    shift
    [[ " $* " != *" --train-iters "* ]] || iters=()
    "$CSPEED" train --model-config "$MODEL" --data-path shk_text_document --save "$run" "${iters[@]}" --seq-length 32 --global-batch-size 8 \
        --lr 3e-3 --lr-decay-iters 20 --lr-warmup-iters 2 --clip-grad 0.5 --weight-decay 0.1 --log-interval 1 --eval-interval 3 --eval-iters 1 \
        --threads 1 --quiet "$@"
}
column() { sed -nE "s/.*\"$2\": ?([^,}]+).*/\1/p" "$1/metrics.jsonl"; }
# close_to RUN REFERENCE BOUND: losses, norms and validation losses of all rows
close_to() {
    local key
    for key in lm_loss grad_norm val_loss; do
        paste <(column "$1" $key) <(column "$2" $key) | awk -v eps="$3" -v key=$key '
            NF != 2 { bad = bad " rows" } { d = $1 / $2 - 1; if (d < 0) d = -d; if (!(d <= eps)) bad = bad " " $1 "/" $2 }
            END { if (NR == 0) bad = " none"; if (bad) print key bad }'
    done
}
state_of() { (cd "$1/latest/" && find . -name '*.safetensors' -o -name state.json | sort | xargs sha256sum); }
same_state() { [ "$(state_of "$1")" = "$(state_of "$2")" ] || echo "$1 and $2 differ"; }

# --- f64: one rank and layouts
train one --dtype f64 --micro-batch-size 2
MODEL=bloom.json train bloom-one --dtype f64 --micro-batch-size 2
i=0
while read -r ranks flags; do
    i=$((i + 1))
    # shellcheck disable=SC2086
    expect 0 "runs: $ranks ranks $flags" "" "" train "layout$i" --dtype f64 --nproc "$ranks" $flags
    result "as one rank: $ranks ranks $flags" "$(close_to "layout$i" one 1e-9)"
done <<'F'
2 --micro-batch-size 2 --tensor-model-parallel-size 2 --sequence-parallel
2 --micro-batch-size 2 --pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 1
2 --micro-batch-size 2 --zero-stage 3 --checkpoint-activations
4 --micro-batch-size 2 --pipeline-model-parallel-size 4 --optimized-pipeline --manual-mbs 1,2,3,2
4 --micro-batch-size 1 --pipeline-model-parallel-size 2 --use-manual-layer-allocation --manual-layers 1,3 --use-distributed-optimizer
4 --micro-batch-size 2 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 1 --fold-mode aiao
4 --micro-batch-size 2 --tensor-model-parallel-size 2 --zero-stage 2 --checkpoint-activations --checkpoint-policy block --checkpoint-block-layer 2
8 --micro-batch-size 1 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --sequence-parallel --zero-stage 1 --num-layers-per-virtual-pipeline-stage 1 --foldx-mode fifo
8 --micro-batch-size 4 --tensor-model-parallel-size 4 --sequence-parallel --zero-stage 3
F
MODEL=bloom.json train bloom-four --dtype f64 --micro-batch-size 2 --nproc 4 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --sequence-parallel
result "as one rank: BLOOM with a tied head over 2 stages" "$(close_to bloom-four bloom-one 1e-9)"

# --- bf16, fp16: near f64 at the end
for dtype in bf16 fp16; do
    train "half-$dtype" --dtype $dtype --initial-loss-scale 1024 --micro-batch-size 2 --nproc 4 --tensor-model-parallel-size 2 \
        --pipeline-model-parallel-size 2 --use-distributed-optimizer
    result "$dtype on 4 ranks" "$(paste <(column "half-$dtype" lm_loss) <(column one lm_loss) | awk '{ d = $1 / $2 - 1 } END { if (!(d * d < 1e-4)) print d }')"
done

# --- a run that changes its layout at step 3
train moved --dtype f64 --micro-batch-size 1 --nproc 4 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --exit-interval 3
train moved --dtype f64 --micro-batch-size 2 --nproc 2 --zero-stage 3 --resume --exit-interval 4 2>stderr
train moved --dtype f64 --micro-batch-size 2 --nproc 4 --pipeline-model-parallel-size 4 --resume --exit-interval 5 2>stderr
train moved --dtype f64 --micro-batch-size 2 --resume 2>stderr
result "TP 2 x PP 2, ZeRO 3, PP 4, one rank: one run" "$(close_to moved one 1e-9)"

# --- a rank is killed while it writes a checkpoint
layout="--dtype bf16 --micro-batch-size 1 --nproc 4 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --save-interval 2"
# shellcheck disable=SC2086
{
    train whole $layout
    start=$SECONDS
    FAIL='kill@write:700#2' expect 7 "a rank is killed" "" "error\[PEER\].* 2" train killed $layout
    result "all ranks are gone soon" "$([ $((SECONDS - start)) -le 6 ] || echo "$((SECONDS - start)) s")"
    result "it had a checkpoint, and was not done" "$([ -d killed/latest/ ] && [ ! -d killed/iter_0000006 ] || ls killed)"
    expect 0 "resume" "" "" train killed $layout --resume
}
result "as if nothing had been: state" "$(same_state killed whole)"
result "as if nothing had been: losses" "$([ "$(column killed lm_loss)" = "$(column whole lm_loss)" ] || column killed lm_loss)"

finish
