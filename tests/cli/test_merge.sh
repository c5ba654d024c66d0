#!/bin/bash
# preprocess --merge: data sets behind one another, documents and samples, beyond 2^32 tokens, and what may not be merged.
. "$(dirname "$0")/../cli_lib.bash"
here=$(cd "$(dirname "$0")/.." && pwd)
in=$TMP/in
out=$TMP/out
mkdir -p "$in" "$out"
records=$here/golden/instruction/records.jsonl
pre() { "$CSPEED" preprocess --tokenizer-name-or-path "$here/data/tok_tiny.json" --quiet "$@"; }
merge() { "$CSPEED" preprocess --quiet "$@"; }
head -n 20 "$records" >"$in/a.jsonl"
sed -n 21,23p "$records" >"$in/b.jsonl"
tail -n +24 "$records" >"$in/c.jsonl"

for h in GeneralPretrainHandler MOSSInstructionHandler; do
    for p in a b c; do pre --input "$in/$p.jsonl" --output-prefix "$out/$p" --handler-name $h --append-eod; done
    pre --input "$records" --output-prefix "$out/all" --handler-name $h --append-eod
done
expect 0 "documents" '"documents": 50, "sequences": 50, "tokens": [0-9]+' "" merge --json --merge "$out/a_text_document" "$out/b_text_document" "$out/c_text_document" \
    --output-prefix "$out/m_text_document"
expect 0 "samples" '"documents": 50, "sequences": 139, "tokens": [0-9]+' "" merge --json --merge "$out/a" "$out/b" "$out/c" --output-prefix "$out/m"
for f in text packed_input_ids packed_attention_mask packed_labels; do
    result "$f: as made at once" "$(cmp "$out/all_${f}_document.bin" "$out/m_${f}_document.bin" 2>&1; cmp "$out/all_${f}_document.idx" "$out/m_${f}_document.idx" 2>&1)"
done
expect 0 "into one of the inputs" "" "" merge --merge "$out/a_text_document" "$out/b_text_document" --output-prefix "$out/a_text_document"
expect 0 "once more" "" "" merge --merge "$out/a_text_document" "$out/c_text_document" --output-prefix "$out/a_text_document"
result "into one of the inputs: as made at once" "$(cmp "$out/all_text_document.bin" "$out/a_text_document.bin" 2>&1; cmp "$out/all_text_document.idx" "$out/a_text_document.idx" 2>&1)"
result "nothing else is left" "$(ls "$out" | grep -vE '^(a|b|c|all|m)_(text|packed_(input_ids|attention_mask|labels))_document\.(bin|idx)$')"

# num BYTES VALUE: little-endian
num() {
    local v=$2 s="" i
    for ((i = 0; i < $1; i++)); do
        s="$s$(printf '\\x%02x' $((v & 255)))"
        v=$((v >> 8))
    done
    printf '%b' "$s"
}
# Three sequences of 2^31-1 tokens of 32 bits and a short one, in files with holes: the second data set begins behind 2^34 bytes.
big=2147483647
{
    printf 'MMIDIDX\0\0'
    num 8 1; num 1 4; num 8 4; num 8 3
    for n in $big $big $big 3; do num 4 $n; done
    for n in 0 1 2 3; do num 8 $((n * big * 4)); done
    for n in 0 1 4; do num 8 $n; done
} >"$in/big.idx"
truncate -s $((3 * big * 4 + 12)) "$in/big.bin"
printf 'abcd' | dd of="$in/big.bin" bs=1 seek=$((2 * big * 4 + 8)) conv=notrunc status=none
printf 'efgh' | dd of="$in/big.bin" bs=1 seek=$((3 * big * 4 + 8)) conv=notrunc status=none
if [ "$(du -k "$in/big.bin" | cut -f 1)" -lt 1000 ]; then
    expect 0 "beyond 2^32 tokens" '"documents": 4, "sequences": 8, "tokens": 12884901888\}' "" merge --json --merge "$in/big" "$in/big" --output-prefix "$out/big"
    result "size, and holes stay holes" "$([ "$(stat -c %s "$out/big.bin")" = $((6 * big * 4 + 24)) ] && [ "$(du -k "$out/big.bin" | cut -f 1)" -lt 8000 ] || ls -ls "$out/big.bin")"
    {
        printf 'MMIDIDX\0\0'
        num 8 1; num 1 4; num 8 8; num 8 5
        for n in $big $big $big 3 $big $big $big 3; do num 4 $n; done
        for n in 0 1 2 3; do num 8 $((n * big * 4)); done
        for n in 0 1 2 3; do num 8 $((n * big * 4 + 3 * big * 4 + 12)); done
        for n in 0 1 4 5 8; do num 8 $n; done
    } >"$TMP/want.idx"
    result "the index" "$(cmp "$TMP/want.idx" "$out/big.idx" 2>&1)"
    for at in $((2 * big * 4 + 8)) $((3 * big * 4 + 8)) $((5 * big * 4 + 20)) $((6 * big * 4 + 20)); do
        dd if="$out/big.bin" bs=1 skip=$at count=4 status=none
    done >"$TMP/words"
    result "the tokens" "$(printf abcdefghabcdefgh | cmp - "$TMP/words" 2>&1)"
    expect 0 "inspect" "12884901888" "" "$CSPEED" inspect "$out/big.idx"
fi

clean() { # clean NAME CODE PATTERN FLAGS...: one line, nothing written
    local name=$1 code=$2 pattern=$3
    shift 3
    rm -rf "$TMP/none"
    mkdir "$TMP/none"
    expect "$code" "$name" "" "$pattern" merge --output-prefix "$TMP/none/p" "$@"
    result "$name: one line, no file" "$([ "$(wc -l <"$TMP/stderr")" = 1 ] || cat "$TMP/stderr"; ls "$TMP/none")"
}
pre --input "$in/a.jsonl" --output-prefix "$in/short" --handler-name alpaca
pre --input "$in/b.jsonl" --output-prefix "$in/other" --handler-name alpaca
cp "$in/other_packed_labels_document.bin" "$in/short_packed_labels_document.bin"
cp "$in/other_packed_labels_document.idx" "$in/short_packed_labels_document.idx"
clean "missing data set" 4 "nothing: neither .*nothing.idx nor .*nothing_packed_input_ids_document.idx is there" --merge "$out/b_text_document" "$out/nothing"
clean "documents and samples" 2 "is a set of documents and .* is one of samples" --merge "$out/b_text_document" "$out/b"
clean "tokens of two widths" 3 "tokens are i32, those of the data set before are u16" --merge "$out/b_text_document" "$out/b_packed_labels_document"
clean "parts of different sets" 3 "short_packed_labels_document.idx: 3 samples, and .* has 20" --merge "$in/short"
rm "$in/short_packed_labels_document.idx"
clean "a part is missing" 4 "short_packed_labels_document" --merge "$in/short"
head -c 60 "$out/b_text_document.idx" >"$in/cut.idx"
cp "$out/b_text_document.bin" "$in/cut.bin"
clean "cut index" 3 "cut.idx: byte" --merge "$out/b_text_document" "$in/cut"
clean "other flags" 2 "handler-name: does not go with --merge" --merge "$out/b" --handler-name alpaca
expect 2 "no output" "" "output-prefix: missing" merge --merge "$out/b"

# whatever call fails: all or nothing
n=0 wrong=""
while n=$((n + 1)) && [ $n -lt 300 ]; do
    rm -rf "$TMP/fail" && mkdir "$TMP/fail"
    FAIL=io:enospc@$n merge --merge "$out/b" "$out/b" --output-prefix "$TMP/fail/p" 2>"$TMP/err"
    code=$?
    files=$(ls "$TMP/fail" | grep -vc '\.lock$')
    if [ $code = 0 ]; then
        [ "$files" = 6 ] || wrong="$wrong $n:$files"
        [ -s "$TMP/err" ] || break
    elif [ $code != 4 ] || [ "$files" != 0 ] || [ "$(wc -l <"$TMP/err")" != 1 ]; then
        wrong="$wrong $n:$code:$files:$(head -c 80 "$TMP/err")"
    fi
done
result "each system call fails once ($n): all or nothing" "$wrong"

finish
