#!/bin/bash
# BLOOM 7B1, Hugging Face folder to shards of tensor parallel 8 under DeepSpeed's names.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1
model bloom/bloom-7b1.json
path CHECKPOINT ./bloom-7b1-hf
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --deepspeed
