# What the example scripts share; sourced, not run. A script says, in this order,
#     layout RANKS FLAGS...    how many ranks, and the flags that spread the model over them
#     model FOLDER/FILE.json   the config.json with the model's sizes, beside the scripts
#     path NAME DEFAULT        a path; the environment wins
# and ends with train, generate or convert and the flags of that command.
#
# From the environment:
#     CSPEED=PROGRAM           default: build/cspeed of this checkout, else the one in PATH
#     LAUNCH="mpirun -n 32"    starts the ranks, over several machines too; without it the program forks them (--nproc)
#     LAYOUT="--nproc 2 ..."   replaces the script's layout; LAYOUT= means one rank
#     REHEARSE=1               runs the script small: same flags, same layout, tiny sizes, data made from data/shakespeare.txt
#     REHEARSE_DIR=DIR         keeps what a rehearsal makes (default: a temporary folder)
set -eu
shopt -s inherit_errexit
EXAMPLES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NAME=$(basename "$0" .sh)
REHEARSE=${REHEARSE:-}
CSPEED=${CSPEED:-$(if [ -x "$EXAMPLES/../build/cspeed" ]; then echo "$EXAMPLES/../build/cspeed"; else echo cspeed; fi)}
if [ -n "$REHEARSE" ] && [ -z "${REHEARSE_DIR:-}" ]; then
    REHEARSE_DIR=$(mktemp -d)
    trap 'rm -rf "$REHEARSE_DIR"' EXIT
fi
DS_CONFIG=${DS_CONFIG:-${REHEARSE:+$REHEARSE_DIR/}deepspeed_$NAME.json} # written by train where --deepspeed-config names it

# value_of FLAG DEFAULT ARGUMENTS...: the word behind FLAG
value_of() {
    local flag=$1 found=$2
    shift 2
    while [ $# -gt 1 ]; do
        [ "$1" != "$flag" ] || found=$2
        shift
    done
    echo "$found"
}

least() { echo $(($1 < $2 ? $1 : $2)); }

layout() {
    RANKS=$1
    shift
    layout_flags=("$@")
    if [ -n "${LAYOUT+given}" ]; then
        read -ra layout_flags <<<"$LAYOUT"
        RANKS=$(value_of --nproc 1 "${layout_flags[@]}")
    elif [ "$RANKS" -gt 1 ] && [ -z "${LAUNCH:-}" ]; then
        layout_flags+=(--nproc "$RANKS")
    fi
    TP=$(value_of --tensor-model-parallel-size 1 "${layout_flags[@]}")
    PP=$(value_of --pipeline-model-parallel-size 1 "${layout_flags[@]}")
}

model() {
    MODEL=$EXAMPLES/$1
    [ -z "$REHEARSE" ] || small_model
}

path() {
    local default=$2
    [ -z "$REHEARSE" ] || default=$(rehearsal_path "$1")
    printf -v "$1" %s "${!1:-$default}"
}

train() {
    local args=(--model-config "$MODEL" "$@" "${layout_flags[@]}")
    if [ -n "$REHEARSE" ]; then
        shrink "${args[@]}"
        args=("${small[@]}" --threads 1)
    fi
    deepspeed_config "${args[@]}"
    ${LAUNCH:-} "$CSPEED" train "${args[@]}"
}

generate() {
    local args=("$@" "${layout_flags[@]}")
    if [ -n "$REHEARSE" ]; then
        shrink "${args[@]}"
        args=("${small[@]}")
    fi
    ${LAUNCH:-} "$CSPEED" generate "${args[@]}"
}

convert() {
    local args=("$@" "${layout_flags[@]}")
    if [ -n "$REHEARSE" ]; then
        shrink "${args[@]}"
        args=("${small[@]}")
    fi
    "$CSPEED" convert "${args[@]}"
}

# Writes the file that --deepspeed-config names, with the numbers of the other flags.
deepspeed_config() {
    local file type='"bf16": {"enabled": true}' micro global
    file=$(value_of --deepspeed-config "" "$@")
    [ -n "$file" ] || return 0
    micro=$(value_of --micro-batch-size 1 "$@")
    global=$(value_of --global-batch-size 1 "$@")
    if [[ " $* " == *" --fp16 "* ]]; then
        local scale power=0
        for ((scale = $(value_of --initial-loss-scale 65536 "$@"); scale > 1; scale /= 2)); do power=$((power + 1)); done
        type="\"fp16\": {\"enabled\": true, \"loss_scale\": 0, \"initial_scale_power\": $power, \"hysteresis\": 2"
        type+=", \"loss_scale_window\": $(value_of --loss-scale-window 1000 "$@")}"
    fi
    cat >"$file" <<JSON
{
  $type,
  "zero_optimization": {"stage": $(value_of --zero-stage 0 "$@"), "reduce_bucket_size": 1e8, "allgather_bucket_size": 1e8},
  "train_batch_size": $global,
  "train_micro_batch_size_per_gpu": $micro,
  "gradient_accumulation_steps": $((global / micro / (RANKS / TP / PP))),
  "gradient_clipping": $(value_of --clip-grad 1.0 "$@")
}
JSON
}

# The rest is for rehearsals.

# A model of the same family and form in $MODEL: 2 layers a stage, 16 or 24 heads of width 8, so that 8 tensor ranks can share them.
small_model() {
    local n_heads heads=16 groups=8 file layers=$((2 * PP))
    n_heads=$(sed -nE 's/.*"(num_attention_heads|n_head)": ([0-9]+).*/\2/p' "$MODEL")
    ((n_heads & (n_heads - 1))) && heads=24
    ! grep -q "\"num_key_value_heads\": $n_heads," "$MODEL" || groups=$heads
    [ -z "$(value_of --manual-layers "" "${layout_flags[@]}")$(value_of --partition-layers "" "${layout_flags[@]}")" ] || layers=$PP
    file=$REHEARSE_DIR/$(basename "$MODEL" .json)-$layers.json
    mkdir -p "$REHEARSE_DIR"
    sed -E -e "s/(\"(num_hidden_layers|n_layer)\": )[0-9]+/\1$layers/" -e "s/(\"(num_attention_heads|n_head)\": )[0-9]+/\1$heads/" \
        -e "s/(\"num_key_value_heads\": )[0-9]+/\1$groups/" -e "s/(\"hidden_size\": )[0-9]+/\1$((heads * 8))/" -e 's/("head_dim": )[0-9]+/\18/' \
        -e "s/(\"intermediate_size\": )[0-9]+/\1$((heads * 16))/" -e 's/("vocab_size": )[0-9]+/\1512/' \
        -e 's/("(max_position_embeddings|model_max_length|seq_length)": )[0-9]+/\164/' \
        -e 's/("(original_max_position_embeddings|sliding_window)": )[0-9]+/\116/' -e 's/("(bos|eos)_token_id": )[0-9]{3,}/\12/' "$MODEL" >"$file"
    MODEL=$file
}

rehearsal_path() {
    case $1 in
    DATA_PATH) text_data ;;
    INSTRUCTION_PATH) instruction_data ;;
    TOKENIZER_PATH) echo "$EXAMPLES/../tests/data/tok512.bin" ;;
    CHECKPOINT) base_model ;;
    *) rm -rf "$REHEARSE_DIR/$NAME-$1" && echo "$REHEARSE_DIR/$NAME-$1" ;;
    esac
}

# First lines of the text as idx/bin files.
text_data() {
    local prefix=$REHEARSE_DIR/text
    if [ ! -e "${prefix}_text_document.idx" ]; then
        head -c 60000 "$EXAMPLES/data/shakespeare.txt" >"$REHEARSE_DIR/text.txt"
        "$CSPEED" preprocess --quiet --input "$REHEARSE_DIR/text.txt" --output-prefix "$prefix" --append-eod \
            --tokenizer-name-or-path "$(rehearsal_path TOKENIZER_PATH)" >&2
    fi
    echo "${prefix}_text_document"
}

# Lines of the text as instructions with their answers.
instruction_data() {
    local prefix=$REHEARSE_DIR/alpaca
    if [ ! -e "${prefix}_packed_input_ids_document.idx" ]; then
        sed -nE '/^$/d; s/["\\]//g; 400q; p' "$EXAMPLES/data/shakespeare.txt" | paste -d '\t' - - |
            sed -E 's/(.*)\t(.*)/{"instruction": "Go on.", "input": "\1", "output": "\2"}/' >"$REHEARSE_DIR/alpaca.jsonl"
        "$CSPEED" preprocess --quiet --input "$REHEARSE_DIR/alpaca.jsonl" --output-prefix "$prefix" --handler-name GeneralInstructionHandler \
            --tokenizer-name-or-path "$(rehearsal_path TOKENIZER_PATH)" --append-eod >&2
    fi
    echo "${prefix}_packed"
}

# Weights to start from: $MODEL after one step on one rank, as a Hugging Face folder.
base_model() {
    local dir
    dir=$REHEARSE_DIR/base-$(basename "$MODEL" .json)
    if [ ! -d "$dir" ]; then
        "$CSPEED" train --quiet --model-config "$MODEL" --data-path "$(text_data)" --seq-length 32 --train-iters 1 --lr 1e-3 --eval-iters 0 \
            --threads 1 --save "$dir-run" >&2
        "$CSPEED" convert --quiet --input "$dir-run" --output "$dir" --tokenizer "$(rehearsal_path TOKENIZER_PATH)" >&2
    fi
    echo "$dir"
}

# shrink ARGUMENTS...: into the array small, with a few steps of few and short samples. The micro-batches of a step become at most two a stage.
shrink() {
    local dp=$((RANKS / TP / PP)) micro global ones
    micro=$(least "$(value_of --micro-batch-size 1 "$@")" 2)
    global=$(value_of --global-batch-size 1 "$@")
    dp=$((dp > 0 ? dp : 1))
    global=$((micro * dp * $(least $((global / $(value_of --micro-batch-size 1 "$@") / dp)) $((2 * PP)))))
    [ "$(value_of --rampup-batch-size 0 "$@")" = 0 ] || global=$((micro * dp * 4))
    ones=$(printf ',1%.0s' $(seq "$PP"))
    small=()
    while [ $# -gt 0 ]; do
        case $1 in
        --seq-length | --max-position-embeddings) small+=("$1" 32) ;;
        --micro-batch-size) small+=("$1" "$micro") ;;
        --global-batch-size) small+=("$1" "$global") ;;
        --rampup-batch-size) small+=("$1" $((global / 2)) $((global / 4)) $((2 * global))) && shift 2 ;;
        --train-iters) small+=("$1" "$(least "$2" 4)") ;;
        --train-samples) small+=("$1" $((4 * global))) ;;
        --lr-decay-iters) small+=("$1" 6) ;;
        --lr-decay-samples) small+=("$1" $((3 * global))) ;;
        --lr-warmup-iters) small+=("$1" 1) ;;
        --lr-warmup-samples) small+=("$1" "$global") ;;
        --eval-interval) small+=("$1" 2) ;;
        --eval-iters) small+=("$1" "$(least "$2" 1)") ;;
        --log-interval | --checkpoint-block-layer) small+=("$1" 1) ;;
        --lora-r) small+=("$1" 4) ;;
        --max-new-tokens) small+=("$1" 8) ;;
        --manual-layers | --partition-layers) small+=("$1" "${ones#,}") ;;
        *) small+=("$1") && shift && continue ;;
        esac
        shift 2
    done
}
