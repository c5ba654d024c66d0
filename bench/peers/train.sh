#!/bin/bash
# Times PyTorch's training step. usage: PYTHON=python3 THREADS=2 bench/peers/train.sh [flags of pytorch_train.py, such as --seq 1024 --mbs 1]
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
threads=${THREADS:-$(nproc)}
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "train.sh: $python has no torch; README.md in this folder says how to get it, PYTHON names another interpreter" >&2
    exit 1
fi
for precision in ${PRECISIONS:-f32 autocast bf16}; do
    OMP_NUM_THREADS=$threads "$python" pytorch_train.py --threads "$threads" --precision "$precision" "$@" 2>/dev/null
done
