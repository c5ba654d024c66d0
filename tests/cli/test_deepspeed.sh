#!/bin/bash
# What the user of another trainer brings along: DeepSpeed files beside flags, AscendSpeed's names for recomputation, optimizer state on a disk, layouts
# that are not legal. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 32, "intermediate_size": 88,
 "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
J
echo '{"model_type": "bloom", "vocab_size": 512, "hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": 64}' >"$TMP/bloom.json"
head -c 30000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
"$CSPEED" preprocess --quiet --input "$TMP/text.txt" --output-prefix "$TMP/shk" --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod
cd "$TMP" || exit 1
train() {
    local iters=(--train-iters 4) length=(--seq-length 32)
    [[ " $* " != *" --train-iters "* ]] || iters=()
    [[ " $* " != *" --seq-length "* ]] || length=()
    "$CSPEED" train --model-config tiny.json --data-path shk_text_document "${iters[@]}" "${length[@]}" --log-interval 1 --eval-iters 0 --threads 1 "$@"
}
losses() { sed -nE 's/.*"lm_loss": ?([^,}]+).*/\1/p' "$1/metrics.jsonl"; }
same_losses() { [ -n "$(losses "$1")" ] && [ "$(losses "$1")" = "$(losses "$2")" ] || echo "$(losses "$1")" / "$(losses "$2")"; }
same_bytes() { (cd "$1/latest/" && sha256sum ./*.safetensors trainer/*.safetensors) >one; (cd "$2/latest/" && sha256sum ./*.safetensors trainer/*.safetensors) | cmp - one 2>&1; }
peaks() { sed -nE 's/.*"peak_bytes": ?([0-9]+).*/\1/p' "$1/memory.json"; }
lines() { [ "$(grep -c 'error\[' "$TMP/stderr")" = "$1" ] || cat "$TMP/stderr"; }

# --- a file that sets everything equals the flags
cat >all.json <<'J'
{
  "train_batch_size": 8, "gradient_accumulation_steps": 2, "train_micro_batch_size_per_gpu": "auto",
  "gradient_clipping": 0.5, "steps_per_print": 10, "zero_allow_untested_optimizer": true, "wall_clock_breakdown": false,
  "optimizer": {"type": "AdamW", "params": {"lr": 2e-3, "betas": [0.9, 0.95], "eps": 1e-6, "weight_decay": 0.1}},
  "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": 0, "warmup_max_lr": 2e-3, "warmup_num_steps": 2, "total_num_steps": 6,
    "warmup_type": "linear"}},
  "fp16": {"enabled": true, "auto_cast": false, "loss_scale": 0, "initial_scale_power": 12, "loss_scale_window": 2, "hysteresis": 3,
    "consecutive_hysteresis": true, "min_loss_scale": 2},
  "zero_optimization": {"stage": 2, "overlap_comm": true, "contiguous_gradients": true, "reduce_scatter": true, "reduce_bucket_size": 5e8,
    "allgather_partitions": true, "allgather_bucket_size": 5e8, "offload_optimizer": {"device": "cpu", "pin_memory": true}},
  "activation_checkpointing": {"partition_activations": false}, "typo": [1, {"a": 2}]
}
J
expect 0 "a file that sets everything" "" "no effect on this machine, accepted: .*reduce_bucket_size.*offload_optimizer.device" train --save file --nproc 2 \
    --deepspeed --deepspeed_config all.json
result "unknown keys are named with their place" "$(grep -q 'all.json:11:65: unknown key "typo"' stderr || cat stderr)"
train --quiet --save flags --nproc 2 --fp16 --initial-loss-scale 4096 --loss-scale-window 2 --hysteresis 3 --consecutive-hysteresis --min-loss-scale 2 \
    --zero-stage 2 --global-batch-size 8 --micro-batch-size 2 --clip-grad 0.5 --lr 2e-3 --adam-beta2 0.95 --adam-eps 1e-6 --weight-decay 0.1 \
    --lr-warmup-iters 2 --lr-decay-iters 6 --lr-decay-style linear
result "equals the flags" "$(same_bytes file flags; same_losses file flags)"
expect 0 "the run's own configuration runs again" "" "" "$CSPEED" train --config file/config.json --save again --quiet
result "and gives the same" "$(same_bytes file again)"
expect 0 "--print-config shows what counts" '"initial-loss-scale": 4096,' "" train --deepspeed --deepspeed-config all.json --print-config
echo '{"optimizer": {"type": "SGD", "params": {"lr": 0.1, "momentum": 0.5}}}' >sgd.json
expect 0 "gradient descent" '"sgd-momentum": 0.5,' "" train --deepspeed --deepspeed-config sgd.json --print-config
expect 2 "of one kind" "" '"SGD"|"optimizer.type" contradicts --optimizer: the flag says "adam", the file "sgd"' train --deepspeed \
    --deepspeed-config sgd.json --optimizer adam

# --- contradictions: all of them, both values, once
expect 2 "contradictions" "" '2:23: "train_batch_size" contradicts --global-batch-size: the flag says 16, the file 8;' train --nproc 2 --deepspeed \
    --deepspeed-config all.json --global-batch-size 16 --clip-grad 1 --bf16 --lr 1e-3 --zero-stage 1 --adam-beta2 0.9 --seq-length 128 \
    --max-position-embeddings 64
result "each on its line" "$(lines 7)"
for pair in '"fp16.enabled" contradicts --dtype: the flag says "bf16", the file "fp16"' '"gradient_clipping" contradicts --clip-grad: the flag says 1, the file 0.5' \
    '"zero_optimization.stage" contradicts --zero-stage: the flag says 1, the file 2' 'warmup_max_lr" contradicts --lr: the flag says 0.001, the file 0.002' \
    '"optimizer.params.betas.1" contradicts --adam-beta2: the flag says 0.9, the file 0.95' '--seq-length 128 exceeds'; do
    result "named: $pair" "$(grep -qF -- "$pair" stderr || cat stderr)"
done
expect 0 "the same value twice is none" "" "" train --nproc 2 --quiet --deepspeed --deepspeed-config all.json --clip-grad 0.5 --fp16 --zero-stage 2 --lr 2e-3

# triple NAME CODE PATTERN JSON FLAGS...: batch sizes over 2 data-parallel ranks
triple() {
    local name=$1 code=$2 pattern=$3
    echo "$4" >triple.json
    shift 4
    expect "$code" "batch sizes: $name" "" "$pattern" train --nproc 2 --train-iters 1 --deepspeed --deepspeed-config triple.json "$@"
}
triple "micro and steps" 0 "global batch size: +12 " '{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 3}'
triple "batch and steps" 0 "global batch size: +12 " '{"train_batch_size": 12, "gradient_accumulation_steps": 3}'
triple "batch and micro" 0 "global batch size: +12 " '{"train_batch_size": 12, "train_micro_batch_size_per_gpu": 3}'
triple "steps beside flags" 0 "global batch size: +16 " '{"gradient_accumulation_steps": 4.0}' --micro-batch-size 2
triple "three that do not fit" 2 "12 must be micro batch size 2 x gradient accumulation steps 2 x DP 2 = 8" \
    '{"train_batch_size": 12, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2}'
triple "one that cannot be cut" 2 "--global-batch-size 13 must be a multiple" '{"train_batch_size": 13, "train_micro_batch_size_per_gpu": 2}'

# refused CODE PATTERN JSON: on one rank
refused() {
    printf '%s' "$3" >bad.json
    expect "$1" "refused: $3" "" "$2" train --deepspeed --deepspeed-config bad.json
}
refused 3 'bad.json:2:1: expected every key of an object once' '{"gradient_clipping": 1,
"gradient_clipping": 2}'
refused 3 'bad.json:1:23: expected a number or "auto", found' '{"gradient_clipping": "1"}'
refused 3 'bad.json:1:22: expected true, false or "auto", found' '{"fp16": {"enabled": 1}}'
refused 3 'bad.json:1:10: expected an object, found' '{"fp16": true}'
refused 3 'bad.json:1' '{"fp16": {"enabled": true'
refused 3 'expected two numbers' '{"optimizer": {"params": {"betas": [0.9]}}}'
refused 2 'Lamb is not supported here; legal: Adam, AdamW, SGD' '{"optimizer": {"type": "Lamb"}}'
refused 2 'nesterov": true is not supported' '{"optimizer": {"type": "SGD", "params": {"nesterov": true}}}'
refused 2 'adam_w_mode": false is not supported' '{"optimizer": {"type": "Adam", "params": {"adam_w_mode": false}}}'
refused 2 'OneCycle is not supported here; legal: WarmupLR, WarmupDecayLR' '{"scheduler": {"type": "OneCycle"}}'
refused 2 'logarithmic' '{"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 2}}}'
refused 2 'both are true' '{"fp16": {"enabled": true}, "bf16": {"enabled": true}}'
refused 2 'expected an integer in 0..3, found' '{"zero_optimization": {"stage": 4}}'
refused 2 'nvme needs "nvme_path"' '{"zero_optimization": {"offload_optimizer": {"device": "nvme"}}}'
refused 2 'offload_param.device": nvme is not supported' '{"zero_optimization": {"offload_param": {"device": "nvme", "nvme_path": "x"}}}'
expect 2 "a file without --deepspeed" "" "counts only with --deepspeed" train --deepspeed-config all.json
expect 2 "--deepspeed without a file" "" "--deepspeed needs --deepspeed-config FILE" train --deepspeed
expect 4 "a file that is not there" "" "nofile.json: cannot open" train --deepspeed --deepspeed-config nofile.json --nproc 2
result "is named once" "$(lines 1)"
expect 2 "--no-pipeline-parallel beside a pipeline" "" "--no-pipeline-parallel contradicts --pipeline-model-parallel-size 2; legal: 1" train --nproc 2 \
    --no-pipeline-parallel --pipeline-model-parallel-size 2

# --- optimizer state on a disk
echo '{"zero_optimization": {"stage": 1, "offload_optimizer": {"device": "nvme", "nvme_path": "disk/state"}}}' >nvme.json
for dtype in f32 bf16; do
    flags="--dtype $dtype --nproc 2 --global-batch-size 4 --quiet"
    train $flags --save "memory-$dtype" --zero-stage 1
    train $flags --save "disk-$dtype" --deepspeed --deepspeed-config nvme.json
    result "on a disk as in memory, $dtype" "$(same_bytes "memory-$dtype" "disk-$dtype")"
    train $flags --save "cut-$dtype" --deepspeed --deepspeed-config nvme.json --exit-interval 2
    train $flags --save "cut-$dtype" --deepspeed --deepspeed-config nvme.json --resume
    result "resumed, $dtype" "$(same_bytes "memory-$dtype" "cut-$dtype")"
done
result "no file is left" "$(ls disk/state)"
FAIL=kill@rename:3 train --quiet --save killed --save-interval 1 --deepspeed --deepspeed-config nvme.json 2>/dev/null
result "none after a kill" "$(ls disk/state)"
expect 4 "a folder that cannot be made" "" "text.txt: cannot create the folder" train --nproc 2 --optimizer-offload-dir text.txt/x
FAIL=io:enospc:write@1 expect 4 "a full disk" "" "No space left" train --optimizer-offload-dir disk/full

# --- recomputation by AscendSpeed's names gives the bits of none
train --quiet --save kept --nproc 2 --pipeline-model-parallel-size 2
i=0
while read -r flags; do
    i=$((i + 1))
    # shellcheck disable=SC2086
    expect 0 "recompute: $flags" "" "" train --quiet --save "again$i" --nproc 2 --pipeline-model-parallel-size 2 $flags
    result "same bits: $flags" "$(same_bytes kept "again$i")"
done <<'F'
--checkpoint-activations --checkpoint-num-layers 2
--checkpoint-activations --checkpoint_policy block --checkpoint_block_layer 1
--checkpoint-activations --checkpoint-policy block
--checkpoint-activations --checkpoint-policy custom --recomputation-layer-num 2 0
--deepspeed-activation-checkpointing --recompute-method custom --recomputation-layer-num 1,2
--recompute-granularity selective
--recompute-granularity selective --recompute-modules layernorm qkv core_attn mlp
F
expect 2 "a count for each stage" "" "--recomputation-layer-num has 3 numbers; legal: 2, one for each stage" train --nproc 2 --checkpoint-activations \
    --pipeline-model-parallel-size 2 --recompute-method custom --recomputation-layer-num 1 1 1
# What fits is chosen by the program: one step that measures, one by the choice.
while read -r mb flags; do
    flags="--train-iters 2 --seq-length 64 --micro-batch-size 128 --nproc 2 $flags"
    rm -rf all chosen
    train --quiet --save all $flags
    expect 0 "chosen for $mb MB: $flags" "" "recomputation of stage 0, layers: [0-9].* of $mb MB, .* ms a micro-batch" train --save chosen $flags \
        --auto-recompute-device-size "$mb" --auto-recompute-profiling-step 1
    result "the same bytes" "$(same_bytes all chosen)"
    # A MB on top for what is not planned and small (docs/parallelism.md), though not beside a model of this size.
    result "in less memory" "$(paste <(peaks all) <(peaks chosen) | awk -v most="$mb" '!($2 < $1 - 5e6 && $2 < most * 1048576 + 1e6) { print }')"
done <<'END'
24 --tensor-model-parallel-size 2 --sequence-parallel
50 --pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 1 --global-batch-size 256
34 --zero-stage 3 --dtype bf16
END
expect 0 "too little memory" "" "device-size 1: stage 0 takes [0-9]+ MB at least" train --micro-batch-size 16 --auto-recompute-device-size 1 \
    --auto-recompute-profiling-step 1
expect 2 "chosen by both" "" "leave the other flags of recomputation out" train --auto-recompute-device-size 8 --recompute-granularity selective
expect 2 "modules that are none" "" '"softmax"; legal: layernorm, qkv, core_attn, mlp' train --recompute-granularity selective \
    --recompute-modules mlp softmax
expect 2 "selective is no method" "" "with --recompute-granularity full, not selective" train --recompute-granularity selective --recompute-num-layers 2
expect 2 "modules without selective" "" "needs --recompute-granularity selective" train --checkpoint-activations --recompute-modules mlp
expect 2 "custom needs its counts" "" "custom needs --recomputation-layer-num" train --checkpoint-activations --checkpoint-policy custom
expect 0 "a policy without recomputation is noted" "" "--checkpoint-policy acts only with --checkpoint-activations" train --checkpoint-policy block

# --- flags whose work is always done
expect 0 "--mlp-layer-fusion on a gated model" "" "--mlp-layer-fusion: gate and up are one matrix product with and without it" train --train-iters 1 \
    --mlp-layer-fusion
expect 0 "--mlp-layer-fusion without a gate" "" "--mlp-layer-fusion: no effect, this bloom model has no gate" "$CSPEED" plan --model-config bloom.json \
    --mlp-layer-fusion --machine "$here/../examples/machine.json"
expect 0 "flags of the pipeline's messages" "" "no effect on this machine, accepted: --scatter-gather-tensors-in-pipeline" train --train-iters 1 \
    --scatter-gather-tensors-in-pipeline

# --- layouts that are not legal: every rule, with legal values, on one rank, before anything is allocated
broken() { # broken NAME N PATTERN FLAGS...: N error lines
    local name=$1 n=$2 pattern=$3
    shift 3
    expect 2 "layout: $name" "" "$pattern" train --save never "$@"
    result "lines: $name" "$(lines "$n")"
    result "nothing is made: $name" "$(ls -d never 2>/dev/null)"
}
broken "fewer ranks than TP x PP" 1 "must be TP x PP x DP, a multiple of 2 x 2 = 4" --nproc 2 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2
broken "ZeRO 2 and virtual stages" 3 "legal with a pipeline: 0, 1" --nproc 4 --zero-stage 2 --pipeline-model-parallel-size 2 \
    --num-layers-per-virtual-pipeline-stage 1 --micro-batch-size 2 --global-batch-size 5
broken "lists" 3 "--manual-mbs needs --optimized-pipeline" --nproc 2 --manual-mbs 1,1 --manual-layers 2,2 --pipeline-model-parallel-size 2 --zero-stage 3
broken "rules of the model among the others" 5 "legal: 1, 2, 4" --nproc 9 --tensor-model-parallel-size 3 --pipeline-model-parallel-size 3 --seq-length 100 \
    --global-batch-size 7 --micro-batch-size 2
finish
