#!/bin/bash
# Text from LLaMA 13B with a LoRA adapter, on one rank.
. "$(dirname "$0")/../common.sh"

layout 1
model llama/llama-13b.json
path CHECKPOINT ./weight
path TOKENIZER_PATH ./dataset/llama
path LORA_CHECKPOINT ./lora

generate --load "$CHECKPOINT" --tokenizer-name-or-path "$TOKENIZER_PATH" --lora-load "$LORA_CHECKPOINT" \
    --prompt $'Below is an instruction that describes a task.\n\n### Instruction:\nHow are you?\n\n### Response:' --max-new-tokens 64 --fp16
