#!/bin/bash
# Qwen2 0.5B (tied head) goes on from published weights, on one rank.
. "$(dirname "$0")/../common.sh"

layout 1
model qwen2/qwen2-0.5b.json
path DATA_PATH ./dataset/qwen2_text_document
path SAVE ./ckpt
path CHECKPOINT ./Qwen2-0.5B

train --data-path "$DATA_PATH" --load "$CHECKPOINT" --save "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 2 --global-batch-size 32 --seq-length 2048 \
    --train-iters 5000 --lr-warmup-iters 100 \
    --lr 2e-5 --min-lr 2e-6 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 \
    --log-interval 10 --save-interval 500 --eval-interval 500 --eval-iters 10 \
    --bf16
