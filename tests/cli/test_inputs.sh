#!/bin/bash
# Where records come from: patterns, folders as a hub of data sets hands them out, and the files of --hf-datasets-params. CSPEED names the program.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$TMP" || exit 1
prep() { "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok512.bin" --output-prefix out --quiet "$@"; }
# documents N NAME FLAGS...: so many documents come out
documents() {
    local n=$1 name=$2
    shift 2
    rm -f out_*
    expect 0 "$name" "" "" prep "$@"
    result "$name: $n documents" "$(got=$("$CSPEED" inspect out_text_document.idx | sed -n 's/^documents: //p'); [ "$got" = "$n" ] || echo "$got")"
}
records() { for i in $(seq "$1" "$2"); do echo "{\"text\": \"record number $i\"}"; done; }
same_as() { cmp -s out_text_document.bin "$1" || echo "other tokens than $1"; }
tokens_of() { records "$1" "$2" >want.jsonl && "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok512.bin" --output-prefix want --quiet --input want.jsonl && echo want_text_document.bin; }

# --- patterns
mkdir -p many/deep/er many/.hidden
records 1 3 >many/a.jsonl
records 4 9 >many/b.jsonl
records 10 12 >many/deep/er/c.jsonl
records 1 50 >many/.hidden/d.jsonl
echo "a line" >many/e.txt
documents 9 "a pattern" --input 'many/*.jsonl'
result "in order" "$(same_as "$(tokens_of 1 9)")"
documents 12 "folders of any depth" --input 'many/**/*.jsonl'
documents 3 "one character, a set" --input 'many/[ac].json?'
expect 4 "a pattern without a file" "" "many/\*\.csv: no file matches" prep --input 'many/*.csv'
cp many/a.jsonl 'many/[x]*.jsonl'
documents 3 "a file whose name looks like a pattern" --input 'many/[x]*.jsonl'

# --- a folder as it is downloaded
mkdir -p set/data
records 1 3 >set/data/train-00000-of-00002-1234abcd.jsonl
records 4 6 >set/data/train-00001-of-00002-1234abcd.jsonl
records 7 8 >set/data/test-00000-of-00001.jsonl
echo '{"description": "", "features": {"text": {"dtype": "string"}}, "splits": {}}' >set/dataset_info.json
printf -- '---\nlicense: mit\n---\n# A set\n' >set/README.md
documents 6 "the training split of a folder" --input set
result "in order" "$(same_as "$(tokens_of 1 6)")"
params() { printf '%s' "$1" >params.json; }
for row in '6 {"path": "set"}' '6 {"path": "set", "split": "train", "streaming": true}' '2 {"path": "set", "split": "test"}' \
    '8 {"path": "set", "split": "train+test"}' '2 {"path": "set", "split": "train[:2]"}' '2 {"path": "set", "split": "train[-2:]"}' \
    '3 {"path": "set", "split": "train[50%:]"}' '4 {"path": "set", "split": "train[1:4]+test[:1]"}' \
    '3 {"path": "json", "data_files": "set/data/train-00000*"}' '5 {"path": "json", "data_files": ["many/a.jsonl", "set/data/test-00000-of-00001.jsonl"]}' \
    '6 {"path": "json", "data_files": {"train": "many/a.jsonl", "test": "many/b.jsonl"}, "split": "test"}' '3 {"path": "many/a.jsonl"}' \
    '2 {"path": "json", "data_dir": "set/data", "split": "test"}' '1 {"path": "text", "data_files": "many/e.txt"}'; do
    params "${row#* }"
    documents "${row%% *}" "parameters ${row#* }" --hf-datasets-params params.json
done
params '{"path": "set", "split": "train[1:4]+test[:1]"}'
documents 4 "a part of one and of another split" --hf-datasets-params params.json
result "the right ones" "$({ records 2 4 && records 7 7; } >mixed.jsonl; "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok512.bin" \
    --output-prefix want --quiet --input mixed.jsonl; same_as want_text_document.bin)"
for w in 1 3; do
    documents 4 "with $w workers" --hf-datasets-params params.json --workers $w
    result "with $w workers: the same bytes" "$(same_as want_text_document.bin)"
done

# --- configurations in README.md
mkdir -p cards/en cards/fr
records 1 2 >cards/en/train.jsonl
records 3 3 >cards/en/test.jsonl
records 4 9 >cards/fr/train.jsonl
cat >cards/README.md <<'Y'
---
language:
- en
configs:
- config_name: en
  data_files:
  - split: train
    path: "en/train.jsonl"
  - split: test
    path: en/test.jsonl
- config_name: fr
  data_files: fr/*.jsonl
---
text
Y
params '{"path": "cards", "name": "fr"}'
documents 6 "a configuration" --hf-datasets-params params.json
params '{"path": "cards", "name": "en", "split": "test"}'
documents 1 "and a split of one" --hf-datasets-params params.json
params '{"path": "cards"}'
expect 3 "several configurations" "" "several configurations, en fr; choose one" prep --hf-datasets-params params.json
params '{"path": "cards", "name": "de"}'
expect 3 "none of that name" "" 'no configuration "de"; README.md has en fr' prep --hf-datasets-params params.json

# --- slips that are read, and mistakes that are not
printf '{"path": "set",\n "streaming: True,\n "split": "test"}\n' >params.json
documents 2 "a key without its closing quote, True" --hf-datasets-params params.json
result "both are named" "$(grep -q 'params.json:2:12.*streaming' stderr && grep -q 'params.json:2:14.*True' stderr || cat stderr)"
while IFS='|' read -r code words json; do
    params "$json"
    expect "$code" "refused: $json" "" "$words" prep --hf-datasets-params params.json
done <<'F'
4|tatsu-lab/alpaca: no such file or folder on this machine; nothing is downloaded|{"path": "tatsu-lab/alpaca"}
3|"path" is missing|{"split": "train"}
3|expected files of the split validation, found test train|{"path": "set", "split": "dev"}
3|split "train\[1": expected ':'|{"path": "set", "split": "train[1"}
3|"batch": is not read|{"path": "set", "batch": 3}
3|say in "data_files" which ones|{"path": "json"}
4|nothing.jsonl: no such file|{"path": "json", "data_files": "nothing.jsonl"}
3|params.json:1:10|{"path": nonsense}
F
expect 4 "no such file of parameters" "" "absent.json" prep --hf-datasets-params absent.json
touch load.py
params '{"path": "json", "data_files": "load.py"}'
expect 3 "a script" "" "runs no code" prep --hf-datasets-params params.json

# --- a set of Hugging Face goes through a handler that looks for dataset_info.json beside its input
mkdir -p tuned
echo '{"instruction": "Add", "input": "1 1", "output": "2"}' >tuned/train.jsonl
echo '{"description": "", "features": {}, "splits": {}}' >tuned/dataset_info.json
expect 0 "alpaca beside a dataset_info.json of Hugging Face" "" "" prep --input tuned/train.jsonl --handler-name alpaca
finish
