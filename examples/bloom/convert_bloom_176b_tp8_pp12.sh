#!/bin/bash
# BLOOM 176B, Hugging Face folder to shards of tensor parallel 8, pipeline 12 with the stages that pretrain_bloom_176b.sh trains.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 12 \
    --partition-layers 5,6,6,6,6,6,6,6,6,6,6,5
model bloom/bloom-176b.json
path CHECKPOINT ./bloom-176b-hf
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --deepspeed
