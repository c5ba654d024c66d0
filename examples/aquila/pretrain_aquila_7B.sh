#!/bin/bash
# Aquila 7B goes on from published weights: 8 data-parallel ranks, ZeRO 2, 4 micro-batches a step.
. "$(dirname "$0")/../common.sh"

layout 8 --zero-stage 2 --deepspeed --deepspeed-config "$DS_CONFIG" --no-pipeline-parallel --deepspeed-activation-checkpointing
model aquila/aquila-7b.json
path DATA_PATH ./dataset/aquila_text_document
path TOKENIZER_PATH ./aquila-7b-hf
path CHECKPOINT ./weight

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --load "$CHECKPOINT" --no-load-optim \
    --split 900,50,50 \
    --micro-batch-size 2 --global-batch-size 64 --seq-length 2048 \
    --train-iters 1024 --lr-warmup-fraction .01 \
    --lr 1e-6 --min-lr 1e-6 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 \
    --log-interval 1 \
    --init-method-std 0.01 --make-vocab-size-divisible-by 8 --use-flash-attn --use-fused-rmsnorm \
    --fp16 --initial-loss-scale 256
