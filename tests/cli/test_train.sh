#!/bin/bash
# Training from end to end on a small text: run folder, exact resume after kill -9, data parallel and sharded optimizer, stopping, bad numbers,
# failing disks, wrong flags. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
export OMP_WAIT_POLICY=passive

cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 32, "intermediate_size": 88,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
J
head -c 60000 "$here/../examples/data/shakespeare.txt" >"$TMP/text.txt"
expect 0 "preprocess" "" "" "$CSPEED" preprocess --input "$TMP/text.txt" --output-prefix "$TMP/shk" --tokenizer-name-or-path "$here/data/tok512.bin" --append-eod

# train RUN ITERS FLAGS...: flags given here replace the usual ones
train() {
    local run=$1 iters=$2 i
    shift 2
    local flags=(--model-config "$TMP/tiny.json" --data-path "$TMP/shk_text_document" --save "$TMP/$run" --train-iters "$iters" --seq-length 32
        --micro-batch-size 2 --global-batch-size 8 --lr 1e-3 --min-lr 1e-4 --lr-decay-style cosine --lr-decay-iters 20 --lr-warmup-iters 3
        --weight-decay 0.1 --clip-grad 1.0 --log-interval 4 --eval-interval 8 --eval-iters 2 --threads 1)
    local use=()
    for ((i = 0; i < ${#flags[@]}; i += 2)); do
        [[ " $* " == *" ${flags[i]} "* ]] || use+=("${flags[@]:i:2}")
    done
    ${START:-} "$CSPEED" train "${use[@]}" "$@"
}
column() { sed -nE "s/.*\"$2\": ?([^,}]+).*/\1/p" "$TMP/$1/metrics.jsonl"; }
losses() { column "$1" lm_loss; }
state_files() { (cd "$TMP/$1/$2" && find . -name '*.safetensors' -o -name state.json | sort | xargs sha256sum); }
same_state() { [ "$(state_files "$1" "$3")" = "$(state_files "$2" "$3")" ] || echo "files differ"; }
close_to() { paste <(losses "$1") <(losses "$2") | awk -v eps="$3" 'NF != 2 { bad = "rows" } { d = ($1 - $2) / $2; if (d < 0) d = -d; if (!(d <= eps)) bad = bad " " $1 "/" $2 } END { if (NR == 0) bad = "empty"; print bad }'; }

expect 0 "a run of 20 steps" "" "iteration +20/ +20 .* lm loss: [0-9.E+-]+ .* TFLOPs" train whole 20 --save-interval 5 --keep-checkpoints 2
result "rows every 4 steps" "$([ "$(column whole step | tr '\n' ' ')" = "4 8 12 16 20 " ] || column whole step)"
result "loss falls" "$(losses whole | awk 'NR == 1 { a = $1 } { b = $1 } END { if (!(b < a - 0.15)) print a, b }')"
result "validation loss recorded" "$(grep -q '"val_loss"' "$TMP/whole/metrics.jsonl" || echo none)"
result "keeps the two newest" "$([ "$(cd "$TMP/whole" && echo iter_*)" = "iter_0000015 iter_0000020" ] || ls "$TMP/whole")"
result "latest points to the newest" "$([ "$(readlink "$TMP/whole/latest")" = iter_0000020 ] || readlink "$TMP/whole/latest")"
result "run files" "$(for f in config.json command.txt env.json log.txt metrics.jsonl loss.svg loss.png; do [ -s "$TMP/whole/$f" ] || echo "$f"; done; ls "$TMP/whole" | grep -q tfevents || echo events)"
expect 0 "verify" "" "" "$CSPEED" verify "$TMP/whole/iter_0000020"
expect 2 "a used folder is not overwritten" "" "already holds checkpoints; add --resume" train whole 20
expect 0 "config.json of the run can be used again" "" "" "$CSPEED" train --config "$TMP/whole/config.json" --save "$TMP/again" --quiet
result "and gives the same bytes" "$(same_state whole again iter_0000020)"

# Exact resume: kill -9 somewhere after step 5 was saved, resume to 10, resume again to 20; f32, bf16 and fp16 with its loss scale, 1 and 2 ranks.
for setting in "f32 1" "bf16 1" "f32 2" "bf16 2" "fp16 1" "fp16 2"; do
    set -- $setting
    flags="--dtype $1 --nproc $2 --save-interval 5"
    [ "$2" = 2 ] && flags="$flags --use-distributed-optimizer"
    [ "$1" = fp16 ] && flags="$flags --initial-loss-scale 1048576 --loss-scale-window 3"
    name=$1-$2
    train "ref-$name" 20 $flags --quiet 2>"$TMP/stderr"
    FAIL=kill@rename:9 train "cut-$name" 20 $flags --quiet 2>>"$TMP/stderr"
    result "killed $name" "$([ -d "$TMP/cut-$name/iter_0000020" ] && echo "was not killed")"
    train "cut-$name" 20 $flags --quiet --resume --exit-interval 10 2>>"$TMP/stderr"
    train "cut-$name" 20 $flags --quiet --resume 2>>"$TMP/stderr"
    result "resume is exact $name" "$(same_state "ref-$name" "cut-$name" iter_0000020)"
    result "same losses $name" "$([ -n "$(losses "ref-$name")" ] && [ "$(losses "ref-$name")" = "$(losses "cut-$name")" ] || echo "$(losses "ref-$name")" / "$(losses "cut-$name")")"
    result "no temporary files $name" "$(find "$TMP/cut-$name" -name '*.tmp.*')"
done
result "2 ranks as 1, f32" "$(close_to ref-f32-1 ref-f32-2 1e-5)"
result "bf16 near f32" "$(close_to ref-f32-1 ref-bf16-1 1e-2)"
result "fp16: the scale grows, and steps that overflow are skipped" "$(column ref-fp16-1 loss_scale | awk '{ top = $1 > top ? $1 : top } END { if (!(top > 1048576)) print top }'
    [ "$(column ref-fp16-1 skipped | tail -n 1)" -gt 0 ] || echo "none skipped")"
result "fp16 follows f32" "$(paste <(losses ref-f32-1 | tail -n 1) <(losses ref-fp16-1 | tail -n 1) | awk '{ d = $1 / $2 - 1; if (d * d > 0.0025) print }')"
train dp1 6 --dtype f64 --log-interval 1 --quiet
train dp2 6 --dtype f64 --log-interval 1 --nproc 2 --quiet
train dp2z 6 --dtype f64 --log-interval 1 --nproc 2 --zero-stage 1 --quiet
result "2 ranks as 1, f64" "$(close_to dp1 dp2 1e-10)"
result "sharded optimizer, same weights" "$([ "$(cd "$TMP/dp2/latest/" && sha256sum model.safetensors)" = "$(cd "$TMP/dp2z/latest/" && sha256sum model.safetensors)" ] || echo differ)"
train moved 20 --save-interval 5 --exit-interval 10 --nproc 2 --use-distributed-optimizer --quiet
expect 0 "resume 2 ranks on 1" "" "data-parallel ranks was 2 and is now 1" train moved 20 --save-interval 5 --resume
result "close to one layout" "$(close_to moved ref-f32-1 1e-4)"

# Gradient descent: exact resume with the momentum saved, none to save without; the state of another optimizer is refused.
sgd="--dtype bf16 --nproc 2 --use-distributed-optimizer --optimizer sgd --lr 0.1 --save-interval 5 --quiet"
train sgd 10 $sgd 2>"$TMP/stderr"
train cut-sgd 10 $sgd --exit-interval 5 --optimizer-offload-dir "$TMP/offload" 2>>"$TMP/stderr"
expect 2 "momentum is no state of adam" "" "the optimizer was sgd with momentum and is now adam.*--no-load-optim" train cut-sgd 10 --dtype bf16 --resume
expect 2 "nor of plain descent" "" "was sgd with momentum and is now sgd, " train cut-sgd 10 $sgd --resume --sgd-momentum 0
train cut-sgd 10 $sgd --resume 2>>"$TMP/stderr"
result "resume is exact: sgd" "$(same_state sgd cut-sgd iter_0000010)"
result "sgd learns" "$(losses sgd | awk 'NR == 1 { a = $1 } { b = $1 } END { if (!(b < a - 0.1)) print a, b }')"
train plain 10 --optimizer sgd --sgd-momentum 0 --lr 0.1 --quiet 2>"$TMP/stderr"
train cut-plain 10 --optimizer sgd --sgd-momentum 0 --lr 0.1 --exit-interval 5 --quiet 2>>"$TMP/stderr"
train cut-plain 10 --optimizer sgd --sgd-momentum 0 --lr 0.1 --resume --quiet 2>>"$TMP/stderr"
result "resume is exact: sgd without momentum" "$(same_state plain cut-plain iter_0000010; ls "$TMP/plain/latest/trainer" | grep optimizer)"
expect 0 "a fresh state" "" "optimizer: adam, .*betas" train cut-plain 14 --no-load-optim --resume --override-lr-scheduler

# Other families by their config.json: 2 ranks with a sharded optimizer stop and go on exactly; generate opens what was saved.
cat >"$TMP/bloom.json" <<'J'
{"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 512, "hidden_size": 36, "n_layer": 2, "n_head": 3, "seq_length": 64}
J
cat >"$TMP/baichuan.json" <<'J'
{"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", "vocab_size": 512, "hidden_size": 40, "intermediate_size": 72,
 "num_hidden_layers": 2, "num_attention_heads": 5, "model_max_length": 64, "z_loss_weight": 0}
J
for family in bloom baichuan; do
    flags="--model-config $TMP/$family.json --nproc 2 --use-distributed-optimizer --save-interval 5 --quiet"
    train "whole-$family" 10 $flags 2>"$TMP/stderr"
    train "cut-$family" 10 $flags --exit-interval 5 2>>"$TMP/stderr"
    train "cut-$family" 10 $flags --resume 2>>"$TMP/stderr"
    result "resume is exact: $family" "$(same_state "whole-$family" "cut-$family" iter_0000010)"
    train "one-$family" 10 --model-config "$TMP/$family.json" --quiet 2>"$TMP/stderr"
    result "2 ranks as 1: $family" "$(close_to "one-$family" "whole-$family" 1e-5)"
    expect 0 "generate: $family" "^[0-9. ]+$|." "" "$CSPEED" generate --load "$TMP/whole-$family" --tokenizer-name-or-path "$here/data/tok512.bin" --prompt "the" --max-new-tokens 4
done

if find_mpirun; then
    START="${mpirun[*]} -n 2" train mpi 20 --use-distributed-optimizer --save-interval 5 --quiet >/dev/null 2>&1
    result "under mpirun the same bytes as forked ranks" "$(same_state mpi ref-f32-2 iter_0000020)"
fi

# Ways to end.
START=exec train term 100000 --nproc 2 --log-interval 1 --lr-decay-iters 100000 2>"$TMP/term.err" &
pid=$!
until [ "$(cat "$TMP/term/metrics.jsonl" 2>/dev/null | wc -l)" -ge 3 ]; do sleep 0.1; kill -0 $pid 2>/dev/null || break; done
kill -TERM $pid
wait $pid
result "SIGTERM: exit code 0" "$([ $? = 0 ] || echo "$? $(cat "$TMP/term.err")")"
result "SIGTERM: saved, says how to go on" "$(grep -q 'stopped by a signal.*--resume' "$TMP/term.err" && [ -L "$TMP/term/latest" ] || tail -3 "$TMP/term.err")"
expect 0 "no folder at all" "" "iteration +4/" "$CSPEED" train --model-config "$TMP/tiny.json" --data-path "$TMP/shk_text_document" --train-iters 4 --seq-length 32 --lr 1e-3 --eval-iters 0 --log-interval 4 --lr-decay-iters 8
expect 6 "numbers that stay bad" "" "error\[NUMERIC\].* 4 steps in a row" train bad 20 --lr 1e30 --min-lr 0 --clip-grad 0 --lr-warmup-iters 0 --max-bad-steps 3
result "the state before is saved" "$("$CSPEED" verify "$TMP/bad/latest" >/dev/null 2>"$TMP/v" || cat "$TMP/v")"

# Disks and files.
expect 4 "the disk is full at the last save" "" "not saved: .*No space left" env FAIL=io:enospc@60+ "$CSPEED" train --model-config "$TMP/tiny.json" --data-path "$TMP/shk_text_document" --save "$TMP/full" --train-iters 2 --seq-length 32 --lr 1e-3 --lr-decay-iters 4 --eval-iters 0
result "nothing half-written" "$(find "$TMP/full" -name 'iter_*')"
expect 4 "missing data" "" "nowhere" train d1 4 --data-path "$TMP/nowhere"
expect 4 "missing model" "" "no such file" train d2 4 --load "$TMP/nowhere" --finetune
mkdir "$TMP/locked" && { flock -x 9; expect 4 "a locked run" "" "locked by process" train locked 4; } 9>"$TMP/locked/.lock"
cp -r "$TMP/ref-f32-1" "$TMP/flip"
printf '\xff' | dd of="$TMP/flip/iter_0000020/model.safetensors" bs=1 seek=5000 conv=notrunc status=none
expect 0 "a damaged newest checkpoint is passed over" "" "skipping checkpoint iter_0000020" train flip 20 --resume --save-interval 5
result "and made again" "$(same_state ref-f32-1 flip iter_0000020)"
expect 2 "all wrong flags at once" "" "--min-lr.*" train d3 4 --min-lr 1 --zero-stage 3 --pipeline-model-parallel-size 2
result "each on its line" "$([ "$(grep -c 'error\[USAGE\]' "$TMP/stderr")" = 3 ] || cat "$TMP/stderr")"
expect 2 "flag of a later version" "" "lora-r" train d4 4 --lora-r 4
expect 0 "flags of other programs are accepted" "" "distributed-backend" train d5 2 --distributed-backend nccl --DDP-impl local --tokenizer-not-use-fast
expect 0 "finetune starts at step 0" "" "iteration +4/ +4 " train tune 4 --load "$TMP/ref-f32-1" --finetune
expect 0 "load goes on" "" "steps 21 to 24" train on 24 --load "$TMP/ref-f32-1" --override-lr-scheduler
finish
