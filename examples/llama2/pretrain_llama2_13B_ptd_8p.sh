#!/bin/bash
# LLaMA 2 13B goes on from published weights: tensor parallel 8 with sequence parallelism.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1 --sequence-parallel
model llama2/llama2-13b.json
path DATA_PATH ./dataset/llama_text_document
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt
path CHECKPOINT ./weight

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$CHECKPOINT" \
    --split 949,50,1 \
    --micro-batch-size 2 --global-batch-size 256 --seq-length 4096 \
    --train-iters 5000 --lr-warmup-iters 1000 \
    --lr 1e-6 --min-lr 1e-8 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-5 \
    --log-interval 1 --save-interval 1000 --eval-interval 1000 --eval-iters 100 \
    --bf16 --use-flash-attn --use-fused-rmsnorm --use-fused-rotary-pos-emb
