#!/bin/bash
# Text from a tuned LLaMA 13B on one rank.
. "$(dirname "$0")/../common.sh"

layout 1
model llama/llama-13b.json
path CHECKPOINT ./weight
path TOKENIZER_PATH ./dataset/llama

generate --load "$CHECKPOINT" --tokenizer-name-or-path "$TOKENIZER_PATH" \
    --prompt $'Below is an instruction that describes a task.\n\n### Instruction:\nHow are you?\n\n### Response:' --max-new-tokens 64 --fp16
