#!/bin/bash
# LLaMA 65B, Hugging Face folder to shards of tensor parallel 8, pipeline 4.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 4
model llama/llama-65b.json
path CHECKPOINT ./llama-65b-hf
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --merge-mlp
