#!/bin/bash
# LLaMA 7B from random weights: 8 data-parallel ranks, ZeRO 2, activations recomputed.
. "$(dirname "$0")/../common.sh"

layout 8 --zero-stage 2 --deepspeed --deepspeed-config "$DS_CONFIG" --no-pipeline-parallel --checkpoint-activations \
    --deepspeed-activation-checkpointing
model llama/llama-7b.json
path DATA_PATH ./dataset/llama_text_document
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 8 --global-batch-size 64 --seq-length 2048 \
    --train-iters 500000 --lr-decay-iters 320000 --lr-warmup-fraction .01 \
    --lr 1.5e-5 --min-lr 1e-6 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 \
    --log-interval 1 --save-interval 10000 --eval-interval 1000 --eval-iters 10 \
    --fp16 --initial-loss-scale 256
