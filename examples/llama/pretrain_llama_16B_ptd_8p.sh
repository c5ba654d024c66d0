#!/bin/bash
# A LLaMA as wide as 33B with 30 layers: tensor parallel 4, pipeline 2, optimizer state distributed.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2 --use-distributed-optimizer
model llama/llama-16b.json
path DATA_PATH ./dataset/llama_text_document
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 1 --global-batch-size 32 --seq-length 2048 \
    --train-iters 500000 --lr-decay-iters 320000 --lr-warmup-fraction .01 \
    --lr 1.5e-4 --min-lr 1e-5 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 \
    --log-interval 1 --save-interval 10000 --eval-interval 1000 --eval-iters 10 \
    --fp16 --initial-loss-scale 4096
