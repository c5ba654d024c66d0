#!/bin/bash
# Text from Aquila 7B on one rank.
. "$(dirname "$0")/../common.sh"

layout 1
model aquila/aquila-7b.json
path CHECKPOINT ./weight
path TOKENIZER_PATH ./dataset/llama

generate --load "$CHECKPOINT" --tokenizer-name-or-path "$TOKENIZER_PATH" \
    --prompt "how are you?" --max-new-tokens 256 --fp16
