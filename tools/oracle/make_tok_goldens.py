#!/usr/bin/env python3
"""Makes tests/golden/tok: small tokenizers, difficult texts, and what SentencePiece and HF tokenizers make of them.

usage: make_tok_goldens.py SHARED_DATA tests/golden/tok     (versions: requirements.txt beside this file)

NAME.model            SentencePiece models trained here (options below)          pair/   a byte-level BPE as vocab.json and merges.txt
texts.txt             one text a line, as hex
NAME.txt              a line "t ids;ranges;text" for each text: ids; for each id "[skip:]length" in bytes, skip from the end of the id before; the
                      decoded text as hex, "=" for the text itself. Then lines "r ids;text": random ids and their text.
real/NAME.txt         the same without ranges for vocabularies of the shared data
Ids of SentencePiece models are without BOS; those of HF tokenizers have what the tokenizer adds, and special-token text becomes ids.
"""
import json
import os
import sys
import tempfile

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from check_tokenizers import HuggingFace, SentencePiece
from tok_models import USER, bloom, byte_level, edited, make_unused, read_pair, train
from tok_strings import LITERALS, Strings, read_texts

MODELS = {
    "uni_nmt": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=700, user_defined_symbols=USER),
    "uni_rules": dict(model_type="unigram", normalization_rule_tsv="RULES", byte_fallback=True, vocab_size=700, control_symbols=["<ctl>"]),
    "uni_raw": dict(model_type="unigram", normalization_rule_name="identity", byte_fallback=True, vocab_size=600, add_dummy_prefix=False,
                    remove_extra_whitespaces=False),
    "bpe_raw": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=700, user_defined_symbols=USER,
                    remove_extra_whitespaces=False),
    "bpe_rules_suffix": dict(model_type="bpe", normalization_rule_tsv="RULES", vocab_size=500, treat_whitespace_as_suffix=True, user_defined_symbols=USER),
}
SPECIAL = "<|endoftext|>"


def tidy(m, unused):
    """No names of this machine's files in the model."""
    for owner, field in ((m.trainer_spec, "input"), (m.trainer_spec, "model_prefix"), (m.normalizer_spec, "normalization_rule_tsv")):
        owner.ClearField(field)
    if unused:
        make_unused(m)


def ranges(pairs):
    out, last = [], 0
    for begin, end in pairs:
        out.append(f"{end - begin}" if begin == last else f"{begin - last}:{end - begin}")
        last = end
    return " ".join(out)


def answer(lib, raw, with_ranges):
    got = lib.encode(raw)
    ids = got["offset ids"]
    text = lib.decode(ids, False)
    return "t %s;%s;%s" % (" ".join(map(str, ids)), ranges(got["offsets"]) if with_ranges else "", "=" if text == raw else text.hex())


def write(path, lib, texts, rows, with_ranges=True):
    gen = Strings("ids " + os.path.basename(path), ["x"])
    lines = [answer(lib, t, with_ranges) for t in texts]
    for _ in range(rows):
        ids = [i for i in gen.ids(lib.n, lib.favour) if i not in getattr(lib, "gap", ())][:12]
        lines.append("r %s;%s" % (" ".join(map(str, ids)), lib.decode(ids, False).hex()))
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def make_pair(folder, corpus):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=800, special_tokens=[SPECIAL], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                        show_progress=False))
    model = json.loads(tok.to_str())["model"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump(model["vocab"], f, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join("%s\n" % (m if isinstance(m, str) else " ".join(m)) for m in model["merges"]))
    vocab, merges = read_pair(folder)
    return byte_level(vocab, merges, specials=[SPECIAL])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    shared, out = sys.argv[1:]
    corpus = read_texts(shared, ["text/botchan.txt"])
    gen = Strings("goldens", corpus, USER + ["<s>", "</s>", "<unk>", "<ctl>", SPECIAL])
    texts = [b"", b" ", b"a" * 50, b"  Hello   world \n", b"ab" * 20] + [x.encode() for x in LITERALS]
    while len(texts) < 210:
        t = gen.draw()
        if 6 <= len(t) <= 56:
            texts.append(t)
    os.makedirs(os.path.join(out, "real"), exist_ok=True)
    with open(os.path.join(out, "texts.txt"), "w") as f:
        f.write("".join(t.hex() + "\n" for t in texts))
    with tempfile.TemporaryDirectory() as work:
        for name, options in MODELS.items():
            path = train(work, name, corpus, dict(options, character_coverage=0.98))
            model = edited(out, name, path, lambda m: tidy(m, name == "bpe_rules_suffix"))
            write(os.path.join(out, name + ".txt"), SentencePiece(model), texts, 40)
    write(os.path.join(out, "pair.txt"), HuggingFace(make_pair(os.path.join(out, "pair"), corpus)), texts, 40)
    real = [(n, SentencePiece(os.path.join(shared, "tokenizers", f))) for n, f in (("llama_spm", "llama/tokenizer.model"), ("internlm", "internlm/tokenizer.model"))]
    real += [(n, HuggingFace(Tokenizer.from_file(os.path.join(shared, "tokenizers", n, "tokenizer.json")))) for n in ("llama", "gpt2")]
    vocab, merges = read_pair(os.path.join(shared, "tokenizers/aquila"))
    real += [("aquila", HuggingFace(byte_level(vocab, merges, specials=[SPECIAL]))), ("bloom", HuggingFace(bloom(shared)))]
    for name, lib in real:
        write(os.path.join(out, "real", name + ".txt"), lib, texts, 20, with_ranges=False)


main()
