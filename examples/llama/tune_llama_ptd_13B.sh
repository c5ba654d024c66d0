#!/bin/bash
# LoRA on LLaMA 13B with instructions: tensor parallel 4, pipeline 2. 5 epochs of 52000 samples are 2030 steps of 128.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2 --checkpoint-activations
model llama/llama-13b.json
path INSTRUCTION_PATH ./dataset/alpaca_packed
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt
path CHECKPOINT ./weight

train --data-path "$INSTRUCTION_PATH" --is-instruction-dataset --tokenizer-name-or-path "$TOKENIZER_PATH" --load "$CHECKPOINT" \
    --save "$SAVE" --finetune \
    --split 949,50,1 \
    --micro-batch-size 4 --global-batch-size 128 --seq-length 256 \
    --train-iters 2030 --lr-decay-iters 2030 --lr-warmup-iters 200 \
    --lr 1e-6 --min-lr 0 --lr-decay-style cosine \
    --weight-decay 0 --clip-grad 1.0 \
    --log-interval 1 --save-interval 507 --eval-interval 1000 --eval-iters 10 \
    --lora-target-modules query_key_value dense gate_proj up_proj down_proj --lora-r 64 --lora-alpha 128 \
    --lora-modules-to-save word_embeddings lm_head.lm_head \
    --fp16 --initial-loss-scale 4096
