#!/bin/bash
# Baichuan 7B from random weights: 8 data-parallel ranks, ZeRO 2, 30 of 32 layers recomputed, attention in triangles.
. "$(dirname "$0")/../common.sh"

layout 8 --zero-stage 2 --deepspeed --deepspeed-config "$DS_CONFIG" --no-pipeline-parallel --checkpoint-activations \
    --checkpoint-policy block --checkpoint-block-layer 30 --deepspeed-activation-checkpointing
model baichuan/baichuan-7b.json
path DATA_PATH ./dataset/baichuan_text_document
path TOKENIZER_PATH ./tokenizer

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" \
    --split 949,50,1 \
    --micro-batch-size 1 --global-batch-size 8 --seq-length 4096 \
    --train-iters 1024 --lr-warmup-fraction .1 \
    --lr 1e-5 --min-lr 1e-6 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 \
    --log-interval 1 --eval-interval 1000 --eval-iters 1 \
    --triangle-attn \
    --fp16 --initial-loss-scale 256
