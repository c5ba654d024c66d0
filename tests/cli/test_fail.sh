#!/bin/bash
# Failures on purpose through the real program, a sample of what tests/fail does in one process: results that cannot be written, threads and
# processes that cannot be started, every command once with an allocation and a file call that fails. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
export OMP_WAIT_POLICY=passive
cd "$TMP" || exit 1
cp "$data/tok512.bin" tok.bin
printf 'Once upon a time there was a dog.\n\nIt ran and ran all day long until the night came, and then it slept.\n' >a.txt
echo '{"context": "once", "continuation": " upon"}' >pairs
cat >tiny.json <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 16, "intermediate_size": 24,
 "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32, "rms_norm_eps": 1e-5}
J
expect 0 "data" "" "" "$CSPEED" preprocess --quiet --input a.txt --output-prefix d --tokenizer-name-or-path tok.bin --append-eod
train="train --quiet --model-config tiny.json --data-path d_text_document --seq-length 8 --micro-batch-size 1 --global-batch-size 2 --lr 1e-3
    --lr-decay-iters 8 --eval-iters 0 --log-interval 1 --threads 1 --gemm own --train-iters 1"
expect 0 "a run" "" "" "$CSPEED" $train --save run
expect 0 "a model" "" "" "$CSPEED" convert --quiet --input run --tokenizer tok.bin --output hf

# full DESCRIPTION COMMAND...: stdout on a full disk; one line, exit code 4
full() {
    local code problem="" name=$1
    shift
    "$CSPEED" "$@" <pairs >/dev/full 2>err
    code=$?
    [ $code = 4 ] && [ "$(grep -c 'error\[IO\]: stdout: cannot write' err)" = 1 ] && [ "$(wc -l <err)" = 1 ] || problem="exit code $code; $(head -c 300 err)"
    result "full disk: $name" "$problem"
}
if [ -w /dev/full ]; then
    full tokenize tokenize --tokenizer tok.bin
    full "tokenize --pieces" tokenize --tokenizer tok.bin --pieces
    full generate generate --quiet --load hf --prompt once --max-new-tokens 1
    full "generate --stream" generate --quiet --load hf --prompt once --max-new-tokens 3 --stream
    full score score --quiet --load hf
    full inspect inspect hf
    full "inspect --json" inspect hf --json
    full verify verify run
    full plot plot run
    full version version
    full help help
    full convert convert --quiet --input hf --output hf2
    full "preprocess --json" preprocess --quiet --json --input a.txt --output-prefix e --tokenizer-name-or-path tok.bin
fi

# fails CODE NAME SPEC COMMAND...: exit code, one error line and nothing temporary
fails() {
    local want=$1 name=$2 spec=$3 code problem=""
    shift 3
    rm -rf out out.*
    FAIL=$spec "$CSPEED" "$@" <pairs >stdout 2>err
    code=$?
    [ $code = "$want" ] && [ "$(grep -c 'error\[' err)" = 1 ] || problem="exit code $code instead of $want; $(head -c 300 err)"
    [ -z "$(find . -name '*.tmp*')" ] || problem="$problem left: $(find . -name '*.tmp*' | head -n 2)"
    result "$name" "$problem"
}
n=0
for command in "preprocess --quiet --input a.txt --output-prefix out --tokenizer-name-or-path tok.bin" "convert --quiet --input hf --output out" "tokenize --tokenizer tok.bin" \
    "generate --quiet --load hf --prompt once --max-new-tokens 1" "score --quiet --load hf" "inspect hf" "verify run" "$train --save out" \
    "$train --save out --nproc 2"; do
    n=$((n + 1))
    fails 5 "no memory: ${command%% --*} $n" mem@$((n % 3 + 2)) $command
    fails 4 "no file: ${command%% --*} $n" io:eio:open@1+ $command
done
fails 5 "no first thread" io:eagain:thread@1 preprocess --quiet --input a.txt --output-prefix out --tokenizer-name-or-path tok.bin --workers 2
fails 5 "no thread for the writer" io:eagain:thread@3 preprocess --quiet --input a.txt --output-prefix out --tokenizer-name-or-path tok.bin --workers 2
FAIL=io:eagain:thread@2 expect 0 "fewer threads than asked for" "" "" "$CSPEED" preprocess --quiet --input a.txt --output-prefix out --tokenizer-name-or-path tok.bin --workers 2
result "the same data" "$(cmp d_text_document.bin <("$CSPEED" preprocess --quiet --input a.txt --output-prefix e --tokenizer-name-or-path tok.bin --append-eod && cat e_text_document.bin) 2>&1)"
fails 5 "no first rank" io:eagain:fork@1 $train --save "$TMP/out" --nproc 2
fails 5 "no second rank" io:eagain:fork@2 $train --save "$TMP/out" --nproc 2
result "no rank is left" "$(pgrep -f "train .*--save $TMP/out" | head -n 3)"
finish
