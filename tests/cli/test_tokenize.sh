#!/bin/bash
# tokenize: ids, pieces and byte ranges, lines in order for any number of workers, decoding as ids come in, bad input and a standard output that
# takes nothing.
. "$(dirname "$0")/../cli_lib.bash"
data=$(cd "$(dirname "$0")/../data" && pwd)
tok=$data/tok_tiny.model
t() { "$CSPEED" tokenize --tokenizer-name-or-path "$tok" "$@"; }
# same NAME WANT GOT
same() { [ "$2" = "$3" ] && result "$1" "" || result "$1" "expected '${2:0:200}', got '${3:0:200}'"; }
rc() { "$@" >"$TMP/stdout" 2>"$TMP/stderr"; echo $?; }
one_line() { [ "$(wc -l <"$TMP/stderr")" = 1 ] && result "$1: one line" "" || result "$1: one line" "$(cat "$TMP/stderr")"; }

# one text
same "ids" "1 270 119 259" "$(printf the | t)"
same "the last newline is text" "1 270 119 259 13" "$(echo the | t)"
same "no special tokens" "270 119 259" "$(printf the | t --no-special-tokens)"
same "JSON" "[1, 270, 119, 259]" "$(printf the | t --json)"
same "no text" "1" "$(t </dev/null)"
same "special text is the token" "1 270 272 2" "$(printf 'e</s>' | t)"
same "special text stays text" "1 270 272 63 50 118 65" "$(printf 'e</s>' | t --no-parse-special)"
same "pieces" $'1\t0\t0\t<s>\n270\t0\t0\t▁\n119\t0\t1\t<0x74>\n259\t1\t3\the' "$(printf the | t --pieces)"
same "pieces as JSON" '[{"id": 270, "bytes": [0, 0], "piece": "▁"}, {"id": 119, "bytes": [0, 1], "piece": "<0x74>"}, {"id": 259, "bytes": [1, 3], "piece": "he"}]' \
    "$(printf the | t --pieces --json --no-special-tokens)"
same "pieces of ids" $'1\t<s>\n259\the' "$(echo 1 259 | t --decode --pieces)"
same "bytes that are no UTF-8" "he�he" "$(printf 'he\xffhe' | t | t --decode)"
for f in tok_tiny.model tok_tiny.json tok512.bin; do
    tok=$data/$f
    same "$f: there and back" "hello there, low world" "$(printf 'hello there, low world' | t | t --decode)"
    same "$f: there and back as JSON" '"hello é 你"' "$(printf 'hello é 你' | t --json | t --decode --json)"
    same "$f: NUL and odd bytes" 0 "$(rc t < <(printf 'a\0b\xc3\xf0\x9f\x80'))"
done
tok=$data/tok_tiny.model
same "ids in brackets" "he  low" "$(printf '[1, 270,\n259\t270,263]' | t --decode | sed s/hello/low/)"
same "special tokens shown" "<s> he</s>" "$(echo 1 270 259 2 | t --decode --keep-special-tokens)"
same "a code point in parts" "你" "$(echo 231 192 163 | t --decode)"

# lines: the same for any number of workers, in order
awk 'BEGIN {
    srand(5)
    n = split("hello there world low lower \\u4f60\\u597d \\ud83d\\ude42 \\n <s> \\\"x\\\" the", w, " ")
    for (i = 1; i <= 6000; i++) {
        s = ""
        for (j = rand() * rand() * 90; j > 0; j--) s = s " " w[1 + int(rand() * n)]
        print i % 50 == 0 ? "" : i % 3 ? "\"" s "\"" : "{\"id\": " i ", \"text\": \"" s "\"}"
    }
}' >"$TMP/in.jsonl"
for f in tok_tiny.model tok_tiny.json tok_bytelevel.json tok_unigram.model tok512.bin; do
    tok=$data/$f
    t --jsonl --workers 1 <"$TMP/in.jsonl" >"$TMP/one"
    same "$f: a result for each line" 5880 "$(wc -l <"$TMP/one")"
    for n in 2 3 8; do
        t --jsonl --workers $n <"$TMP/in.jsonl" | cmp -s - "$TMP/one" && result "$f: $n workers" "" || result "$f: $n workers" "output differs"
    done
    t --jsonl <"$TMP/in.jsonl" | cmp -s - "$TMP/one" && result "$f: default workers" "" || result "$f: default workers" "output differs"
    t --jsonl --decode --workers 1 <"$TMP/one" >"$TMP/text"
    t --jsonl --decode --workers 4 <"$TMP/one" | cmp -s - "$TMP/text" && result "$f: decoding, 4 workers" "" || result "$f: decoding, 4 workers" "differs"
    same "$f: texts again" "" "$(t --jsonl <"$TMP/text" | cmp - <(t --jsonl <"$TMP/text" | t --jsonl --decode | t --jsonl))"
done
tok=$data/tok_tiny.model
head -300 "$TMP/in.jsonl" | while IFS= read -r line; do printf '%s\n' "$line"; done | t --jsonl --workers 2 >"$TMP/slow"
same "lines one by one" "$(head -300 "$TMP/in.jsonl" | t --jsonl | md5sum)" "$(md5sum <"$TMP/slow")"
head -c 3000000 /dev/zero | tr '\0' e | sed -e 's/^/"/' -e 's/$/"/' >"$TMP/long.jsonl"
same "a line longer than the buffers" 3000002 "$(t --jsonl <"$TMP/long.jsonl" | wc -w)"
same "no last newline" $'[1, 270, 272]\n[1, 270, 277]' "$(printf '"e"\n"d"' | t --jsonl)"

# speed figures
: >"$TMP/empty"
expect 0 "bench tokenize" "time without spaces / ordinary +[0-9.]+ x" "" "$CSPEED" bench tokenize --repeat 1 --tokenizer-name-or-path "$tok" \
    --input "$data/ref_prompt.txt"
expect 0 "bench tokenize as JSON" '"name": "encode lines, all threads"' "" "$CSPEED" bench tokenize --repeat 1 --json --tokenizer-name-or-path "$tok" \
    --input "$data/ref_prompt.txt" "$data/ref_prompt.txt"
expect 2 "bench tokenize without a text" "" "needs --tokenizer-name-or-path and --input" "$CSPEED" bench tokenize --tokenizer-name-or-path "$tok"
expect 3 "bench tokenize on nothing" "" "no text" "$CSPEED" bench tokenize --tokenizer-name-or-path "$tok" --input "$TMP/empty"

# bad input: what is in front of it is written
printf '"e"\n\n{"text": "d"}\n{"text": 5}\n"e"\n' >"$TMP/bad.jsonl"
for n in 1 4; do
    same "bad line, $n workers" 3 "$(rc t --jsonl --workers $n <"$TMP/bad.jsonl")"
    one_line "bad line, $n workers"
    same "bad line, $n workers: what came before" $'[1, 270, 272]\n[1, 270, 277]' "$(cat "$TMP/stdout")"
    grep -q 'stdin:4: expected a JSON string' "$TMP/stderr" && result "bad line, $n workers: named" "" || result "bad line named" "$(cat "$TMP/stderr")"
done
{ head -4000 "$TMP/in.jsonl"; echo '{"text": "never ends'; tail -2000 "$TMP/in.jsonl"; } >"$TMP/late.jsonl"
for n in 1 3; do
    same "late bad line, $n workers" 3 "$(rc t --jsonl --workers $n <"$TMP/late.jsonl")"
    same "late bad line, $n workers: lines" 3920 "$(wc -l <"$TMP/stdout")"
    grep -q 'stdin:4001' "$TMP/stderr" && result "late bad line, $n workers: named" "" || result "late bad line named" "$(cat "$TMP/stderr")"
done
same "id out of range" 3 "$(rc t --decode < <(echo 270 259 278 259))"
same "id out of range: what came before" "he" "$(cat "$TMP/stdout")"
grep -q 'stdin: item 3 is not a token id in 0..277' "$TMP/stderr" && result "id out of range: named" "" || result "id named" "$(cat "$TMP/stderr")"
same "no id" 3 "$(rc t --decode < <(echo 270 -5))"
same "huge id" 3 "$(rc t --decode < <(echo 99999999999999999999999999))"
same "ids with letters" 3 "$(rc t --jsonl --decode < <(printf '[1, 2]\n[1, 2a]\n'))"
grep -q 'stdin:2: item 2' "$TMP/stderr" && result "ids with letters: named" "" || result "ids with letters: named" "$(cat "$TMP/stderr")"
same "no tokenizer" 2 "$(rc "$CSPEED" tokenize </dev/null)"
same "argument" 2 "$(rc t file </dev/null)"
same "too many workers" 2 "$(rc t --workers 257 </dev/null)"

# input without end: results come while it is read; a reader that goes away is no error
same "endless lines" "[1, 270, 272]" "$(yes '"e"' | t --jsonl | head -1)"
same "endless ids" "hehe" "$(yes 259 | t --decode --workers 2 | head -c 4)"
(yes '"e"' | { t --jsonl; echo $? >"$TMP/code"; } | head -1 >/dev/null) 2>"$TMP/stderr"
same "reader went away" "0" "$(cat "$TMP/code")$(cat "$TMP/stderr")"
for args in "" --json --pieces --jsonl "--decode" "--decode --json"; do
    case $args in --jsonl) input='"e"' ;; --decode*) input=259 ;; *) input=e ;; esac
    same "full disk $args" 4 "$(echo "$input" | { t $args >/dev/full 2>"$TMP/stderr"; echo $?; })"
    one_line "full disk $args"
done
finish
