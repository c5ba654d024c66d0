#!/bin/bash
# BLOOM 7B1 from random weights: tensor parallel 8 with sequence parallelism. Lengths are in samples; the batch grows from 192 to 512.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1 --sequence-parallel \
    --zero-stage 0 --deepspeed --deepspeed-config "$DS_CONFIG" --deepspeed-activation-checkpointing
model bloom/bloom-7b1.json
path DATA_PATH ./dataset/oscar_text_document
path TOKENIZER_PATH ./dataset/bloom
path SAVE ./ckpt
path TENSORBOARD ./tensorboard

train --data-path "$DATA_PATH" --tokenizer-name-or-path "$TOKENIZER_PATH" --save "$SAVE" --load "$SAVE" \
    --micro-batch-size 4 --global-batch-size 512 --seq-length 2048 \
    --train-samples 220_000_000 --lr-decay-samples 200_000_000 --lr-warmup-samples 183_105 --rampup-batch-size 192 16 9_765_625 \
    --lr 1.2e-4 --min-lr 6e-6 --lr-decay-style cosine \
    --weight-decay 0.1 --clip-grad 1.0 --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-8 \
    --init-method-std 0.0048 --seed 42 \
    --log-interval 1 --save-interval 250 --eval-interval 1000 --eval-iters 1 \
    --tensorboard-dir "$TENSORBOARD" --tensorboard-queue-size 5 \
    --fp16 --initial-loss-scale 4096 --loss-scale-window 500
