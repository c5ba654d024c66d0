#!/bin/bash
# Training as an MPI job: the bits of forked ranks, mistakes reported once, launcher and library of different MPIs, a rank that is killed.
# CSPEED names the program; the mpirun is the one of its MPI library.
. "$(dirname "$0")/../cli_lib.bash"
find_mpirun || skip_all "no mpirun, or a build without MPI"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 515, "hidden_size": 32, "intermediate_size": 88,
 "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
J
head -c 60000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
cd "$TMP" || exit 1
"$CSPEED" preprocess --quiet --input text.txt --output-prefix shk --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod
# flags RUN FLAGS...: sets `flags`, the arguments of a training
set_flags() {
    local run=$1
    shift
    flags=(train --model-config tiny.json --data-path shk_text_document --save "$run" --train-iters 4 --seq-length 32 --global-batch-size 8 --lr 3e-3
        --lr-decay-iters 20 --lr-warmup-iters 2 --log-interval 1 --eval-iters 0 --threads 1 --quiet "$@")
}
state_of() { (cd "$1/latest/" && find . -name '*.safetensors' -o -name state.json | sort | xargs sha256sum); }
same_state() { [ -n "$(state_of "$1")" ] && [ "$(state_of "$1")" = "$(state_of "$2")" ] || echo "$1 and $2 differ"; }

# --- the bits of forked ranks
while read -r ranks layout; do
    # shellcheck disable=SC2086
    {
        set_flags "forked$ranks" $layout
        expect 0 "forked: $ranks ranks $layout" "" "" "$CSPEED" "${flags[@]}" --nproc "$ranks"
        set_flags "job$ranks" $layout
        expect 0 "an MPI job: $ranks ranks $layout" "" "" "${mpirun[@]}" -n "$ranks" "$CSPEED" "${flags[@]}" </dev/null # it would read the lines of the list
    }
    result "the same bits" "$(same_state "forked$ranks" "job$ranks")"
done <<'F'
2 --dtype f64 --micro-batch-size 2 --tensor-model-parallel-size 2 --sequence-parallel
4 --dtype bf16 --micro-batch-size 2 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 1 --fold-mode aiao
F

# --- mistakes, once for all ranks
once() { grep -q 'error\[' "$TMP/stderr" && [ -z "$(grep 'error\[' "$TMP/stderr" | sort | uniq -d)" ] && [ ! -e never ] || cat "$TMP/stderr"; }
set_flags never --tensor-model-parallel-size 3
expect 2 "a layout that is not legal" "" "4, must be TP x PP x DP" "${mpirun[@]}" -n 4 "$CSPEED" "${flags[@]}"
result "is reported once, before anything is made" "$(once)"
set_flags never --nproc 3
expect 2 "--nproc contradicts the job" "" "--nproc 3, but the MPI job has 2 ranks" "${mpirun[@]}" -n 2 "$CSPEED" "${flags[@]}"
result "is reported once" "$(once)"

# --- the mpirun of another MPI starts single ranks that do not know of each other
for other in mpirun.openmpi mpirun.mpich; do
    [[ ${mpirun[0]} != *$other ]] && command -v $other >/dev/null || continue
    set_flags never
    expect 2 "$other" "" "error\[USAGE\]: started as one of 2 processes by .*mpirun.*, but the library .*(Open MPI|MPICH) [0-9].* sees one rank only" \
        $other -n 2 "$CSPEED" "${flags[@]}"
    result "is reported once, before anything is made" "$(once)"
done

# --- a rank is killed while it writes a checkpoint
set_flags whole --dtype bf16 --micro-batch-size 1 --pipeline-model-parallel-size 2 --save-interval 2
"$CSPEED" "${flags[@]}" --nproc 2
flags[6]=killed
start=$SECONDS
"${mpirun[@]}" -n 1 "$CSPEED" "${flags[@]}" : -n 1 env FAIL='kill@write:120' "$CSPEED" "${flags[@]}" >stdout 2>stderr
code=$?
result "a rank is killed: mpirun's exit code says so" "$([ $code != 0 ] || echo "exit code $code")"
result "all ranks are gone soon" "$([ $((SECONDS - start)) -le 10 ] || echo "$((SECONDS - start)) s")"
result "it had not been done" "$([ -d killed/latest/ ] && [ ! -d killed/iter_0000004 ] || ls killed)"
expect 0 "resume" "" "" "${mpirun[@]}" -n 2 "$CSPEED" "${flags[@]}" --resume
result "as if nothing had been" "$(same_state whole killed)"
finish
