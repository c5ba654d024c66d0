#!/bin/bash
# Text from LLaMA 7B over 4 ranks: tensor parallel 2, pipeline 2.
. "$(dirname "$0")/../common.sh"

layout 4 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2
model llama/llama-7b.json
path CHECKPOINT ./weight
path TOKENIZER_PATH ./dataset/llama

generate --load "$CHECKPOINT" --tokenizer-name-or-path "$TOKENIZER_PATH" \
    --prompt "how are you?" --max-new-tokens 64 --fp16
