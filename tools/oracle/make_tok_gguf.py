"""Writes tests/data/vocab_tiny.gguf (the pieces of tok_tiny.model) and vocab_tiny_gpt2.gguf (a byte-level vocabulary made here), and
tests/golden/tok_gguf.json: ids that SentencePiece gives for a model rebuilt from the Baichuan vocabulary (--baichuan FILE.gguf) and ids that
HF tokenizers gives for the byte-level one.  python tools/oracle/make_tok_gguf.py --baichuan ggml-vocab-baichuan.gguf"""
import argparse
import json
import random
import struct
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

ROOT = Path(__file__).resolve().parents[2] / "tests"
NUMBER = {4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q"}


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    if kind == 8:
        return text(v)
    if kind == 9:
        item, values = v
        return struct.pack("<IQ", item, len(values)) + b"".join(value(item, x) for x in values)
    return struct.pack(NUMBER[kind], v)


def write(path, keys):
    body = b"".join(text(k) + struct.pack("<I", kind) + value(kind, v) for k, kind, v in keys)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + body)


def read(path):
    data, at = Path(path).read_bytes(), 24

    def take(fmt):
        nonlocal at
        (v,) = struct.unpack_from(fmt, data, at)
        at += struct.calcsize(fmt)
        return v

    def get(kind):
        nonlocal at
        if kind == 8:
            n = take("<Q")
            at += n
            return data[at - n : at]
        if kind == 9:
            item, n = take("<I"), take("<Q")
            return [get(item) for _ in range(n)]
        return take(NUMBER[kind])

    out = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = get(8).decode()
        out[key] = get(take("<I"))
    return out


def sentencepiece_of(path):
    kv = read(path)
    m = pb.ModelProto()
    for piece, score, kind in zip(kv["tokenizer.ggml.tokens"], kv["tokenizer.ggml.scores"], kv["tokenizer.ggml.token_type"]):
        p = m.pieces.add()
        p.piece, p.score, p.type = piece.decode(), score, kind
    m.trainer_spec.model_type = 2
    m.trainer_spec.byte_fallback = True
    m.normalizer_spec.add_dummy_prefix = True
    m.normalizer_spec.remove_extra_whitespaces = False
    sp = spm.SentencePieceProcessor()
    sp.LoadFromSerializedProto(m.SerializeToString())
    return sp


def byte_letters():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    return {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(rest)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--baichuan", required=True)
    a = p.parse_args()
    tiny = pb.ModelProto()
    tiny.ParseFromString((ROOT / "data/tok_tiny.model").read_bytes())
    write(ROOT / "data/vocab_tiny.gguf", [
        ("general.architecture", 8, "llama"),
        ("tokenizer.ggml.model", 8, "llama"),
        ("tokenizer.ggml.tokens", 9, (8, [q.piece for q in tiny.pieces])),
        ("tokenizer.ggml.scores", 9, (6, [q.score for q in tiny.pieces])),
        ("tokenizer.ggml.token_type", 9, (5, [q.type for q in tiny.pieces])),
        ("tokenizer.ggml.bos_token_id", 4, 1),
        ("tokenizer.ggml.eos_token_id", 4, 2),
        ("tokenizer.ggml.remove_extra_whitespaces", 7, tiny.normalizer_spec.remove_extra_whitespaces),
        ("tokenizer.ggml.add_space_prefix", 7, tiny.normalizer_spec.add_dummy_prefix),
    ])
    letters = byte_letters()
    merges = ["h e", "l l", "Ġ w", "he ll", "hell o", "o r", "Ġw or", "l d", "Ġwor ld", "Ġ Ġ", "ĠĠ ĠĠ", "Ã ©", "i n", "in g", "1 2"]
    tokens = [letters[b] for b in range(256)] + [m.replace(" ", "") for m in merges] + ["<|endoftext|>", "<user>"]
    write(ROOT / "data/vocab_tiny_gpt2.gguf", [
        ("general.architecture", 8, "gpt2"),
        ("tokenizer.ggml.model", 8, "gpt2"),
        ("tokenizer.ggml.pre", 8, "gpt-2"),
        ("tokenizer.ggml.tokens", 9, (8, tokens)),
        ("tokenizer.ggml.token_type", 9, (5, [1] * (len(tokens) - 2) + [3, 4])),
        ("tokenizer.ggml.merges", 9, (8, merges)),
        ("tokenizer.ggml.bos_token_id", 4, len(tokens) - 2),
        ("tokenizer.ggml.eos_token_id", 4, len(tokens) - 2),
    ])
    hf = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens(["<|endoftext|>"])
    hf.add_tokens(["<user>"])
    sp = sentencepiece_of(a.baichuan)
    rng = random.Random(3)
    texts = ["", " ", "Hello world", "hello  worlds", "   x", "中文字符 和 English 混合。", "\n\n\t", "1234567890", "🙂👍🏽 ok", "é\u0301\u200b", "a" * 40, "ﬁ ＡＢＣ ①"]
    for _ in range(36):
        texts.append("".join(chr(rng.choice([rng.randrange(32, 127), 32, rng.randrange(0x4E00, 0x9FA5), rng.randrange(0xA0, 0x3000),
                                             rng.randrange(0x1F300, 0x1F700)])) for _ in range(rng.randrange(1, 24))))
    more = texts + ["hello<|endoftext|> world", "a<user>b", "  hello   world  \n\n", "it's 12 I'll"]
    golden = {"baichuan": [{"text": t, "ids": sp.encode(t)} for t in texts],
              "gpt2": [{"text": t, "ids": hf.encode(t).ids} for t in more]}
    lines = [f'"{k}": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]" for k, rows in golden.items()]
    (ROOT / "golden/tok_gguf.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
