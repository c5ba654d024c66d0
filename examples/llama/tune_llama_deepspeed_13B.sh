#!/bin/bash
# LoRA on LLaMA 13B with instructions: 8 data-parallel ranks, ZeRO 2. 2 epochs of 52000 samples are 812 steps of 128.
. "$(dirname "$0")/../common.sh"

layout 8 --zero-stage 2 --deepspeed --deepspeed-config "$DS_CONFIG" --no-pipeline-parallel --checkpoint-activations \
    --deepspeed-activation-checkpointing
model llama/llama-13b.json
path INSTRUCTION_PATH ./dataset/alpaca_packed
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt
path CHECKPOINT ./weight

train --data-path "$INSTRUCTION_PATH" --is-instruction-dataset --tokenizer-name-or-path "$TOKENIZER_PATH" --load "$CHECKPOINT" \
    --save "$SAVE" --finetune \
    --split 949,50,1 \
    --micro-batch-size 16 --global-batch-size 128 --seq-length 256 \
    --train-iters 812 --lr-decay-iters 812 --lr-warmup-iters 200 \
    --lr 1e-6 --min-lr 0 --lr-decay-style cosine \
    --weight-decay 0 --clip-grad 1.0 \
    --log-interval 1 --save-interval 203 --eval-interval 1000 --eval-iters 10 \
    --lora-target-modules query_key_value dense gate_proj up_proj down_proj --lora-r 64 --lora-alpha 128 \
    --lora-modules-to-save word_embeddings lm_head.lm_head \
    --fp16 --initial-loss-scale 256
