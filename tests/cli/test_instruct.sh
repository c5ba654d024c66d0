#!/bin/bash
# Instruction tuning from records to a model: every layout gives the losses of one rank, packed and not; files of their own for every split and blends
# resume exactly; a batch is learnt by heart; wrong flags and damaged files. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 32, "intermediate_size": 88,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5}
J
sed -nE '/^$/d; s/["\\]//g; 60,180p' "$here/../examples/data/shakespeare.txt" | paste -d '\t' - - |
    sed -E 's/(.*)\t(.*)/{"instruction": "\1", "input": "", "output": "\2"}/' >"$TMP/lines.jsonl"
for name in a b; do
    expect 0 "preprocess $name" "" "" "$CSPEED" preprocess --quiet --input "$TMP/lines.jsonl" --output-prefix "$TMP/$name" --append-eod \
        --handler-name GeneralInstructionHandler --tokenizer-name-or-path "$here/data/tok512.bin"
done

# train RUN ITERS FLAGS...; LR and SEQ replace the usual ones
train() {
    local run=$1 iters=$2
    shift 2
    "$CSPEED" train --quiet --model-config "$TMP/tiny.json" --is-instruction-dataset --save "$TMP/$run" --train-iters "$iters" --seq-length "${SEQ:-320}" \
        --micro-batch-size 2 --global-batch-size 4 --lr "${LR:-1e-3}" --lr-decay-style constant --log-interval 1 --eval-interval 2 --threads 1 --eval-iters 1 "$@"
}
losses() { sed -nE 's/.*"lm_loss": ?([^,}]+).*/\1/p' "$TMP/$1/metrics.jsonl"; }
close_to() { paste <(losses "$1") <(losses "$2") | awk 'NF != 2 { bad = "rows" } { d = ($1 - $2) / $2; if (d < 0) d = -d; if (!(d <= 1e-10)) bad = bad " " $1 "/" $2 } END { if (NR == 0) bad = "empty"; print bad }'; }

for packing in "" --packing; do
    one=one$packing
    train "$one" 2 --data-path "$TMP/a" --dtype f64 $packing 2>"$TMP/stderr" || cat "$TMP/stderr"
    for layout in "--tensor-model-parallel-size 2" "--tensor-model-parallel-size 2 --sequence-parallel" "--pipeline-model-parallel-size 2" \
        "--use-distributed-optimizer"; do
        name="$one ${layout//-/}"
        rm -rf "$TMP/many"
        train many 2 --data-path "$TMP/a" --dtype f64 $packing --nproc 2 $layout 2>"$TMP/stderr" || cat "$TMP/stderr"
        result "losses of one rank: $name" "$(close_to many "$one")"
    done
done

# A blend, and validation data of its own: cut after three steps and resumed.
blend=(--train-weighted-split-paths "mix: 0.7 0:0.8 $TMP/a_packed, 0.3 0.1:1 $TMP/b" --valid-data-path "$TMP/b" --packing)
train whole 5 "${blend[@]}" 2>"$TMP/stderr" || cat "$TMP/stderr"
train cut 5 "${blend[@]}" --exit-interval 3 2>"$TMP/stderr"
train cut 5 "${blend[@]}" --resume 2>"$TMP/stderr"
result "a blend resumes exactly" "$([ -n "$(losses whole)" ] && [ "$(losses whole)" = "$(losses cut)" ] || echo "$(losses whole)" / "$(losses cut)")"
result "the last weights too" "$(cmp "$TMP/whole/latest/model.safetensors" "$TMP/cut/latest/model.safetensors" 2>&1)"
echo "\"mix: 0.7 0:0.8 $TMP/a, 0.3 0.1:1 $TMP/b\"" >"$TMP/mix.txt"
train file 5 --train-weighted-split-paths-path "$TMP/mix.txt" --packing 2>"$TMP/stderr" || cat "$TMP/stderr"
result "the blend from a file" "$([ "$(losses file)" = "$(losses whole)" ] || losses file)"

head -4 "$TMP/lines.jsonl" >"$TMP/four.jsonl"
"$CSPEED" preprocess --quiet --input "$TMP/four.jsonl" --output-prefix "$TMP/four" --append-eod --handler-name GeneralInstructionHandler \
    --tokenizer-name-or-path "$here/data/tok512.bin"
LR=1e-2 train heart 120 --data-path "$TMP/four" --split 1,0,0 2>"$TMP/stderr" || cat "$TMP/stderr"
result "a batch is learnt by heart" "$(losses heart | awk '{ last = $1 } END { if (!(NR == 120 && last < 0.01)) print NR, last }')"

expect 2 "data-path and train-data-path" "" "excludes --train-data-path" train x 1 --data-path "$TMP/a" --train-data-path "$TMP/b"
expect 2 "two groups" "" "2 groups; give one" train x 1 --train-weighted-split-paths "A: 1 0:1 $TMP/a" "B: 1 0:1 $TMP/b"
expect 2 "no range" "" "0 <= FROM < TO <= 1" train x 1 --train-weighted-split-paths "A: 1 0:2 $TMP/a"
expect 2 "flags of text" "" "leave them out with --is-instruction-dataset" train x 1 --data-path "$TMP/a" --reset-position-ids
expect 2 "packing of text" "" "add --is-instruction-dataset" "$CSPEED" train --model-config "$TMP/tiny.json" --data-path "$TMP/a" --packing \
    --train-iters 1 --seq-length 32
SEQ=16 expect 3 "every response is cut off" "" "a_packed_labels_document.idx: .* not one trained token in the first 17 \(all labels are -100\)" \
    train x 1 --data-path "$TMP/a"
cp "$TMP/four_packed_labels_document.idx" "$TMP/a_packed_labels_document.idx"
cp "$TMP/four_packed_labels_document.bin" "$TMP/a_packed_labels_document.bin"
expect 3 "pairs that do not belong together" "" "a_packed_labels_document.idx: 4 records, but .*a_packed_input_ids_document.idx has" train x 1 --data-path "$TMP/a"
rm "$TMP/a_packed_labels_document.bin"
expect 4 "a missing file" "" "a_packed_labels_document.bin" train x 1 --data-path "$TMP/a"
finish
