#!/bin/bash
# Mistral 7B (window of 4096 positions) goes on from published weights: 4 data-parallel ranks that share the optimizer state.
. "$(dirname "$0")/../common.sh"

layout 4 --use-distributed-optimizer
model mistral/mistral-7b.json
path DATA_PATH ./dataset/mistral_text_document
path SAVE ./ckpt
path CHECKPOINT ./Mistral-7B-v0.1

train --data-path "$DATA_PATH" --load "$CHECKPOINT" --save "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 1 --global-batch-size 64 --seq-length 8192 \
    --train-iters 5000 --lr-warmup-iters 100 \
    --lr 1e-5 --min-lr 1e-6 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 \
    --log-interval 10 --save-interval 500 --eval-interval 500 --eval-iters 10 \
    --bf16
