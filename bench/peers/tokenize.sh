#!/bin/bash
# Encoding speed of cspeed beside SentencePiece and HF tokenizers, one thread, in turns in one run. Prints ratios of medians.
# usage: PYTHON=python3 CSPEED=build/cspeed bench/peers/tokenize.sh TOKENIZER... -- TEXT... [flags of tokenize.py]
# TOKENIZER: a tokenizer.model (against SentencePiece), a tokenizer.json or a folder with vocab.json and merges.txt (against HF tokenizers).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
cspeed=${CSPEED:-$here/../../build/cspeed}
if ! "$python" -c 'import sentencepiece, tokenizers' 2>/dev/null; then
    echo "tokenize.sh: $python lacks sentencepiece or tokenizers; README.md in this folder says how to get them, PYTHON names another interpreter" >&2
    exit 1
fi
tokenizers=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    tokenizers+=("$1")
    shift
done
if [ $# -lt 2 ] || [ ${#tokenizers[@]} -eq 0 ]; then
    sed -n '3,4s/^# //p' "$0" >&2
    exit 2
fi
shift
exec "$python" "$here/tokenize.py" --cspeed "$cspeed" --tokenizer "${tokenizers[@]}" --input "$@"
