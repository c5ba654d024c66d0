#!/usr/bin/env python3
"""Writes tests/golden/tokjson/goldens.json: what Hugging Face tokenizers 0.23.3 makes of the files and texts of tokjson_models.py.
usage: make_tokjson_goldens.py OUT.json     With --check LIB (libcspeed.so) it compares instead of writing, also on `--more N` random texts.

{"texts": [...], "models": {name: model}, "files": [{"name", "tokenizer" (its "model" names one), "cases": [[ids, ranges, text, full]...], "decode":
[[ids, text, full]...]}]}. ranges: bytes, one number where a range begins at the end of the one before (0 at first): its length; else [begin, end].
text and full: decoded without and with special tokens; 0 = the same as the input, or as the one before; null = the library fails."""
import contextlib
import json
import os
import random
import sys
import tempfile

from tokenizers import Tokenizer

import tokjson_models as M


@contextlib.contextmanager
def silence():
    """The library prints a trace for each of its own failures."""
    keep, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        os.close(null)


def byte_ranges(text, offsets):
    at = [0]
    for ch in text:
        at.append(at[-1] + len(ch.encode()))
    return [(at[min(b, len(text))], at[min(e, len(text))]) for b, e in offsets]


def decode(tok, ids, keep):
    try:
        return tok.decode(ids, skip_special_tokens=not keep)
    except BaseException:  # a panic of the library
        return None


def id_lists(name, tok):
    rng = random.Random(name)
    n = tok.get_vocab_size()
    out = [[rng.randrange(n) for _ in range(14)] for _ in range(3)] + [[rng.randrange(min(262, n)) for _ in range(9)] for _ in range(3)]
    byte = {b: tok.token_to_id("<0x%02X>" % b) for b in range(256)}
    if None not in byte.values():
        e, x = [byte[0xC3], byte[0xA9]], tok.token_to_id("x")
        out += [e * 150 + [x], e * 150 + [byte[0xC3], x], [byte[0xA9]] * 3 + e * 2 + [x], [byte[b] for b in "\U0001f600".encode()] * 70 + [byte[0xF0]]]
    return out


def decoder_of(doc):
    """Version 0.23.3 decodes a special token that is "normalized" to its normal form and then does not leave it out; cspeed does as versions before."""
    rows = [{**a, "normalized": a["normalized"] and not a["special"]} for a in doc["added_tokens"]]
    return Tokenizer.from_str(json.dumps({**doc, "added_tokens": rows}))


def golden(name, doc):
    tok = Tokenizer.from_str(json.dumps(doc))
    plain_tok = decoder_of(doc)
    cases = []
    for text in M.texts():
        e = tok.encode(text)
        ranges, last = [], 0
        for b, end in byte_ranges(text, e.offsets):
            ranges.append(end - b if b == last and end >= b else [b, end])
            last = end
        plain, full = decode(plain_tok, e.ids, False), decode(plain_tok, e.ids, True)
        cases.append([e.ids, ranges, 0 if plain == text else plain, 0 if full == plain else full])
    more = []
    for ids in id_lists(name, tok):
        plain, full = decode(plain_tok, ids, False), decode(plain_tok, ids, True)
        more.append([ids, plain, 0 if full == plain else full])
    return tok, cases, more


def random_texts(n):
    rng = random.Random(n)
    pools = [list(range(0x20, 0x7F)), list(range(0x100)), list(range(0x300, 0x370)), list(range(0x2000, 0x2070)), list(range(0x4E00, 0x4F00)), [9, 10, 13, 32, 0xA0, 0x3000],
             list(range(0x1F300, 0x1F700)), list(range(0xAC00, 0xAC80)) + list(range(0x1100, 0x1200)), [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]]
    words = ["hello", "the", "'s", "'LL", "<s>", "<chat>", "<|endoftext|>", "123", "caf\u00e9", M.META, "\r\n", "  "]
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 9)):
            pool = rng.choice(pools)
            parts.append(rng.choice(words) if rng.random() < 0.3 else "".join(chr(rng.choice(pool)) for _ in range(rng.randint(1, 5))))
        yield "".join(parts)


def check(lib, n):
    from tok_cspeed import Cspeed
    bad = 0
    for name, doc in M.models():
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as f:
            json.dump(doc, f, ensure_ascii=False)
        tok, mine, wrong = Tokenizer.from_file(f.name), Cspeed(lib, f.name), 0
        plain_tok = decoder_of(doc)
        for text in list(M.texts()) + list(random_texts(n)):
            try:
                e = tok.encode(text)
            except BaseException:
                continue
            want = e.ids, byte_ranges(text, e.offsets)
            got = mine.offsets(text.encode(), 3)
            fine = got == want and mine.encode(text.encode(), 3) == e.ids
            for ids in (e.ids, id_lists(text, tok)[0]):
                for keep in (False, True):
                    d = decode(plain_tok, ids, keep)
                    fine &= d is None or mine.decode(ids, keep) == d.encode()
            if not fine and wrong < 2:
                print(name, repr(text), "\n  want", *want, "\n  got ", *got, file=sys.stdout)
            wrong += not fine
        print(name, wrong, "texts differ")
        bad += wrong
        os.unlink(f.name)
    return bad


def main():
    if "--check" in sys.argv:
        with silence():
            sys.exit(1 if check(sys.argv[sys.argv.index("--check") + 1], int(sys.argv[sys.argv.index("--more") + 1]) if "--more" in sys.argv else 0) else 0)
    models, files = {}, []
    for name, doc in M.models():
        with silence():
            _, cases, more = golden(name, doc)
        text = json.dumps(doc["model"], sort_keys=True)
        key = next((k for k, v in models.items() if json.dumps(v, sort_keys=True) == text), name)
        models[key] = doc["model"]
        files.append(dict(name=name, tokenizer={**doc, "model": key}, cases=cases, decode=more))
    with open(sys.argv[1], "w") as f:
        f.write('{"texts":' + json.dumps(M.texts(), ensure_ascii=False, separators=(",", ":")) + ',\n"models":{')
        f.write(",\n".join(json.dumps(k) + ":" + json.dumps(v, ensure_ascii=False, separators=(",", ":")) for k, v in models.items()))
        f.write('},\n"files":[\n' + ",\n".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) for x in files) + "\n]}\n")


if __name__ == "__main__":
    main()
