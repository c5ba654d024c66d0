#!/bin/bash
# LoRA on Chinese LLaMA 7B, 13B or 33B (the sizes are those of CHECKPOINT): tensor parallel 4, pipeline 2.
# model names the size for a rehearsal only.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2
model llama/llama-7b.json
path INSTRUCTION_PATH ./dataset/alpaca_packed
path TOKENIZER_PATH ./dataset/llama
path CHECKPOINT ./weight

train --data-path "$INSTRUCTION_PATH" --is-instruction-dataset --tokenizer-name-or-path "$TOKENIZER_PATH" --load "$CHECKPOINT" \
    --finetune \
    --split 949,50,1 \
    --micro-batch-size 2 --global-batch-size 16 --seq-length 2048 \
    --train-iters 1 --lr-decay-iters 320000 --lr-warmup-fraction .01 \
    --lr 1e-4 --min-lr 1e-5 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 \
    --log-interval 1 --eval-iters 0 \
    --lora-target-modules query_key_value dense gate_proj up_proj down_proj --lora-r 64 --lora-alpha 128 \
    --lora-modules-to-save word_embeddings lm_head.lm_head \
    --fp16 --initial-loss-scale 4096
