#!/bin/bash
# LLaMA 2 34B (8 key-value heads) on 16 ranks: tensor parallel 8 with sequence parallelism, pipeline 2.
. "$(dirname "$0")/../common.sh"

layout 16 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 2 --sequence-parallel --mlp-layer-fusion
model llama2/llama2-34b.json
path DATA_PATH ./dataset/llama_text_document
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt
path CHECKPOINT ./weight

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$CHECKPOINT" \
    --split 949,50,1 \
    --micro-batch-size 2 --global-batch-size 512 --seq-length 4096 \
    --train-iters 1000 --lr-decay-iters 320000 --lr-warmup-fraction .01 \
    --lr 1.5e-4 --min-lr 1e-5 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 \
    --log-interval 1 --save-interval 10000 --eval-interval 10000 --eval-iters 10 \
    --bf16 --use-flash-attn --use-fused-rmsnorm
