#!/bin/bash
# LLaMA 65B on 32 ranks: tensor parallel 8 with sequence parallelism, pipeline 4, gate and up projection merged, activations recomputed.
. "$(dirname "$0")/../common.sh"

layout 32 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 4 --sequence-parallel --mlp-layer-fusion --checkpoint-activations
model llama/llama-65b.json
path DATA_PATH ./dataset/llama_text_document
path TOKENIZER_PATH ./dataset/llama
path SAVE ./ckpt

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$SAVE" \
    --split 949,50,1 \
    --micro-batch-size 2 --global-batch-size 512 --seq-length 2048 \
    --train-iters 50000 --lr-decay-iters 320000 --lr-warmup-fraction .01 \
    --lr 1.5e-4 --min-lr 1e-5 --lr-decay-style cosine \
    --weight-decay 1e-2 --clip-grad 1.0 \
    --log-interval 1 --save-interval 10000 --eval-interval 1000 --eval-iters 10 \
    --bf16
