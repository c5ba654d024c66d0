"""Writes tests/golden/tok_config.json: ids that transformers 4.57 gives for small tokenizer folders with many configurations, and the pair of
files tests/data/gpt2_tiny. The LLaMA folders are read by the slow LlamaTokenizer (use_fast=False), the others by the fast classes.
transformers 5 is no oracle for tokenizer.model: it ignores the scores of the pieces.  python tools/oracle/make_tok_config.py"""
import json
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer, LlamaTokenizer

ROOT = Path(__file__).resolve().parents[2] / "tests"
TEXTS = ["hello world", "  hello  world ", "hell<s>o</s> world", "<s> hello", "x </s>\nworld", "<unk>x <unk>", "", "\n", "a<user>b <user> c",
         "[PAD] hello<pad>", "hello<|endoftext|>x <|endoftext|> world", "<s><s>hello", "[CLS] hello [PAD]  </s>"]


def tok(content, **more):
    return dict({"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}, **more)


def named(content):
    return tok(content, __type="AddedToken")


def byte_letters():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    return {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(rest)}


def write_gpt2():
    letters = byte_letters()
    merges = ["h e", "l l", "Ġ w", "he ll", "hell o", "o r", "Ġw or", "l d", "Ġwor ld", "Ġ Ġ", "ĠĠ ĠĠ", "Ã ©", "i n", "in g", "1 2"]
    tokens = [letters[b] for b in range(256)] + [m.replace(" ", "") for m in merges] + ["<|endoftext|>"]
    folder = ROOT / "data/gpt2_tiny"
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


LLAMA, FAST, GPT2 = "LlamaTokenizer", "PreTrainedTokenizerFast", "GPT2Tokenizer"
DECODER = {"0": tok("<unk>", special=True), "1": tok("<s>", special=True), "2": tok("</s>", special=True), "278": tok("<pad>", special=True, rstrip=True),
           "279": tok("<user>", special=False, lstrip=True)}
CASES = [
    ("spm", None, None, None),
    ("spm", {"legacy": True}, None, None),
    ("spm", {"legacy": False}, None, None),
    ("spm", {"legacy": None, "add_bos_token": True, "model_max_length": 1000000000000000019884624838656}, None, None),
    ("spm", {"add_bos_token": True, "add_eos_token": True, "model_max_length": 1e30}, None, None),
    ("spm", {"add_bos_token": False, "add_eos_token": True}, None, None),
    ("spm", {"bos_token": named("<s>"), "eos_token": named("</s>"), "unk_token": named("<unk>"), "pad_token": None, "legacy": False}, None, None),
    ("spm", {"add_prefix_space": False, "legacy": False}, None, None),
    ("spm", {"pad_token": "[PAD]"}, None, None),
    ("spm", {"pad_token": "<unk>", "chat_template": "{{ messages }}"}, None, None),
    ("spm", {"legacy": False, "added_tokens_decoder": DECODER, "pad_token": "<pad>"}, None, None),
    ("spm", {"legacy": True, "added_tokens_decoder": DECODER, "pad_token": "<pad>"}, None, None),
    ("spm", {}, None, {"<pad>": 279, "[PAD]": 278}),
    ("spm", {"additional_special_tokens": ["<pad>", named("[CLS]")]}, {"pad_token": "[PAD]", "bos_token": tok("<s>")}, {"[PAD]": 278}),
    ("spm", {"eos_token": "[PAD]", "add_eos_token": True}, {"eos_token": "</s>"}, None),
    ("json", {}, None, None),
    ("json", {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False, "add_eos_token": True}, None, None),
    ("json", {"pad_token": "[PAD]", "bos_token": "<s>"}, None, None),
    ("json", {"added_tokens_decoder": {"278": tok("[CLS]", special=True, lstrip=True), "279": tok("<pad>", special=False)}}, None, None),
    ("json", {"additional_special_tokens": ["<pad>", "[CLS]"]}, {"pad_token": "[PAD]"}, {"[PAD]": 278}),
    ("gpt2", {}, None, None),
    ("gpt2", {"add_bos_token": True}, None, None),
    ("gpt2", {"add_prefix_space": True}, None, None),
    ("gpt2", {"pad_token": "[PAD]", "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}, None, None),
    ("gpt2", {"pad_token": "[PAD]", "added_tokens_decoder": {"272": tok("<user>", special=False, normalized=True), "273": tok("[PAD]", special=True, lstrip=True)}}, None, None),
    ("gpt2", {}, {"pad_token": "<pad>"}, {"<user>": 272, "<pad>": 273}),
]


def main():
    write_gpt2()
    out = []
    for kind, config, special_map, added in CASES:
        with tempfile.TemporaryDirectory() as d:
            d = Path(d)
            files = {"spm": [("tok_tiny.model", "tokenizer.model")], "json": [("tok_tiny.json", "tokenizer.json")],
                     "gpt2": [("gpt2_tiny/vocab.json", "vocab.json"), ("gpt2_tiny/merges.txt", "merges.txt")]}[kind]
            for a, b in files:
                shutil.copy(ROOT / "data" / a, d / b)
            if config is not None:
                config = dict({"tokenizer_class": {"spm": LLAMA, "json": FAST, "gpt2": GPT2}[kind]}, **config)
            row = {"kind": kind}
            for name, value in (("tokenizer_config.json", config), ("special_tokens_map.json", special_map), ("added_tokens.json", added)):
                if value is not None:
                    (d / name).write_text(json.dumps(value))
                    row[name] = value
            t = AutoTokenizer.from_pretrained(d, use_fast=kind != "spm") if config is not None else LlamaTokenizer.from_pretrained(d)
            row["ids"] = [-1 if i is None else i for i in (t.bos_token_id, t.eos_token_id, t.pad_token_id)] + [len(t)]
            row["rows"] = [{"text": x, "special": t.encode(x), "plain": t.encode(x, add_special_tokens=False)} for x in TEXTS]
            out.append(row)
    (ROOT / "golden/tok_config.json").write_text("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in out) + "\n]\n")


main()
