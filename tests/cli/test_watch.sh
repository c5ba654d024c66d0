#!/bin/bash
# What a run does about its own ranks: one hangs, is killed, leaves too early, is slow, or was started differently; forked ranks and an MPI job.
# CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 515, "hidden_size": 32, "intermediate_size": 88,
 "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
J
head -c 60000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
cd "$TMP" || exit 1
"$CSPEED" preprocess --quiet --input text.txt --output-prefix shk --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod
FLAGS=(train --model-config tiny.json --data-path shk_text_document --train-iters 4 --seq-length 32 --micro-batch-size 1 --global-batch-size 8
    --lr 3e-3 --lr-decay-iters 20 --log-interval 1 --eval-iters 0 --threads 1 --quiet)
train() { "$CSPEED" "${FLAGS[@]}" "$@"; }
state_of() { (cd "$1/latest/" && find . -name '*.safetensors' -o -name state.json | sort | xargs sha256sum); }
same_state() { [ -n "$(state_of "$1")" ] && [ "$(state_of "$1")" = "$(state_of "$2")" ] || echo "$1 and $2 differ"; }
one_line() { [ "$(grep -c 'error\[' stderr)" = 1 ] || cat stderr; }
alone() { [ -z "$(pgrep -f "save $1 " | head -n 1)" ] || pgrep -af "save $1 "; } # no rank is left

# --- forked ranks
train --save whole --nproc 2 --pipeline-model-parallel-size 2
hang="rank 1 hangs: rank 0 has waited [0-9.]+ s for it in .* no\. [0-9]+ of [0-9]+ bytes in [a-z_]+ of step 3"
expect 7 "a rank hangs" "" "error\[PEER\]: $hang" train --save hung --nproc 2 --simulate hang@1:3 --comm-deadline 1.5
result "it is said once" "$(one_line)"
result "with what both did last" "$(grep -q '^  rank 1, step 3: in no operation' stderr && grep -q '^  rank 0, step 3: waits' stderr &&
    [ "$(grep -c '^    \(done\|in\|begun\) ' stderr)" -gt 60 ] || cat stderr)"
result "and no rank is left" "$(alone hung)"
expect 7 "a stage hangs, whose neighbours wait for each other" "" "error\[PEER\]: rank 2 hangs: rank [013] has waited" train --save stage --nproc 4 \
    --pipeline-model-parallel-size 4 --simulate hang@2:2 --comm-deadline 1.5
expect 7 "two ranks of tensor and of pipeline groups" "" "error\[PEER\]: rank 3 hangs: rank [012] has waited" train --save mesh --nproc 4 \
    --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --simulate hang@3:2 --comm-deadline 1.5
expect 7 "a rank is killed" "" "rank 1 \(process [0-9]+\) was killed by signal 9" train --save killed --nproc 2 --pipeline-model-parallel-size 2 \
    --save-interval 1 --simulate kill@1:3
result "it is said once" "$(one_line)"
expect 0 "the run goes on" "" "" train --save killed --nproc 2 --pipeline-model-parallel-size 2 --save-interval 1 --resume
result "as if nothing had been" "$(same_state killed whole)"
expect 7 "a rank leaves as if all were well" "" "rank 1 waits for rank 0, which has ended already" train --save left --nproc 2 --simulate exit0@0:2
expect 0 "a slow rank within the deadline" "" "" train --save slow --nproc 2 --pipeline-model-parallel-size 2 --simulate slow@1:3
result "changes nothing" "$(same_state slow whole)"
expect 0 "operations compared before they begin" "" "" train --save compared --nproc 2 --pipeline-model-parallel-size 2 --comm-check
result "change nothing" "$(same_state compared whole)"
for fault in stop@0:1 hang@2:1 hang@0:0 hang@0 hang hang@0:1x hang@-1:1; do
    expect 2 "no such fault: $fault" "" "--simulate $fault: expected kill, hang, exit0 or slow, then @RANK:STEP" train --save never --nproc 2 --simulate $fault
done

# --- an MPI job
if find_mpirun; then
    expect 7 "a rank of a job hangs" "" "error\[PEER\]: $hang" "${mpirun[@]}" -n 2 "$CSPEED" "${FLAGS[@]}" --save job --simulate hang@1:3 --comm-deadline 1.5
    result "it is said once" "$(one_line)"
    expect 2 "one rank with another flag" "" "error\[USAGE\]: the ranks do not agree: seed is 7 on rank 1, but 1234 on ranks 0, 2; start" \
        "${mpirun[@]}" -n 1 "$CSPEED" "${FLAGS[@]}" --save apart : -n 1 "$CSPEED" "${FLAGS[@]}" --save apart --seed 7 : \
        -n 1 "$CSPEED" "${FLAGS[@]}" --save apart
    result "it is said once" "$(one_line)"
    mkdir m0 m1
    cp tiny.json m0/
    sed 's/"rms_norm_eps": 1e-5/"rms_norm_eps": 1e-6/' tiny.json >m1/tiny.json
    cp shk_text_document.* m0/
    cp shk_text_document.* m1/
    cat >start.sh <<S
#!/bin/sh
cd m\${OMPI_COMM_WORLD_RANK:-\$PMI_RANK} && exec "$CSPEED" ${FLAGS[*]} --save "$TMP/apart"
S
    expect 2 "one rank with another file of the same name" "" "error\[USAGE\]: the ranks do not agree: rms_norm_eps is .* on rank 1, but" "${mpirun[@]}" -n 2 sh start.sh
    expect 0 "operations of a job compared" "" "" "${mpirun[@]}" -n 2 "$CSPEED" "${FLAGS[@]}" --save compared-job --pipeline-model-parallel-size 2 --comm-check
    result "change nothing" "$(same_state compared-job whole)"
    expect 2 "a wrong flag on all ranks" "" "error\[USAGE\]: rank 0: --no-such-flag" "${mpirun[@]}" -n 2 "$CSPEED" "${FLAGS[@]}" --no-such-flag 1
    result "it is said once" "$(one_line)"
    expect 2 "a wrong flag on one rank" "" "error\[USAGE\]: rank 1: --no-such-flag" \
        "${mpirun[@]}" -n 1 "$CSPEED" "${FLAGS[@]}" --save apart : -n 1 "$CSPEED" "${FLAGS[@]}" --no-such-flag 1
    result "it is said once" "$(one_line)"
    expect 2 "an unknown command" "" "trian: unknown command" "${mpirun[@]}" -n 2 "$CSPEED" trian
    result "it is said once" "$(one_line)"
fi
finish
