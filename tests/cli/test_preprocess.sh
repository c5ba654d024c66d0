#!/bin/bash
# preprocess: every kind of input gives the same bytes, every mistake its exit code and one line, a killed run leaves no data set.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
tok=$data/tok512.bin
in=$TMP/in
out=$TMP/out
mkdir -p "$in" "$out"
pre() { "$CSPEED" preprocess --tokenizer-name-or-path "$tok" --quiet "$@"; }

# 3000 lines with quotes, empty lines, UTF-8 and carriage returns; the same as JSON lines and as one array
awk 'BEGIN {
    srand(7)
    n = split("once upon a time there was \"little\" girl named Lily déjà 你好 🙂 she \\ liked to play", w, " ")
    for (i = 1; i <= 3000; i++) {
        line = ""
        if (i % 17) for (j = 0; j < 3 + rand() * 40; j++) line = line (j ? " " : "") w[1 + int(rand() * n)]
        print line
    }
}' >"$in/a.txt"
sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/.*/{"id": 1, "text": "&", "title": "T"}/' "$in/a.txt" >"$in/a.jsonl"
{ printf ' [\n'; sed -e '$!s/$/,\n/' "$in/a.jsonl"; printf '\n]\n\n'; } >"$in/array.json"
sed 's/$/\r/' "$in/a.txt" >"$in/crlf.txt"
{ printf '\xef\xbb\xbf'; cat "$in/a.txt"; } >"$in/bom.txt"
gzip -c "$in/a.txt" >"$in/named_like_text.txt"
{ head -n 1000 "$in/a.txt" | gzip -c; tail -n +1001 "$in/a.txt" | gzip -c; } >"$in/members.txt.gz"
gzip -c "$in/a.jsonl" >"$in/a.jsonl.gz"
{ echo 'id,"text",title'; sed -e 's/"/""/g' -e 's/.*/1,"&",T/' "$in/a.txt"; } >"$in/a.csv"
{ printf '\xef\xbb\xbf'; sed -e 's/$/\r/' "$in/a.csv"; } | gzip -c >"$in/excel.csv.gz"
sed -e '1s/.*/id;text;title/' -e '2,$s/^1,\(.*\),T$/1;\1;T/' "$in/a.csv" >"$in/semicolon.csv"
{ printf 'title\ttext\n'; awk '{ gsub(/"/, "\"\""); print "T\t" ($0 ~ /"/ ? "\"" $0 "\"" : $0) }' "$in/a.txt"; } >"$in/a.tsv"
head -n 1200 "$in/a.txt" >"$in/part1.txt"
tail -n +1201 "$in/a.txt" >"$in/part2.txt"
mkdir "$in/folder"
cp "$in/part1.txt" "$in/folder/1.txt"
gzip -c "$in/part2.txt" >"$in/folder/2.txt.gz"
echo '{"text": "not this"}' >"$in/folder/0.json"

expect 0 "text" "" "" pre --input "$in/a.txt" --output-prefix "$out/ref" --append-eod
ls "$out" >"$TMP/names"
result "names of the outputs" "$(diff <(printf 'ref_text_document.bin\nref_text_document.idx\n') "$TMP/names")"

same() { # same NAME FLAGS...: equal to the reference
    local name=$1
    shift
    expect 0 "$name" "" "" pre --append-eod --output-prefix "$out/same" "$@"
    result "$name: same bytes" "$(cmp "$out/ref_text_document.bin" "$out/same_text_document.bin" 2>&1; cmp "$out/ref_text_document.idx" "$out/same_text_document.idx" 2>&1)"
    rm -f "$out"/same*
}
same "--workers 2" --input "$in/a.txt" --workers 2
same "--workers 4" --input "$in/a.txt" --workers 4
same "JSON lines" --input "$in/a.jsonl"
same "JSON array" --input "$in/array.json" --workers 3
same "JSON lines, gzip, 4 workers" --input "$in/a.jsonl.gz" --workers 4
same "gzip under a plain name" --input "$in/named_like_text.txt"
same "two gzip members" --input "$in/members.txt.gz"
same "CSV" --input "$in/a.csv"
same "CSV, mark, carriage returns, gzip, 3 workers" --input "$in/excel.csv.gz" --workers 3
same "CSV with semicolons" --input "$in/semicolon.csv"
same "TSV" --input "$in/a.tsv" --workers 2
same "carriage returns" --input "$in/crlf.txt"
same "byte order mark" --input "$in/bom.txt"
same "several files" --input "$in/part1.txt" "$in/part2.txt"
same "--input given twice" --input "$in/part1.txt" --input "$in/part2.txt"
same "folder: the commonest kind, sorted" --input "$in/folder"
expect 0 "new folder for the output" "" "" pre --input "$in/a.txt" --output-prefix "$out/new/folder/p"
expect 0 "stdin, text" "" "" bash -c '"$0" preprocess --quiet --tokenizer-name-or-path "$1" --append-eod --input - --output-prefix "$2" <"$3"' \
    "$CSPEED" "$tok" "$out/stdin" "$in/a.txt"
result "stdin, text: same bytes" "$(cmp "$out/ref_text_document.bin" "$out/stdin_text_document.bin" 2>&1)"
expect 0 "stdin, gzip of JSON lines" "" "" bash -c '"$0" preprocess --quiet --tokenizer-name-or-path "$1" --append-eod --input - --output-prefix "$2" <"$3"' \
    "$CSPEED" "$tok" "$out/stdin" "$in/a.jsonl.gz"
result "stdin, gzip of JSON lines: same bytes" "$(cmp "$out/ref_text_document.bin" "$out/stdin_text_document.bin" 2>&1)"
if command -v zstd >"$TMP/which"; then
    zstd -q "$in/a.txt" -o "$in/a.txt.zst"
    { head -n 10 "$in/a.jsonl" | zstd -q -c; tail -n +11 "$in/a.jsonl" | zstd -q -c; } >"$in/frames.jsonl.zst"
    same "zstd" --input "$in/a.txt.zst"
    same "two zstd frames" --input "$in/frames.jsonl.zst"
    head -c 2000 "$in/a.txt.zst" >"$in/cut.zst"
    expect 3 "cut zstd" "" "cut.zst: byte [0-9]+: .*end too early" pre --input "$in/cut.zst" --output-prefix "$out/x"
fi
printf '\x28\xb5\x2f\xfd\x00\x88\x19\x00\x00abc' >"$in/window.zst"
expect 3 "zstd window of 128 MiB in 12 bytes" "" "window.zst: byte 0: a zstd window of more than 32 MiB" pre --input "$in/window.zst" --output-prefix "$out/x"
expect 0 "committed zstd file" "" "" pre --input "$data/preprocess/small.jsonl.zst" --output-prefix "$out/small" --json-keys text title
result "two keys, two outputs" "$(ls "$out"/small_text_document.bin "$out"/small_title_document.idx 2>&1 >"$TMP/ls")"
expect 0 "summary as JSON" '"documents": 6, .*"skipped": 0' "" "$CSPEED" preprocess --json --tokenizer-name-or-path "$tok" --json-key text title \
    --input "$data/preprocess/small.jsonl.zst" --output-prefix "$out/small"

# fields with line breaks, quotes and commas; blank lines are no rows; an empty field is an empty text
printf 'text,n\r\n"two\nlines, ""quoted""",1\r\n\r\nplain,2\r\n,3\r\nNA,4' >"$in/fields.csv"
printf '{"text": "two\\nlines, \\"quoted\\""}\n{"text": "plain"}\n{"text": ""}\n{"text": "NA"}\n' >"$in/fields.jsonl"
expect 0 "fields of CSV" '"documents": 3, .*"empty": 1,' "" pre --json --input "$in/fields.csv" --output-prefix "$out/fields"
pre --input "$in/fields.jsonl" --output-prefix "$out/fields2"
result "fields of CSV: as in JSON" "$(cmp "$out/fields_text_document.bin" "$out/fields2_text_document.bin" 2>&1)"
expect 0 "stdin, CSV" '"documents": 3, ' "" bash -c '"$0" preprocess --quiet --json --tokenizer-name-or-path "$1" --input - --input-format csv --output-prefix "$2" <"$3"' \
    "$CSPEED" "$tok" "$out/stdin" "$in/fields.csv"

# Parquet, whatever its name: the columns asked for as in JSON lines; not from a pipe
pq=$data/../golden/parquet
cp "$pq/v2_zstd_dict_groups.parquet" "$in/rows.json"
expect 0 "Parquet" '"documents": 12, ' "" pre --json --input "$in/rows.json" --output-prefix "$out/pq" --json-keys answer question
pre --input "$pq/groups.jsonl" --output-prefix "$out/pq2" --json-keys answer question
result "Parquet: as in JSON" "$(for key in answer question; do cmp "$out/pq_${key}_document.bin" "$out/pq2_${key}_document.bin" 2>&1; done)"
expect 3 "Parquet, stdin" "" "stdin: is a Parquet file, which is read from its end" bash -c '"$0" preprocess --quiet --tokenizer-name-or-path "$1" --input - \
    --output-prefix "$2" <"$3"' "$CSPEED" "$tok" "$out/stdin" "$in/rows.json"

# the ids are those of `tokenize`, with EOS behind
printf 'Once upon a time\nthere was a girl\n' >"$in/two.txt"
expect 0 "two lines" "" "" pre --input "$in/two.txt" --output-prefix "$out/two" --append-eod
result "BOS, text, EOS as u16" "$(cmp <(od -An -v -tu2 -w2 "$out/two_text_document.bin" | sed -n '1p;$p' | tr -d ' ') <(printf '1\n2\n'))"
expect 0 "whole file" '"documents": 1,' "" pre --json --input "$in/a.txt" --output-prefix "$out/whole" --text-document file
printf 'ab\xff\xfe\xc3 cd\0ef\n' >"$in/bytes.txt"
expect 0 "bytes that are no UTF-8" '"documents": 1, "tokens": [0-9]{2}' "" pre --json --input "$in/bytes.txt" --output-prefix "$out/bytes"
expect 0 "--log-interval" "" "2[0-9]* documents, [0-9]+ documents/s" "$CSPEED" preprocess --tokenizer-name-or-path "$tok" --input "$in/a.txt" \
    --output-prefix "$out/log" --log-interval 500 --seq-length 64
result "--seq-length in the summary" "$(grep -q 'samples of 64 tokens' "$TMP/stderr" || cat "$TMP/stderr")"

# mistakes: exit code, one line, nothing written
clean() { # clean NAME CODE PATTERN FLAGS...
    local name=$1 code=$2 pattern=$3
    shift 3
    rm -rf "$TMP/none"
    mkdir "$TMP/none"
    expect "$code" "$name" "" "$pattern" pre --output-prefix "$TMP/none/p" "$@"
    result "$name: one line, no file" "$([ "$(wc -l <"$TMP/stderr")" = 1 ] || cat "$TMP/stderr"; ls "$TMP/none")"
}
sed '1500s/.*/{"text": "broken/' "$in/a.jsonl" >"$in/bad.jsonl"
sed '1500s/.*/{"body": "other"}/' "$in/a.jsonl" >"$in/nokey.jsonl"
sed '1500s/.*/{"text": 5}/' "$in/a.jsonl" >"$in/number.jsonl"
sed '1500s/.*/[1, 2]/' "$in/a.jsonl" >"$in/list.jsonl"
printf '[{"text": "a"},\n {"text": "b"},\n\n {"text": "c",}]' >"$in/bad.json"
printf '[{"text": "a"},\n {"text": "b"},\n' >"$in/open.json"
printf '[{"text": "a"}]\n\n{"text": "b"}\n' >"$in/behind.json"
printf '[]' >"$in/none.json"
printf '\n\n\n' >"$in/blank.txt"
: >"$in/empty.txt"
mkdir "$in/nodata" "$in/script"
echo x >"$in/nodata/readme"
echo 'raise' >"$in/script/script.py"
printf 'a,b\n1,2\n' >"$in/t.csv"
echo x >"$in/t.arrow"
printf 'text,b\n\n' >"$in/names.csv"
printf 'text,b,text\n1,2,3\n' >"$in/twice.csv"
printf 'text,b\n"1\n2",2\ndéj,à,2\n5,6\n' >"$in/many.csv"
printf 'text,b,c\n1,23\n' >"$in/few.csv"
printf 'text,b\n1,2\n3,"4\n5,6\n7,8\n' >"$in/open.csv"
printf 'text,b\n1,2\n"3"4,5\n' >"$in/behind.csv"
printf 'text,b\n1,\xff\n' >"$in/utf8.csv"
head -c 3000 "$in/members.txt.gz" >"$in/cut.txt.gz"
{ head -c 2000 "$in/members.txt.gz"; printf 'xxxxxxxx'; tail -c +2009 "$in/members.txt.gz"; } >"$in/flip.txt.gz"
for w in 1 4; do
    clean "bad JSON, $w workers" 3 "bad.jsonl:1500:" --input "$in/bad.jsonl" --workers $w
done
clean "key missing" 3 'nokey.jsonl:1500: .*lacks the key "text"' --input "$in/nokey.jsonl"
clean "no string" 3 'number.jsonl:1500: .*no string' --input "$in/number.jsonl"
clean "no object" 3 'list.jsonl:1500: .*no JSON object' --input "$in/list.jsonl"
clean "bad element" 3 "bad.json:4" --input "$in/bad.json"
clean "array not closed" 3 "open.json:[23]: .*inside the array" --input "$in/open.json"
clean "text behind the array" 3 "behind.json:3: text behind" --input "$in/behind.json"
clean "empty array" 3 "no documents" --input "$in/none.json"
clean "empty file" 3 "empty.txt:1:1: the file is empty" --input "$in/empty.txt"
clean "blank lines only" 3 "no documents .*3 empty" --input "$in/blank.txt"
clean "cut gzip" 3 "cut.txt.gz: byte [0-9]+: " --input "$in/cut.txt.gz"
clean "damaged gzip" 3 "flip.txt.gz: byte [0-9]+: " --input "$in/flip.txt.gz"
clean "missing input" 4 "missing.txt: no such file" --input "$in/missing.txt"
clean "folder without data" 3 "no data files" --input "$in/nodata"
clean "loading script" 3 "script" --input "$in/script"
clean "Arrow" 3 "arrow files are not read" --input "$in/t.arrow"
clean "CSV without the column" 3 't.csv:2: .*lacks the key "text"' --input "$in/t.csv"
clean "CSV, names only" 3 "no documents" --input "$in/names.csv"
clean "CSV, a name twice" 3 "twice.csv:1:8: .*another name" --input "$in/twice.csv"
clean "CSV, a field too many" 3 "many.csv:4:7: expected 2 fields as in the first row, found 3" --input "$in/many.csv"
clean "CSV, a field missing" 3 "few.csv:2:5: expected 3 fields as in the first row, found 2" --input "$in/few.csv"
clean "CSV, open quote" 3 "open.csv:3:3: .*found the end of the file" --input "$in/open.csv"
clean "CSV, text behind a quote" 3 "behind.csv:3:4: expected a delimiter" --input "$in/behind.csv"
clean "CSV, no UTF-8" 3 "utf8.csv:2:3: expected UTF-8, found byte 0xff" --input "$in/utf8.csv"
clean "CSV that is one document" 2 "text-document" --input "$in/t.csv" --input-format csv --text-document file
clean "text with another key" 2 'json-keys' --input "$in/a.txt" --json-keys content
clean "sentences" 2 "split-sentences" --input "$in/a.txt" --split-sentences
clean "handler for JSON on a text file" 2 "AlpacaPretrainHandler: .*a.txt is a text file" --input "$in/a.txt" --handler-name AlpacaPretrainHandler
clean "padding too small" 2 "pad-vocab-size-to 100" --input "$in/a.txt" --pad-vocab-size-to 100
clean "no workers" 2 "workers" --input "$in/a.txt" --workers 0
expect 2 "all usage errors in one pass" "" "input: missing" "$CSPEED" preprocess
result "all usage errors in one pass: three lines" "$([ "$(wc -l <"$TMP/stderr")" = 3 ] || cat "$TMP/stderr")"
expect 4 "missing tokenizer" "" "" "$CSPEED" preprocess --input "$in/a.txt" --output-prefix "$out/x" --tokenizer-name-or-path "$in/none"
expect 4 "folder of the output cannot be made" "" "a.txt" pre --input "$in/a.txt" --output-prefix "$in/a.txt/x"
mkdir -p "$out/dir_text_document.bin"
expect 4 "output is a folder" "" "dir_text_document.bin" pre --input "$in/a.txt" --output-prefix "$out/dir"

expect 0 "--skip-bad" '"documents": 2[0-9]+, .*"skipped": 1,' "skipped: .*bad.jsonl:1500:" pre --json --input "$in/bad.jsonl" --skip-bad \
    --output-prefix "$out/skip" --append-eod
sed '1500d' "$in/a.jsonl" >"$in/without.jsonl"
pre --input "$in/without.jsonl" --output-prefix "$out/without" --append-eod
result "--skip-bad: the other records" "$(cmp "$out/skip_text_document.bin" "$out/without_text_document.bin" 2>&1)"

# every kind of bad record is passed over, and what can be read behind it is read
bads="list.jsonl nokey.jsonl number.jsonl cut.txt.gz flip.txt.gz bad.json open.json behind.json empty.txt many.csv few.csv open.csv behind.csv utf8.csv twice.csv"
(cd "$in" && "$CSPEED" preprocess --json --tokenizer-name-or-path "$tok" --input $bads two.txt --skip-bad --output-prefix "$out/bads" \
    >"$TMP/stdout" 2>"$TMP/stderr")
result "--skip-bad: every kind" "$(grep -q '"skipped": 15,' "$TMP/stdout" || cat "$TMP/stdout" "$TMP/stderr")"
printf 'text\na\n"b\nc\n\377\nd\n' >"$in/some.csv"
expect 0 "--skip-bad: rows behind a bad one" '"documents": 3, .*"skipped": 2,' "skipped: .*some.csv:3:1: " pre --json --input "$in/some.csv" --skip-bad \
    --output-prefix "$out/some"

# a data set that is there stays when a later run fails
cp "$out/ref_text_document.bin" "$out/old.bin"
expect 3 "failing over an old data set" "" "" pre --input "$in/bad.jsonl" --output-prefix "$out/ref"
result "the old data set is untouched" "$(cmp "$out/old.bin" "$out/ref_text_document.bin" 2>&1; ls "$out"/ref*.tmp "$out"/ref*.lock 2>"$TMP/ls")"

# a full or failing disk at every system call
n=0 bad=""
while n=$((n + 1)) && [ $n -lt 200 ]; do
    rm -rf "$TMP/fail" && mkdir "$TMP/fail"
    FAIL=io:enospc@$n pre --input "$in/part1.txt" --output-prefix "$TMP/fail/p" 2>"$TMP/err"
    code=$?
    files=$(cd "$TMP/fail" && echo *)
    if [ $code = 0 ]; then
        [ "${files% *.lock}" = "p_text_document.bin p_text_document.idx" ] || bad="$bad $n:$files"
        [ -s "$TMP/err" ] || break
    elif [ $code != 4 ] || [ "$(wc -l <"$TMP/err")" != 1 ] || [ "$files" != "*" ]; then
        bad="$bad $n:$code:$files:$(head -c 80 "$TMP/err")"
    fi
done
result "each system call fails once ($n)" "$bad"
[ $n -gt 8 ] || result "failpoints are armed" "only $n calls"

# each allocation fails once: one line and no file, never a signal
n=0 bad=""
printf '{"text": "once upon"}\n{"text": "a time"}\n' | gzip -c >"$in/s.jsonl.gz"
while n=$((n + 1)) && [ $n -lt 400 ]; do
    rm -rf "$TMP/fail" && mkdir "$TMP/fail"
    FAIL=mem@$n pre --input "$in/s.jsonl.gz" --output-prefix "$TMP/fail/p" --workers 2 2>"$TMP/err"
    code=$?
    [ $code = 0 ] && [ ! -s "$TMP/err" ] && break
    [ $code = 5 ] && [ "$(wc -l <"$TMP/err")" = 1 ] && [ -z "$(ls "$TMP/fail")" ] \
        || bad="$bad $n:$code:$(head -c 90 "$TMP/err")"
done
result "each allocation fails once ($n)" "$bad"

# killed at every write, flush and rename: no index, hence no data set; the next run works
bad=""
for site in write:1 write:2 write:3 fsync:1 fsync:2 fsync:3 rename:1 rename:2; do
    rm -rf "$TMP/kill" && mkdir "$TMP/kill"
    (FAIL=kill@$site pre --input "$in/part1.txt" --output-prefix "$TMP/kill/p") 2>"$TMP/err"
    code=$?
    if [ $code = 137 ]; then
        [ ! -e "$TMP/kill/p_text_document.idx" ] || bad="$bad $site:idx"
        [ "$site" = rename:2 ] || [ "$site" = fsync:3 ] || [ ! -e "$TMP/kill/p_text_document.bin" ] || bad="$bad $site:bin"
    fi
    pre --input "$in/part1.txt" --output-prefix "$TMP/kill/p" || bad="$bad $site:again"
    [ "$(cd "$TMP/kill" && echo *)" = "p_text_document.bin p_text_document.idx" ] || bad="$bad $site:left"
done
result "killed inside the last steps" "$bad"

# killed while the input is still coming
mkdir "$TMP/half"
mkfifo "$TMP/fifo"
exec 8>&2 2>"$TMP/noise" # the shell's own word about the killed job
(exec "$CSPEED" preprocess --quiet --tokenizer-name-or-path "$tok" --input - --output-prefix "$TMP/half/p") <"$TMP/fifo" &
pid=$!
exec 9>"$TMP/fifo"
for i in 1 2 3; do cat "$in/a.txt" >&9; done
while [ ! -s "$TMP/half/p_text_document.bin.tmp" ] && kill -0 $pid; do sleep 0.05; done
kill -9 $pid
wait $pid
exec 9>&- 2>&8
result "killed half-way: nothing under the final names" "$(ls "$TMP/half" | grep -E '\.(bin|idx)$')"
expect 0 "the next run" "" "" pre --input "$in/part1.txt" --output-prefix "$TMP/half/p"
result "the next run leaves no temporary file" "$(ls "$TMP/half" | grep -vE '\.(bin|idx)$')"

finish
