#!/bin/bash
# The scripts and models of examples/. Every script is rehearsed (REHEARSE=1) with its own layout: it runs, or ends with the refusal listed here.
# Those refused for their layout run on one rank instead. A mode that comes to work fails here until its rows are taken out.
. "$(dirname "$0")/../cli_lib.bash"
examples=$(cd "$(dirname "$0")/../../examples" && pwd)
export OMP_WAIT_POLICY=passive CSPEED REHEARSE=1 REHEARSE_DIR=$TMP/rehearsal
mkdir "$REHEARSE_DIR"

# script | what its own layout ends with
refused="
llama/generate_llama_7B_tp2_pp2         --tensor-model-parallel-size: not supported
llama/generate_llama_7B_deepspeed_pipeline --tensor-model-parallel-size: not supported
baichuan/generate_baichuan_13B_tp8_pp1  --tensor-model-parallel-size: not supported
bloom/generate_bloom_7b_deepspeed_pipeline --tensor-model-parallel-size: not supported
"
# refused whatever the layout
refused_everywhere="
llama/generate_alpaca_13B_lora_deepspeed --lora-load: not supported
llama/tune_llama_ptd_13B                --lora-target-modules: not supported
llama/tune_llama_deepspeed_13B          --lora-target-modules: not supported
alpaca/finetune_chinese_llama_alpaca_7_13_33b_tp1_pp1_deepspeed --lora-target-modules: not supported
alpaca/finetune_chinese_llama_alpaca_7_13_33b_tp4_pp2 --lora-target-modules: not supported
"
listed=" $(awk '{ print $1 }' <<<"$refused$refused_everywhere" | tr '\n' ' ') "
run() { bash "$examples/$1.sh"; }

while read -r name message; do
    [ -n "$name" ] || continue
    expect 2 "$name: refused" "" "$message" run "$name"
done <<<"$refused$refused_everywhere"
while read -r name _; do
    [ -n "$name" ] || continue
    LAYOUT='' expect 0 "$name: one rank" "" "" run "$name"
done <<<"$refused"
count=0
for script in "$examples"/*/*.sh; do
    name=${script#"$examples/"}
    name=${name%.sh}
    count=$((count + 1))
    [ -z "${CS_SANITIZED:-}" ] || [ $((count % 5)) = 0 ] || continue # all of their ranks take minutes there
    [[ "$listed" == *" $name "* ]] || expect 0 "$name" "" "" run "$name"
done

# The numbers as they stand, on one rank: all flags are known and within their ranges. Nothing is run.
printf '#!/bin/bash\nexec "%s" "$@" --print-config\n' "$CSPEED" >"$TMP/flags_only"
chmod +x "$TMP/flags_only"
for script in "$examples"/*/*.sh; do
    name=${script#"$examples/"}
    name=${name%.sh}
    [[ " $(echo $refused_everywhere) " == *" $name "* ]] ||
        REHEARSE='' LAYOUT='' CSPEED=$TMP/flags_only expect 0 "$name: real flags" "" "" run "$name"
done

# config.json files: parameters as published
counts="
llama/llama-7b       6738415616
llama/llama-13b     13015864320
llama/llama-16b     16477467136
llama/llama-33b     32528943616
llama/llama-65b     65285660672
llama2/llama2-7b     6738415616
llama2/llama2-13b   13015864320
llama2/llama2-16b   16477467136
llama2/llama2-34b   33743970304
llama2/llama2-70b   68976648192
llama3/llama3-8b     8030261248
llama3/llama3.1-8b   8030261248
llama3/llama3.2-1b   1235814400
llama3/llama3-70b   70553706496
mistral/mistral-7b   7241732096
qwen2/qwen2-0.5b      494032768
qwen2/qwen2-1.5b     1543714304
qwen2/qwen2-7b       7615616512
baichuan/baichuan-7b   7000559616
baichuan/baichuan-13b 13264901120
intern/internlm-7b   7321948160
aquila/aquila-7b     7295537152
bloom/bloom-560m      559214592
bloom/bloom-1b1      1065314304
bloom/bloom-1b7      1722408960
bloom/bloom-3b       3002557440
bloom/bloom-7b1      7069016064
bloom/bloom-176b   176247271424
"
for config in "$examples"/*/*.json; do
    name=${config#"$examples/"}
    name=${name%.json}
    n=$(awk -v name="$name" '$1 == name { print $2 }' <<<"$counts")
    expect 0 "$name: ${n:-no count listed} parameters" "^parameters: ${n:-none}\$" "" "$CSPEED" inspect "$config"
done

# flags of those scripts that say what a model is made of
one_step() { # one_step MODEL FLAGS...
    "$CSPEED" train --model-config "$REHEARSE_DIR/$1.json" --data-path "$REHEARSE_DIR/text_text_document" --seq-length 32 --train-iters 1 --lr 1e-3 \
        --eval-iters 0 --log-interval 1 --threads 1 "${@:2}"
}
form="--embed-layernorm --position-embedding-type alibi --no-add-gate --add-bias-linear --no-untie-embeddings-and-output-weights"
expect 0 "BLOOM's flags on BLOOM" "" "iteration +1/" one_step bloom-560m-2 $form
expect 2 "BLOOM's flags on LLaMA" "" "--embed-layernorm: this llama model is of another form" one_step llama-7b-2 $form
result "each on its line" "$([ "$(grep -c 'error\[USAGE\]' "$TMP/stderr")" = 5 ] || cat "$TMP/stderr")"
expect 2 "rotary positions on BLOOM" "" "--position-embedding-type rope: this bloom model" one_step bloom-560m-2 --position-embedding-type rope
expect 0 "--init-method-std beside a config: even odds of 512 tokens" "" "lm loss: 6.2383" one_step llama-7b-2 --init-method-std 1e-6
finish
