#!/bin/bash
# A model of LLaMA 7B's shape with random bf16 weights: to Megatron shards of TP 2 x PP 2 and back bit for bit within 2 GiB, generate within
# 16 GiB, and plan's prediction within 5 % of it. Memory is the process's own (RssAnon): mapped files are page cache. Needs 45 GB of disk in $TMPDIR
# and 15 GiB of memory; says so and stops when there is less. usage: CSPEED=build/cspeed scripts/soak_big.sh
. "$(dirname "$0")/../tests/cli_lib.bash"
disk=$(df -Pk "$TMP" | awk 'NR == 2 { print $4 }')
memory=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
if [ "$disk" -lt 45000000 ] || [ "$memory" -lt 15000000 ]; then
    echo "skipped: the 7B model needs 45 GB of disk and 15 GB of memory; there are $((disk / 1000000)) and $((memory / 1000000))"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# Values of magnitude 2^-7 .. 2^-5, the norms' weights 1.
perl - "$TMP/hf" <<'P' || exit 1
use strict;
my ($dir) = @ARGV;
my ($layers, $hidden, $ffn, $vocab) = (32, 4096, 11008, 32000);
my @tensor = (["model.embed_tokens.weight", $vocab, $hidden]);
for my $l (0 .. $layers - 1) {
    my $p = "model.layers.$l";
    push @tensor, ["$p.input_layernorm.weight", $hidden], ["$p.mlp.down_proj.weight", $hidden, $ffn], ["$p.mlp.gate_proj.weight", $ffn, $hidden],
        ["$p.mlp.up_proj.weight", $ffn, $hidden], ["$p.post_attention_layernorm.weight", $hidden],
        map { ["$p.self_attn.${_}_proj.weight", $hidden, $hidden] } qw(k o q v);
}
push @tensor, ["model.norm.weight", $hidden], ["lm_head.weight", $vocab, $hidden];
my ($at, @entry) = (0);
for my $t (@tensor) {
    my ($name, @shape) = @$t;
    my $bytes = 2 * $shape[0] * ($shape[1] // 1);
    push @entry, sprintf '"%s":{"dtype":"BF16","shape":[%s],"data_offsets":[%d,%d]}', $name, join(",", @shape), $at, $at + $bytes;
    $at += $bytes;
}
my $header = "{" . join(",", @entry) . "}";
$header .= " " x (-length($header) % 8);
srand 1;
my $block = pack "v*", map { int(rand 0x100) | (rand() < 0.5 ? 0x3c00 : 0xbc00) } 1 .. 1 << 20;
mkdir $dir or die "$dir: $!\n";
open my $f, ">:raw", "$dir/model.safetensors" or die "$!\n";
print $f pack("Q<", length $header), $header;
for my $t (@tensor) {
    my ($name, @shape) = @$t;
    my $bytes = 2 * $shape[0] * ($shape[1] // 1);
    if (@shape == 1) { print $f pack("v", 0x3f80) x $shape[0]; next; }
    my $from = 2 * int rand 1 << 19;
    while ($bytes > 0) {
        my $n = length($block) - $from < $bytes ? length($block) - $from : $bytes;
        print $f substr $block, $from, $n or die "$!\n";
        ($bytes, $from) = ($bytes - $n, 0);
    }
}
close $f or die "$!\n";
open $f, ">", "$dir/config.json" or die "$!\n";
print $f qq({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": $vocab, "hidden_size": $hidden, "intermediate_size": $ffn,
 "num_hidden_layers": $layers, "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
 "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2}\n);
close $f or die "$!\n";
P

# peak COMMAND...: runs it; $most is its highest RssAnon in KiB, the exit code its own
peak() {
    "$@" >"$TMP/stdout" 2>"$TMP/stderr" &
    local pid=$! now
    most=0
    while kill -0 "$pid" 2>/dev/null; do
        now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
        [ "${now:-0}" -gt "$most" ] && most=$now
        sleep 0.05
    done
    wait "$pid"
}
below() { # below NAME KIB COMMAND...
    local name=$1 limit=$2
    shift 2
    if peak "$@"; then
        result "$name: $((most / 1024)) MiB" "$([ "$most" -le "$limit" ] || echo "more than $((limit / 1024)) MiB")"
    else
        result "$name" "$(head -c 300 "$TMP/stderr")"
    fi
}
below "to TP 2 x PP 2" $((2 << 20)) "$CSPEED" convert --input "$TMP/hf" --output "$TMP/shards" --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2
below "and back" $((2 << 20)) "$CSPEED" convert --input "$TMP/shards" --output "$TMP/back" --max-shard-size 20GB
rm -rf "$TMP/shards"
"$CSPEED" convert --input "$TMP/hf" --output "$TMP/again" --max-shard-size 20GB >/dev/null 2>&1
result "the same bytes" "$(cmp "$TMP/again/model.safetensors" "$TMP/back/model.safetensors" 2>&1)"
rm -rf "$TMP/back" "$TMP/again"
# Room for 64 positions; token ids of llama2.c's small tokenizer are among the 32000.
below "generate" $((16 << 20)) "$CSPEED" generate --load "$TMP/hf" --tokenizer-name-or-path "$(dirname "$0")/../tests/data/tok512.bin" --prompt "Once upon a time" \
    --max-new-tokens 4
want=$("$CSPEED" plan --load "$TMP/hf" --inference 64 --json | awk -F'[:, ]+' '/"largest_rank_bytes"/ { print int($3 / 1024) }')
off=$((most > want ? most - want : want - most))
result "plan says $((want / 1024)) MiB" "$([ "$want" -gt 0 ] && [ $((off * 20)) -le "$most" ] || echo "more than 5 % off")"
finish
