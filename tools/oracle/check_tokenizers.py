#!/usr/bin/env python3
"""Compares libcspeed's tokenizers with SentencePiece and HF tokenizers on many difficult texts.

usage: check_tokenizers.py LIBCSPEED.SO SHARED_DATA [--n 100000] [--seed 1] [--only PATTERN,..] [--work /tmp/tok-oracle] [--list]

Prints a table (tokenizer, library, texts, differences of each kind) and, for each kind of difference, the first text that shows it, made as small
as it gets. Exit code 1 when anything differs. Versions of the libraries: requirements.txt beside this file. Kinds:
  ids        without special tokens, special-token text taken as text        parse    special-token text becomes ids (HF only)
  special    with the BOS and so on that the tokenizer adds                   offsets  where in the text each id comes from
  decode     ids of the text, special tokens left out; keep: left in          random   the same for random ids
  stream     ids in groups: the same bytes, every part whole UTF-8            lossless decode(encode(x)) = x here if and only if in the library
"""
import argparse
import codecs
import json
import os
import random
import sys
import time
from fnmatch import fnmatch

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sentencepiece as spm  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from make_tok_gguf import byte_letters  # noqa: E402
from tok_cspeed import PARSE_SPECIAL, SPECIAL, Cspeed, Refused  # noqa: E402
from tok_models import hf_rows, spm_rows  # noqa: E402
from tok_strings import Strings, read_texts  # noqa: E402


class SentencePiece:
    """The library's answers for one text."""

    def __init__(self, path):
        self.sp = spm.SentencePieceProcessor(model_file=path)
        self.n = self.sp.get_piece_size()
        self.bos = self.sp.bos_id()
        sp = self.sp
        self.specials = [sp.id_to_piece(i) for i in range(self.n) if sp.is_control(i) or sp.is_unknown(i)]
        self.favour = [i for i in range(self.n) if sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i) or sp.is_unused(i) or
                       sp.id_to_piece(i).startswith("\u2581")][:600] or [0]
        m = self.sp.serialized_model_proto()
        from sentencepiece import sentencepiece_model_pb2 as pb
        p = pb.ModelProto()
        p.ParseFromString(m)
        self.specials += [x.piece for x in p.pieces if x.type == 4]
        self.pieces = [x.piece.replace("\u2581", " ").encode("utf-8", "surrogatepass") for x in p.pieces if x.type in (1, 4, 5)]

    def encode(self, raw):
        p = self.sp.encode(raw, return_type="proto")
        ids = [x.id for x in p.pieces]
        return {"ids": ids, "special": [self.bos] + ids if self.bos >= 0 else ids, "offset flags": 0, "offset ids": ids,
                "offsets": [(x.begin, x.end) for x in p.pieces]}

    def decode(self, ids, keep):
        return None if keep else self.sp.decode(ids).encode("utf-8", "surrogatepass")


def replace_damage(raw):
    """raw.decode(errors="replace") and the byte of raw where each code point of it begins, with the end at the end."""
    lost = []
    codecs.register_error("note", lambda e: (lost.append(e.end - e.start), ("\ufffd", e.end))[1])
    text, starts, damage = raw.decode("utf-8", "note"), [0], iter(lost)
    for c in text:
        at = starts[-1]
        starts.append(at + (len(c.encode("utf-8")) if c != "\ufffd" or raw[at:at + 3] == b"\xef\xbf\xbd" else next(damage)))
    return text, starts


class HuggingFace:
    def __init__(self, tok):
        self.tok = tok
        # Version 0.23.3 decodes a special token that is "normalized" to its normal form and then does not leave it out (docs/testing.md):
        # decoding is compared with the same tokenizer without that mark.
        plain = json.loads(tok.to_str())
        for a in plain["added_tokens"]:
            a["normalized"] &= not a["special"]
        self.decoder = Tokenizer.from_str(json.dumps(plain))
        self.n = tok.get_vocab_size()
        added = tok.get_added_tokens_decoder()
        self.specials = [a.content for a in added.values()]
        vocab = tok.get_vocab()
        letters = {c: bytes([b]) for b, c in byte_letters().items()}
        level = "ByteLevel" in json.dumps(json.loads(tok.to_str())["pre_tokenizer"])
        self.pieces = [b"".join(letters.get(c, b"?") for c in t) if level else t.replace("\u2581", " ").encode() for t in vocab if t]
        self.gap = set(range(max(vocab.values()) + 1)) - set(vocab.values())
        self.n = max(vocab.values()) + 1
        self.favour = sorted(set(added) | {i for t, i in vocab.items() if t.startswith("<0x") or len(t) == 1 and ord(t) < 0x144 or t.startswith("\u2581")})[:600]

    def encode(self, raw):
        text, starts = replace_damage(raw)
        self.tok.encode_special_tokens = True
        ids = self.tok.encode(text, add_special_tokens=False).ids
        self.tok.encode_special_tokens = False
        full = self.tok.encode(text)
        return {"ids": ids, "parse": self.tok.encode(text, add_special_tokens=False).ids, "special": full.ids,
                "offset flags": SPECIAL | PARSE_SPECIAL, "offset ids": full.ids, "offsets": [(starts[a], starts[b]) for a, b in full.offsets]}

    def decode(self, ids, keep):
        return self.decoder.decode(ids, skip_special_tokens=not keep).encode("utf-8", "surrogatepass")


def cuts(seed):
    r = random.Random(seed)
    while True:
        yield r.choice([1, 1, 2, 3, 7])


def streamed(cs, ids, whole):
    parts = cs.stream(ids, cuts(len(ids)))
    if b"".join(parts) != whole:
        return "parts join to %r, whole is %r" % (b"".join(parts), whole)
    for p in parts:
        try:
            p.decode("utf-8")
        except UnicodeDecodeError:
            return "a part is not UTF-8: %r" % p
    return None


def compare_text(cs, lib, raw):
    """{kind: (cspeed, library)} of what differs for one text."""
    want = lib.encode(raw)
    flags = {"ids": 0, "parse": PARSE_SPECIAL, "special": SPECIAL | (PARSE_SPECIAL if "parse" in want else 0)}
    bad = {}
    got = {}
    for kind, flag in flags.items():
        if kind in want:
            got[kind] = cs.encode(raw, flag)
            if got[kind] != want[kind]:
                bad[kind] = (got[kind], want[kind])
    ids = want["special"]
    for kind, keep in (("decode", False), ("keep", True)):
        text = lib.decode(ids, keep)
        if text is None:
            continue
        mine = cs.decode(ids, keep)
        if mine != text:
            bad[kind] = (mine, text)
        if kind == "decode" and (text == raw) != (cs.decode(got["special"]) == raw):
            bad["lossless"] = (cs.decode(got["special"]), text)
    if len(raw) % 3 == 0:
        wrong = streamed(cs, ids, cs.decode(ids))
        if wrong:
            bad["stream"] = (wrong, "")
    whole, ranges = cs.offsets(raw, want["offset flags"])
    if whole != got["special" if want["offset flags"] else "ids"]:
        bad["offsets"] = ("other ids with offsets", whole)
    elif whole == want["offset ids"] and ranges != want["offsets"]:
        bad["offsets"] = (ranges, want["offsets"])
    return bad


def compare_ids(cs, lib, ids):
    bad = {}
    for kind, keep in (("random", False), ("random keep", True)):
        text = lib.decode(ids, keep)
        if text is not None and cs.decode(ids, keep) != text:
            bad[kind] = (cs.decode(ids, keep), text)
    wrong = streamed(cs, ids, cs.decode(ids))
    if wrong:
        bad["stream"] = (wrong, "")
    return bad


def shrink(seq, fails):
    """Drops parts of bytes or a list while fails() holds."""
    size = max(1, len(seq) // 2)
    while size >= 1:
        at, changed = 0, False
        while at < len(seq):
            less = seq[:at] + seq[at + size:]
            if fails(less):
                seq, changed = less, True
            else:
                at += size
        if not changed or size > 1:
            if size == 1:
                break
            size = size // 2
    return seq


def show(kind, seq, pair):
    print("  %s: %r\n    cspeed  %.1000r\n    library %.1000r" % (kind, seq, *pair), flush=True)


def run(name, library, cs, lib, texts, n, seed):
    gen = Strings(f"{seed} {name}", texts, lib.specials, lib.pieces)
    count, start = {}, time.time()

    def note(kind, seq, compare):
        count[kind] = count.get(kind, 0) + 1
        if count[kind] == 1:
            small = shrink(seq, lambda s: kind in compare(cs, lib, s))
            show(f"{name} {kind}", small, compare(cs, lib, small)[kind])

    for i in range(n):
        raw = gen.big() if i % 2000 == 1999 else gen.draw()
        for kind in compare_text(cs, lib, raw):
            note(kind, raw, compare_text)
        ids = gen.ids(lib.n, lib.favour)
        if getattr(lib, "gap", None):
            ids = [i for i in ids if i not in lib.gap]
        for kind in compare_ids(cs, lib, ids):
            note(kind, ids, compare_ids)
    row = "%-18s %-14s %8d %8s  %s" % (name, library, n, "none" if not count else sum(count.values()),
                                       " ".join(f"{k}={v}" for k, v in sorted(count.items())))
    print("%s  (%.0f s)" % (row, time.time() - start), flush=True)
    return row, bool(count)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("lib")
    p.add_argument("shared")
    p.add_argument("--n", type=int, default=100000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="")
    p.add_argument("--work", default="/tmp/tok-oracle")
    p.add_argument("--list", action="store_true")
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    texts = read_texts(a.shared)
    rows = [(n, "SentencePiece", m) for n, m in spm_rows(a.shared, a.work, texts)] + [(n, "HF tokenizers", m) for n, m in hf_rows(a.shared, a.work, texts)]
    if a.list:
        print("\n".join(r[0] for r in rows))
        return
    table, failed = [], False
    for name, library, make in rows:
        if a.only and not any(fnmatch(name, w) for w in a.only.split(",")):
            continue
        made = make() if callable(make) else make
        path, reference = made if isinstance(made, tuple) else (made, made)
        lib = SentencePiece(reference) if library == "SentencePiece" else HuggingFace(reference)
        try:
            cs = Cspeed(a.lib, path)
        except Refused as e:
            table.append("%-18s %-14s refused: %s" % (name, library, e))
            print(table[-1], flush=True)
            failed = True
            continue
        row, bad = run(name, library, cs, lib, texts, a.n, a.seed)
        cs.close()
        table.append(row)
        failed |= bad
    print("\n%-18s %-14s %8s %8s  by kind" % ("tokenizer", "library", "texts", "differ"))
    print("\n".join(table))
    sys.exit(failed)


if __name__ == "__main__":
    main()
