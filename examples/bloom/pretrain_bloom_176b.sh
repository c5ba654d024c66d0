#!/bin/bash
# BLOOM 176B on 96 ranks: tensor parallel 8 with sequence parallelism, pipeline 12 with shorter first and last stages, activations recomputed.
. "$(dirname "$0")/../common.sh"

layout 96 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 12 --sequence-parallel --checkpoint-activations \
    --use-manual-layer-allocation --manual-layers 5,6,6,6,6,6,6,6,6,6,6,5 \
    --zero-stage 0 --deepspeed --deepspeed-config "$DS_CONFIG" --deepspeed-activation-checkpointing
model bloom/bloom-176b.json
path DATA_PATH ./dataset/oscar_text_document
path TOKENIZER_PATH ./dataset/bloom
path SAVE ./ckpt

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$SAVE" \
    --micro-batch-size 2 --global-batch-size 2048 --seq-length 2048 \
    --train-samples 220_000_000 --lr-decay-samples 200_000_000 --lr-warmup-samples 183_105 --rampup-batch-size 192 16 9_765_625 \
    --lr 6e-5 --min-lr 6e-6 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-8 \
    --init-method-std 0.0048 --seed 42 \
    --log-interval 1 --save-interval 5000 --eval-interval 1000 --eval-iters 1 \
    --bf16
