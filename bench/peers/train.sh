#!/bin/bash
# Times a training step of the 110M shape in PyTorch and in cspeed, in turn, on an otherwise idle machine.
# usage: PYTHON=python3 THREADS=2 ROUNDS=2 PRECISIONS="f32 autocast bf16" bench/peers/train.sh [flags of pytorch_train.py]
# Flags change PyTorch's side only (another --seq or --mbs needs the same in `cspeed bench train`); CSPEED names the cspeed binary.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
threads=${THREADS:-$(nproc)}
cspeed=${CSPEED:-../../build/cspeed}
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "train.sh: $python has no torch; README.md in this folder says how to get it, PYTHON names another interpreter" >&2
    exit 1
fi
for round in $(seq "${ROUNDS:-2}"); do
    echo "round $round"
    for precision in ${PRECISIONS:-f32 autocast bf16}; do
        OMP_NUM_THREADS=$threads "$python" pytorch_train.py --threads "$threads" --precision "$precision" --seq 512 --mbs 2 "$@" 2>/dev/null
    done
    "$cspeed" bench train --threads "$threads" --seq-length 512 --tokens 1024 --hidden-size 768 --num-layers 12 --num-attention-heads 12 \
        --num-key-value-heads 12 --ffn-hidden-size 2048 --vocab-size 32000
done
