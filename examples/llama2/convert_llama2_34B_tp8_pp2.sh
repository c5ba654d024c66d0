#!/bin/bash
# LLaMA 2 34B, Hugging Face folder to shards of tensor parallel 8, pipeline 2.
. "$(dirname "$0")/../common.sh"

layout 1 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 2
model llama2/llama2-34b.json
path CHECKPOINT ./llama2-34b-hf
path OUTPUT ./weight

convert --input "$CHECKPOINT" --output "$OUTPUT" --to megatron \
    --merge-mlp --make-vocab-size-divisible-by 8
