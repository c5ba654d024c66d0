#!/bin/bash
# BLOOM 560M from random weights on one machine: 2 data-parallel ranks that share the optimizer state.
. "$(dirname "$0")/../common.sh"

layout 2 --use-distributed-optimizer
model bloom/bloom-560m.json
path DATA_PATH ./dataset/oscar_text_document
path TOKENIZER_PATH ./dataset/bloom
path SAVE ./ckpt

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$SAVE" \
    --micro-batch-size 4 --global-batch-size 16 --seq-length 1024 \
    --train-iters 100000 --lr-warmup-iters 1000 \
    --lr 3e-4 --min-lr 1e-5 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-8 \
    --init-method-std 0.0048 --seed 42 \
    --log-interval 10 --save-interval 1000 --eval-interval 1000 --eval-iters 10 \
    --bf16
