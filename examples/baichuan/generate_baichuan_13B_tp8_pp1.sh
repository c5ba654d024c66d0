#!/bin/bash
# Text from Baichuan 13B over 8 tensor-parallel ranks.
. "$(dirname "$0")/../common.sh"

layout 8 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 1
model baichuan/baichuan-13b.json
path CHECKPOINT ./weight
path TOKENIZER_PATH ./dataset/llama

generate --load "$CHECKPOINT" --tokenizer-name-or-path "$TOKENIZER_PATH" \
    --prompt "how are you?" --max-new-tokens 256 --fp16
