#!/bin/bash
# Aquila 7B, Hugging Face folder to one shard under DeepSpeed's names.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 1 --pipeline-model-parallel-size 1
model aquila/aquila-7b.json
path CHECKPOINT ./aquila-7b-hf
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --deepspeed --make-vocab-size-divisible-by 8
