#!/bin/bash
# InternLM 7B, Hugging Face folder to one shard under DeepSpeed's names.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 1 --pipeline-model-parallel-size 1
model intern/internlm-7b.json
path CHECKPOINT ./internlm-7b
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --deepspeed
