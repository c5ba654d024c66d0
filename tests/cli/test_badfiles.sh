#!/bin/bash
# Damaged files and odd paths on the command line: the right exit code, one line on stderr that names file and place, nothing written.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
tok=$data/tok512.bin
b=$TMP/bad
mkdir "$b"
export OMP_WAIT_POLICY=passive

# refuse CODE NAME PATTERN COMMAND...: one line "cspeed: error[...]: ..." with PATTERN (extended regular expression), and no
# file below $TMP/out but what a run notes about itself
refuse() {
    local want=$1 name=$2 pattern=$3 code problem="" kind left
    shift 3
    case $want in 2) kind=USAGE ;; 3) kind=FORMAT ;; 4) kind=IO ;; 8) kind=CHECKPOINT ;; esac
    timeout -s KILL 100 "$@" </dev/null >"$TMP/stdout" 2>"$TMP/stderr"
    code=$?
    [ "$code" = "$want" ] || problem="exit code $code instead of $want;"
    [ "$(wc -l <"$TMP/stderr")" = 1 ] || problem="$problem $(wc -l <"$TMP/stderr") lines on stderr;"
    grep -qaE "^cspeed: error\[$kind\]: " "$TMP/stderr" || problem="$problem not an error[$kind] line;"
    grep -qaE -e "$pattern" "$TMP/stderr" || problem="$problem lacks '$pattern';"
    left=$(find "$TMP"/out* ! -type d ! -name command.txt ! -name log.txt ! -name config.json ! -name env.json ! -name .lock ! -name metrics.jsonl ! -name "events.out*" 2>/dev/null)
    [ -z "$left" ] || problem="$problem left $left;"
    rm -rf "$TMP"/out*
    [ -z "$problem" ] || problem="$problem $(head -c 400 "$TMP/stderr")"
    result "$name" "$problem"
}
hex() { printf '%b' "$(printf '%s' "$1" | sed 's/../\\x&/g')"; }
le() { # le BYTES VALUE: little-endian
    local i v=$2
    for ((i = 0; i < $1; i++)); do
        printf '%b' "$(printf '\\x%02x' $((v & 255)))"
        v=$((v >> 8))
    done
}
st() { # st FILE HEADER DATA: a safetensors file
    { le 8 ${#2}; printf '%s' "$2" "$3"; } >"$b/$1"
}
patch() { # patch FILE OFFSET HEX
    hex "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
inspect() { refuse 3 "inspect: $1" "$2" "$CSPEED" inspect "$b/$3"; }
tokenize() { refuse 3 "tokenize: $1" "$2" "$CSPEED" tokenize --tokenizer-name-or-path "$b/$3"; }

# safetensors
st a.safetensors '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}' abc
inspect "safetensors with a byte too many" 'a.safetensors: byte 63: 1 bytes behind' a.safetensors
st a.safetensors '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}}' ab
inspect "shape that does not fit" 'byte 39: tensor "a": expected 3 bytes' a.safetensors
st a.safetensors '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}' abcd
inspect "a name twice" 'byte 61: expected every name once, found "a"' a.safetensors
st a.safetensors '{"a":{"dtype":"F2","shape":[2],"data_offsets":[0,2]}}' ab
inspect "unknown dtype" 'byte 22: .* found "F2"' a.safetensors
st a.safetensors '{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,2]}}' ab
inspect "a product that overflows" 'byte 28: .* overflows' a.safetensors
st a.safetensors '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,99]}}' ab
inspect "data past the end" 'byte 39: .* end 99 bytes .* only 2' a.safetensors
st a.safetensors "{\"a\":$(printf '[%.0s' {1..100})" ab
inspect "deep nesting" 'byte 76: expected at most 64 levels' a.safetensors
printf '\xff\xff\xff\xff\xff\xff\xff\xff{}' >"$b/a.safetensors"
inspect "header of 2^64 - 1 bytes" 'byte 0: .* found 18446744073709551615' a.safetensors
: >"$b/a.safetensors"
inspect "empty safetensors" 'a.safetensors: empty file' a.safetensors

# indices, arrays, JSON
cp "$data/megatron/demo_text_document.idx" "$b/x.idx" && cp "$data/megatron/demo_text_document.bin" "$b/x.bin"
patch "$b/x.idx" 9 02
inspect "idx version" 'x.idx: byte 9: expected version 1, found 2' x.idx
patch "$b/x.idx" 9 01
patch "$b/x.idx" 17 06
inspect "idx of floats" 'x.idx: byte 17: expected dtype' x.idx
patch "$b/x.idx" 17 08
patch "$b/x.idx" 18 ffffffffffffff7f
inspect "idx with 2^63 sequences" 'x.idx: byte 18: 9223372036854775807 sequences' x.idx
cp "$data/megatron/demo_text_document.idx" "$b/x.idx" && truncate -s 1000 "$b/x.bin"
inspect "bin cut off" 'x.idx: byte [0-9]+: sequence .* ends behind' x.idx
printf '\x93NUMPY\x01\x00\x10\x00{broken        \n' >"$b/a.npy"
inspect "npy header" 'a.npy: byte 11: expected an array header' a.npy
printf '\x93NUMPY\x07\x00\x10\x00' >"$b/a.npy"
inspect "npy version" 'a.npy: byte 6: expected version 1.0 or 2.0, found 7.0' a.npy
printf '{"a": 1,\n "b": [1, 2,]}' >"$b/a.json"
inspect "JSON with a comma too many" 'a.json:2:13: expected a JSON value, found' a.json
printf '{"a": 1, "a": 2}' >"$b/a.json"
inspect "JSON key twice" 'a.json:1:10: expected every key of an object once, found "a"' a.json
printf '{"a": NaN}' >"$b/a.json"
inspect "JSON NaN" 'a.json:1:7: .* found NaN' a.json
printf '{"a": 9223372036854775808}' >"$b/a.json"
inspect "JSON integer of 2^63" 'a.json:1:7: expected an integer' a.json
printf '{"a": "\xff"}' >"$b/a.json"
inspect "JSON that is not UTF-8" 'a.json:1:8: expected UTF-8, found byte 0xFF at offset 7' a.json
printf '{"a":%s' "$(head -c 1000000 /dev/zero | tr '\0' '[')" >"$b/a.json"
inspect "JSON of a million levels" 'a.json:1:69: expected at most 64 levels' a.json
printf '<!DOCTYPE html><html></html>' >"$b/page"
printf '\0\1\2\3' >"$b/noise"
inspect "bytes of no format" 'noise: not a file this program reads \(4 bytes, at byte 0: 00 01 02 03' noise

# tokenizers
tokenize "a web page" 'page: offset 0: expected wire type' page
: >"$b/t.model"
tokenize "empty file" 't.model: offset 0: expected 1 to' t.model
cp "$data/tok_tiny.model" "$b/t.model" && truncate -s -1 "$b/t.model"
tokenize "SentencePiece model cut off" 't.model: offset [0-9]+: field 3 has' t.model
cp "$data/tok_tiny.model" "$b/t.model" && patch "$b/t.model" 10 0000c07f
tokenize "score that is not a number" 't.model: offset 9: expected a finite score for piece 0, found nan' t.model
hex 0a050a017a18030a050a017a1803 >"$b/t.model"
tokenize "no unknown piece" 't.model: offset 14: expected an unknown piece' t.model
hex 0affffffffffffffffffff01 >"$b/t.model"
tokenize "varint of eleven bytes" 't.model: offset 1: expected a varint' t.model
printf '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1},}}' >"$b/tokenizer.json"
tokenize "tokenizer.json with a comma too many" 'tokenizer.json:1:53: expected a key' tokenizer.json
printf '{"model": 7}' >"$b/tokenizer.json"
tokenize "tokenizer.json without a model" 'tokenizer.json: ' tokenizer.json
{ le 4 512; le 4 0; le 4 9999; } >"$b/t.bin"
tokenize "llama2.c token that is too long" 't.bin: offset ' t.bin

# models: a folder of Hugging Face, damaged in one place at a time
"$CSPEED" convert --input "$data/stories260K.bin" --output "$TMP/hf" --tokenizer "$tok" >"$TMP/stdout" 2>&1
"$CSPEED" convert --input "$TMP/hf" --output "$TMP/shards" --max-shard-size 400KB >"$TMP/stdout" 2>&1
damage() { # damage CODE NAME PATTERN SCRIPT [FOLDER]: SCRIPT runs in a fresh copy of the folder
    rm -rf "$b/m" && cp -r "$TMP/${5:-hf}" "$b/m"
    (cd "$b/m" && eval "$4")
    refuse "$1" "convert: $2" "$3" "$CSPEED" convert --input "$b/m" --output "$TMP/out"
}
damage 3 "config.json cut off" 'm/config.json:[0-9]+:[0-9]+: expected' 'truncate -s 40 config.json'
damage 3 "config.json of another type" '"hidden_size" must be an integer' 'sed -i "s/\"hidden_size\": [0-9]*/\"hidden_size\": \"64\"/" config.json'
damage 3 "config.json with 10^15 layers" 'num_hidden_layers must be from 1 to 4096 .got 1000000000000000' \
    'sed -i "s/\"num_hidden_layers\": [0-9]*/\"num_hidden_layers\": 1000000000000000/" config.json'
damage 3 "config.json with 2^70 layers" 'config.json:[0-9]+:[0-9]+: expected an integer' \
    'sed -i "s/\"num_hidden_layers\": [0-9]*/\"num_hidden_layers\": 1180591620717411303424/" config.json'
damage 4 "config.json missing" 'config.json: cannot open' 'rm config.json'
damage 3 "weights cut off" 'm/model.safetensors: byte [0-9]+: .* only 100136 follow' 'truncate -s 105000 model.safetensors'
damage 3 "a tensor that is a call" 'pytorch_model.bin: tensor "model.embed_tokens.weight" would be made by calling posix.system, which is never done' \
    'rm model.safetensors && cp "$data/torch/call.pt" pytorch_model.bin'
damage 4 "shard missing" 'm/model-00002-of-.*: cannot open' 'rm model-00002-of-*' shards
damage 3 "shard outside of the folder" 'expected a plain file name .* found "../x.safetensors"' \
    'sed -i "0,/model-00001-of-0*[0-9].safetensors/s//..\/x.safetensors/" *.index.json' shards
damage 3 "shard named by a whole path" 'expected a plain file name .* found "/etc/passwd"' \
    'sed -i "0,/model-00001-of-0*[0-9].safetensors/s//\/etc\/passwd/" *.index.json' shards
damage 3 "tensor in another shard" 'index.json: tensor "[a-z0-9_.]+" should be in' \
    'sed -i "0,/model-00001-of/s//model-00002-of/" *.index.json' shards
damage 3 "tensor of the index in no shard" 'tensor "no.such" is not in' 'sed -i "s/\"weight_map\": {/&\"no.such\": \"$(basename model-00001-of-*)\",/" *.index.json' shards
damage 3 "total_size that is no number" 'expected a number >= 0 for "total_size"' 'sed -i "s/\"total_size\": [0-9]*/\"total_size\": \"many\"/" *.index.json' shards
damage 3 "shards swapped" 'should be in .* but is in|is not in' 'mv model-00001-of-* x; mv model-00002-of-* $(ls "$TMP/shards" | grep 00001); mv x $(ls "$TMP/shards" | grep 00002)' shards
rm -rf "$b/m" && cp -r "$TMP/shards" "$b/m" && sed -i 's/"total_size": [0-9]*/"total_size": 7/' "$b"/m/*.index.json
expect 0 "convert: a wrong total_size is said, not fatal" "" "\"total_size\" is 7, the shards hold 1040128 bytes" "$CSPEED" convert --input "$b/m" --output "$TMP/joined"
cp "$data/stories260K.bin" "$b/m.bin" && patch "$b/m.bin" 12 07000000
refuse 3 "convert: llama2.c model with 7 heads" 'm.bin: ' "$CSPEED" convert --input "$b/m.bin" --output "$TMP/out"
truncate -s 5 "$b/m.bin"
refuse 3 "convert: five bytes" 'm.bin: ' "$CSPEED" convert --input "$b/m.bin" --output "$TMP/out"

# training: data, configuration, checkpoint
cat >"$TMP/tiny.json" <<'J'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 16, "intermediate_size": 24,
 "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
J
"$CSPEED" preprocess --input "$data/ref_prompt.txt" --output-prefix "$TMP/t" --tokenizer-name-or-path "$tok" --append-eod --quiet
train() { # train FLAGS...
    local flags=(--split 1,0,0 --train-iters 1 --seq-length 16 --micro-batch-size 1 --global-batch-size 1 --threads 1)
    [[ " $* " == *" --model-config "* ]] || flags+=(--model-config "$TMP/tiny.json")
    [[ " $* " == *" --data-path "* ]] || flags+=(--data-path "$TMP/t_text_document")
    "$CSPEED" train "${flags[@]}" "$@"
}
export -f train
export CSPEED TMP
in_bash() { bash -c 'train "$@"' train "$@"; }
expect 0 "train: the good run" "" "" in_bash --save "$TMP/run" --save-interval 1
train_bad() { # train_bad CODE NAME PATTERN FLAGS...
    local code=$1 name=$2 pattern=$3
    shift 3
    refuse "$code" "train: $name" "$pattern" bash -c 'train "$@"' train --quiet --save "$TMP/out" "$@"
}
data_bad() { # data_bad CODE NAME PATTERN SCRIPT
    cp "$TMP/t_text_document.idx" "$b/d.idx" && cp "$TMP/t_text_document.bin" "$b/d.bin"
    (cd "$b" && eval "$4")
    train_bad "$1" "$2" "$3" --data-path "$b/d"
}
data_bad 3 "index without its magic" 'd.idx: byte 0: expected the MMIDIDX magic' 'patch d.idx 0 00'
data_bad 3 "index cut off" 'd.idx: byte ' 'truncate -s -1 d.idx'
data_bad 3 "data cut off" 'd.idx: byte [0-9]+: sequence 0 .* ends behind' 'truncate -s -1 d.bin'
data_bad 4 "data missing" 'd.bin: cannot open' 'rm d.bin'
data_bad 4 "index is a folder" 'd.idx: is a directory' 'rm d.idx; mkdir d.idx'
rm -rf "$b/d.idx"
data_bad 3 "token id beyond the vocabulary" 'd.bin: token [0-9]+ of sequence 0 is 65535, the vocabulary ends at 511' \
    'head -c "$(stat -c %s d.bin)" /dev/zero | tr "\0" "\377" >d.bin2; mv d.bin2 d.bin'
printf '{"hidden_size": 16,}' >"$b/c.json"
train_bad 3 "model configuration" 'c.json:1:20: expected a key' --model-config "$b/c.json"
ckpt=$(cd "$TMP/run" && echo "$TMP"/run/iter_*)
spoil() { # spoil NAME PATTERN SCRIPT: a damaged checkpoint ends with 8
    rm -rf "$b/k" && cp -r "$ckpt" "$b/k"
    (cd "$b/k" && eval "$3")
    train_bad 8 "$1" "$2" --load "$b/k"
}
spoil "manifest cut off" 'k/MANIFEST: does not end with its own hash' 'truncate -s -9 MANIFEST'
spoil "manifest with a letter changed" 'k/MANIFEST: damaged: bytes 0 to' 'patch MANIFEST 3 58'
spoil "weights with a byte changed" 'k/model.safetensors: its hash is not .* tensor' 'patch model.safetensors 3000 aa55aa'
spoil "optimizer cut off" 'k/trainer/optimizer.safetensors: .* bytes, the manifest says' 'truncate -s -5 trainer/optimizer.safetensors'
spoil "state missing" 'k/trainer/state.json: missing' 'rm trainer/state.json'
spoil "shard of nobody" 'k/\./x.safetensors: not in the manifest' 'cp model.safetensors x.safetensors'

# texts
printf '{"text": "a"}\n{"text": "b"\n' >"$b/a.jsonl"
prep() { # prep CODE NAME PATTERN INPUT
    refuse "$1" "preprocess: $2" "$3" "$CSPEED" preprocess --quiet --input "$4" --output-prefix "$TMP/out/p" --tokenizer-name-or-path "$tok"
}
prep 3 "a line of JSON that is cut off" 'a.jsonl:2:13: expected .,. or .}., found the end' "$b/a.jsonl"
printf '{"text": ["a"]}\n' >"$b/a.jsonl"
prep 3 "text that is no string" 'a.jsonl:1' "$b/a.jsonl"
printf '{"text": %s' "$(head -c 100000 /dev/zero | tr '\0' '[')" >"$b/a.jsonl"
prep 3 "a line of deep JSON" 'a.jsonl:1:73: expected at most 64 levels' "$b/a.jsonl"
gzip -c "$data/ref_prompt.txt" | head -c 200 >"$b/a.txt.gz"
prep 3 "gzip cut off" 'a.txt.gz' "$b/a.txt.gz"
head -c 30 "$data/preprocess/small.jsonl.zst" >"$b/a.jsonl.zst"
prep 3 "zstd cut off" 'a.jsonl.zst' "$b/a.jsonl.zst"

# Paths that are no files. Every command, every kind: exit 4, one line, at once.
mkfifo "$b/fifo"
mkdir "$b/folder"
ln -s loop2 "$b/loop1" && ln -s loop1 "$b/loop2"
ln -s nowhere "$b/dangling"
long=$(head -c 5000 /dev/zero | tr '\0' x)
name=$(head -c 300 /dev/zero | tr '\0' y)
everywhere() { # everywhere CODES NAME PATTERN PATH: CODES of inspect, tokenize, convert, preprocess and train, in this order
    local c=($1) out=$TMP/out
    refuse "${c[0]}" "inspect $2" "$3" "$CSPEED" inspect "$4"
    refuse "${c[1]}" "tokenize with $2" "$3" "$CSPEED" tokenize --tokenizer-name-or-path "$4"
    refuse "${c[2]}" "convert $2" "$3" "$CSPEED" convert --input "$4" --output "$out"
    refuse "${c[3]}" "preprocess $2" "$3" "$CSPEED" preprocess --quiet --input "$4" --output-prefix "$out/p" --tokenizer-name-or-path "$tok"
    refuse 4 "preprocess with the tokenizer $2" "$3" \
        "$CSPEED" preprocess --quiet --input "$data/ref_prompt.txt" --output-prefix "$out/p" --tokenizer-name-or-path "$4"
    refuse 4 "train --load $2" "$3" bash -c 'train "$@"' train --quiet --save "$out" --load "$4"
    refuse 4 "train --model-config $2" "$3" bash -c 'train "$@"' train --quiet --save "$out" --model-config "$4"
}
everywhere "4 4 4 4" "a FIFO" 'fifo: is ' "$b/fifo"
everywhere "4 4 4 4" "a device" '/dev/zero: is ' /dev/zero
everywhere "4 4 4 4" "a symlink loop" 'loop1: ' "$b/loop1"
# A thing that cannot be looked at is not an absent thing.
loop='Too many levels of symbolic links'
unseen() { # unseen NAME FILE COMMAND...: $b/u is the good run; FILE in it is replaced by a symlink to itself
    local name=$1 file=$2
    shift 2
    rm -rf "$b/u" && cp -r "$TMP/run" "$b/u" && rm -rf "$b/u/$file" && ln -s "${file##*/}" "$b/u/$file"
    refuse 4 "$name" "${file##*/}[^ ]*: cannot .*: $loop" "$@"
}
iter=$(basename "$ckpt")
unseen "train: a tracker that cannot be read" latest_checkpointed_iteration.txt bash -c 'train "$@"' train --quiet --save "$TMP/out" --load "$b/u"
unseen "train: trainer/ that cannot be read" "$iter/trainer" bash -c 'train "$@"' train --quiet --save "$TMP/out" --load "$b/u/$iter"
unseen "verify: a MANIFEST that cannot be read" "$iter/MANIFEST" "$CSPEED" verify "$b/u/$iter"
unseen "verify: a shard that cannot be read" "$iter/model.safetensors" "$CSPEED" verify "$b/u/$iter"
unseen "convert: generation_config.json that cannot be read" "$iter/generation_config.json" "$CSPEED" convert --input "$b/u/$iter" --output "$TMP/out"
unseen "preprocess: an index that cannot be looked at" p_text_document.idx "$CSPEED" preprocess --quiet --input "$data/ref_prompt.txt" --output-prefix "$b/u/p" \
    --tokenizer-name-or-path "$tok"
refuse 4 "train: a run folder that cannot be read" "loop1: cannot .*: $loop" bash -c 'train "$@"' train --quiet --save "$b/loop1"
refuse 4 "convert: an output that cannot be looked at" "loop1: cannot .*: $loop" "$CSPEED" convert --input "$TMP/hf" --output "$b/loop1"
everywhere "4 4 4 4" "a dangling symlink" 'dangling: ' "$b/dangling"
everywhere "4 4 4 4" "a path of 5000 bytes" 'xxx' "$long"
everywhere "4 4 4 4" "a name of 300 bytes" 'File name too long|no such file|path too long' "$b/$name"
everywhere "4 4 4 4" "a name with a newline" 'no\?such' "$b/no
such"
everywhere "4 4 4 4" "a path below a file" 'page/x' "$b/page/x"
everywhere "3 4 4 3" "an empty folder" 'folder: ' "$b/folder"
train_bad 4 "data from a FIFO" 'fifo.idx: is a pipe' --data-path "$(mkfifo "$b/fifo.idx" && echo "$b/fifo")"
train_bad 4 "data from a symlink loop" 'loop3.idx: cannot open' --data-path "$(ln -s loop3.idx "$b/loop3.idx" && echo "$b/loop3")"
if [ "$(id -u)" != 0 ]; then
    cp "$tok" "$b/secret" && chmod 0 "$b/secret"
    everywhere "4 4 4 4" "a file that may not be read" 'secret: ' "$b/secret"
fi

# Blanks and bytes that are not UTF-8 in names are names like others.
odd=$TMP/"$(printf 'a b\tc \xff\xfe')"
mkdir "$odd" && cp -r "$TMP/hf" "$odd/m d" && cp "$tok" "$odd/t k.bin" && cp "$data/ref_prompt.txt" "$odd/t x.txt"
expect 0 "inspect odd names" "" "" "$CSPEED" inspect "$odd/m d"
expect 0 "inspect --json odd names" "" "" "$CSPEED" inspect --json "$odd/m d"
expect 0 "tokenize with odd names" "" "" "$CSPEED" tokenize --tokenizer-name-or-path "$odd/t k.bin" </dev/null
expect 0 "convert odd names" "" "" "$CSPEED" convert --input "$odd/m d" --output "$odd/o t"
expect 0 "preprocess odd names" "" "" "$CSPEED" preprocess --quiet --input "$odd/t x.txt" --output-prefix "$odd/p p" --tokenizer-name-or-path "$odd/t k.bin"
expect 0 "train with odd names" "" "" in_bash --quiet --data-path "$odd/p p_text_document" --save "$odd/r n"
finish
