#!/bin/bash
# LLaMA 2 7B from random weights: 8 data-parallel ranks, ZeRO 2, activations recomputed, attention in triangles.
. "$(dirname "$0")/../common.sh"

layout 8 --zero-stage 2 --deepspeed --deepspeed-config "$DS_CONFIG" --no-pipeline-parallel --checkpoint-activations \
    --deepspeed-activation-checkpointing
model llama2/llama2-7b.json
path DATA_PATH ./dataset/llama_text_document
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 4 --global-batch-size 32 --seq-length 4096 \
    --train-iters 500000 --lr-decay-iters 320000 --lr-warmup-iters 5000 \
    --lr 3e-4 --min-lr 3e-5 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-5 \
    --log-interval 1 --save-interval 10000 --eval-interval 1000 --eval-iters 10 \
    --triangle-attn --use-fused-rotary-pos-emb \
    --fp16 --initial-loss-scale 256
