#!/bin/bash
# Baichuan 13B, Hugging Face folder to shards of tensor parallel 8.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1
model baichuan/baichuan-13b.json
path CHECKPOINT ./baichuan-13B-hf
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --make-vocab-size-divisible-by 8
