#!/bin/bash
# The main path of cspeed, from text to text: preprocess, train on two ranks, look at the curve, generate; then a published model tells a story.
# Writes below demo-out/ (and build/) only. usage: ./demo.sh        DEMO_ITERS=N and DEMO_DTYPE=f32|bf16 change the run
set -eu
cd "$(dirname "$0")"
out=demo-out
iters=${DEMO_ITERS:-200}
dtype=${DEMO_DTYPE:-f32}
export PATH="$PWD/build:$PATH"

run() { # prints a command, then runs it
    printf '\n$'
    printf ' %q' "$@"
    printf '\n'
    "$@"
}

run sh scripts/deps.sh
run make -s -j"$(nproc)"
cspeed version

rm -rf "$out"
mkdir -p "$out/tok" "$out/text"
cp tests/data/tok512.bin "$out/tok/"
# Twenty documents, so that the split has some to hold back for validation.
split -n l/20 -d --additional-suffix=.txt examples/data/shakespeare.txt "$out/text/part-"

run cspeed preprocess --input "$out/text" --text-document file --output-prefix "$out/shk" --tokenizer-name-or-path "$out/tok" --append-eod --workers 2

run cspeed train --num-layers 4 --hidden-size 192 --ffn-hidden-size 512 --num-attention-heads 6 --group-query-attention --num-query-groups 2 \
    --data-path "$out/shk_text_document" --split 949,50,1 --tokenizer-name-or-path "$out/tok" --save "$out/run" --nproc 2 --use-distributed-optimizer \
    --train-iters "$iters" --seq-length 256 --micro-batch-size 4 --global-batch-size 16 --lr 6e-4 --min-lr 6e-5 --lr-decay-style cosine \
    --lr-warmup-iters 20 --weight-decay 0.1 --clip-grad 1.0 --adam-beta2 0.95 --dtype "$dtype" --log-interval 5 --eval-interval 40 --eval-iters 4 \
    --save-interval 100 --keep-checkpoints 2 --seed 1

run cspeed plot "$out/run" --title "tiny-shakespeare, LLaMA 4 x 192"
run cspeed verify "$out/run"
run cspeed generate --load "$out/run" --prompt "ROMEO:" --max-new-tokens 200 --do-sample --temperature 0.8 --top-k 50 --seed 1 --echo

run cspeed convert --input tests/data/stories260K.bin --tokenizer tests/data/tok512.bin --output "$out/stories"
run cspeed generate --load "$out/stories" --prompt "Once upon a time" --max-new-tokens 180 --echo

printf '\nThe curve: %s/run/loss.png   The checkpoint, a Hugging Face folder: %s/run/latest\n' "$out" "$out"
