#!/bin/bash
# Llama 3.2 1B (tied head, scaled rotation) goes on from published weights, on one rank.
. "$(dirname "$0")/../common.sh"

layout 1
model llama3/llama3.2-1b.json
path DATA_PATH ./dataset/llama3_text_document
path SAVE ./ckpt
path CHECKPOINT ./Llama-3.2-1B

train --data-path "$DATA_PATH" --load "$CHECKPOINT" --save "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 1 --global-batch-size 32 --seq-length 4096 \
    --train-iters 5000 --lr-warmup-iters 100 \
    --lr 2e-5 --min-lr 2e-6 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 \
    --log-interval 10 --save-interval 500 --eval-interval 500 --eval-iters 10 \
    --bf16
