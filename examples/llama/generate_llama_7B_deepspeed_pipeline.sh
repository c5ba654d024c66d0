#!/bin/bash
# Text from LLaMA 7B over 8 tensor-parallel ranks.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1
model llama/llama-7b.json
path CHECKPOINT ./weight
path TOKENIZER_PATH ./dataset/llama

generate --load "$CHECKPOINT" --tokenizer-name-or-path "$TOKENIZER_PATH" \
    --prompt "how are you?" --max-new-tokens 64 --fp16
