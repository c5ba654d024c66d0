"""Texts that are hard on tokenizers: bytes, not always UTF-8. The same seed gives the same texts."""
import glob
import gzip
import json
import os
import random

SPACES = [0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
          0x2007, 0x2008, 0x2009, 0x200A, 0x200B, 0x200C, 0x200D, 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]
DIGITS = [range(0x30, 0x3A), range(0x660, 0x66A), range(0x6F0, 0x6FA), range(0x966, 0x970), range(0xFF10, 0xFF1A), range(0x2070, 0x207A),
          range(0x2460, 0x2474), range(0x2150, 0x2189), range(0x1D7CE, 0x1D800), range(0x4E00, 0x4E04), range(0x3021, 0x302A)]
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x370, 0x400), (0x400, 0x530), (0x590, 0x600), (0x600, 0x700), (0x900, 0x980), (0x980, 0xA00),
          (0xB80, 0xC00), (0xE00, 0xE80), (0x10A0, 0x1100), (0x1200, 0x1380), (0x1E00, 0x2000), (0x2000, 0x2070), (0x20A0, 0x20D0), (0x2100, 0x2400),
          (0x2500, 0x2800), (0x3000, 0x3130), (0x3130, 0x3400), (0x4E00, 0xA000), (0xAC00, 0xD7B0), (0x1F300, 0x1FA00), (0x1F1E6, 0x1F200)]
# Code points that normal forms change: ligatures, widths, circled, compatibility ideographs, mathematical letters, composed and decomposed letters.
COMPAT = [(0xA0, 0x100), (0x100, 0x250), (0x2B0, 0x370), (0x1D2C, 0x1D6B), (0x1E00, 0x2000), (0x2000, 0x20A0), (0x2100, 0x2190), (0x2460, 0x2500),
          (0x2E80, 0x3000), (0x3000, 0x3400), (0xF900, 0xFB00), (0xFB00, 0xFDFF), (0xFE10, 0xFFF0), (0x1D400, 0x1D800), (0x1F100, 0x1F200),
          (0x2F800, 0x2FA20), (0x1100, 0x1200), (0xA960, 0xA980), (0xAC00, 0xAC80), (0xD7B0, 0xD800), (0x300, 0x370), (0x1AB0, 0x1B00), (0x20D0, 0x2100)]
NONCHARACTERS = [0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x1FFFF, 0x10FFFE, 0x10FFFF, 0xE000, 0xF8FF, 0xF0000, 0xE0001, 0xE0100, 0xFFF9, 0xFFFD, 0xFFFC]
EMOJI = ["\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466", "\U0001F44D\U0001F3FD", "\u2764\uFE0F", "\U0001F1E9\U0001F1EA", "1\uFE0F\u20E3",
         "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", "\U0001F9D1\U0001F3FB\u200D\U0001F680", "\u263A", "\u26A0\uFE0F"]
LITERALS = ["\u2581", "\u2581\u2581", "\u2581a", "a\u2581", " \u2581 ", "<0x0A>", "<0x00>", "<0xFF>", "<0xE4>", "<0x0a>", "<0xG0>", "<0x", "<unk>", "<s>", "</s>",
            "<pad>", "<|endoftext|>", "[UNK]", "[CLS]", "\\n", "\\u2581", "\u0120", "\u010a", "\u0120the", "'s", "'S", "'ll", "'LL", "'re", "\u2019s", "'\u017f",
            "can't", "I'M", "it''s", "\r\n", "\n\n", "\n \n", " \n", "\t\t", "...", "\u2026", "\u3002", "\uff0c", "\u060c", "\u0964", "http://a.b/c?d=e&f",
            "x_y", "a-b", "1,234.5", "3.14e-10", "0x1F", "  ", "   ", " ", "\x00", "\x00\x00", "a\x00b", "\x7f", "\x1b[0m"]
RTL = ["\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "\u202eabc\u202c", "\u200fx\u200e", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 123"]
CASES = ["\u0130", "\u0131", "\u00df", "\u1e9e", "\u01c4", "\u01c5", "\u03a3\u03c2", "\u0149", "\ufb01", "\u0390", "\u1f80", "\u212a", "\u212b", "\u2126"]
INVALID = [b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80",
           b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff", b"\xc3", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xe2\x96",
           b"\xe2", b"\xf0", b"\xef\xbf", b"\xc3\xa9\xa9", b"\xc2", b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"]


SOURCES = ["alpaca/alpaca_zh_demo.json", "belle/eval_set.json", "leetcode/leetcode_alpaca_first250.json", "multiturn/dummy_conversation.json",
           "pretrain/c4_demo.jsonl", "alpaca/seed_tasks.jsonl", "humaneval/HumanEval.jsonl.gz", "text/botchan.txt", "text/tinyshakespeare_input.txt"]


def read_texts(shared, sources=SOURCES):
    """Pieces of real text in many scripts: the published vectors and the named files of the shared data."""
    texts = []

    def walk(v):
        if isinstance(v, str):
            if len(v) > 3:
                texts.append(v)
        elif isinstance(v, dict):
            for x in v.values():
                walk(x)
        elif isinstance(v, list):
            for x in v:
                walk(x)

    for path in sorted(glob.glob(os.path.join(shared, "vectors", "*.json"))):
        for row in json.load(open(path, encoding="utf-8")).get("entries", {}).values():
            walk(row["decoded_skip_special"])
    for path in sorted(glob.glob(os.path.join(shared, "vectors/llama.cpp/*.inp"))):
        texts += open(path, encoding="utf-8", newline="").read().split("\n__ggml_vocab_test__\n")
    data = os.path.join(shared, "datasets")
    for name in sources:
        path = os.path.join(data, name)
        with (gzip.open if path.endswith("gz") else open)(path, "rt", encoding="utf-8") as f:
            body = f.read()
        if path.endswith(".txt"):
            texts += body.split("\n\n")
        elif path.endswith(".json") and body.lstrip()[0] == "[":
            walk(json.loads(body))
        else:
            for line in body.split("\n"):  # one value a line
                walk(json.loads(line) if line.strip() else "")
    return texts


class Strings:
    """Draws texts; `specials` are the texts of the special tokens of the vocabulary under test, `pieces` the bytes of its pieces."""

    def __init__(self, seed, texts, specials=(), pieces=(b"the", b" of")):
        self.r = random.Random(seed)
        self.texts = texts
        self.pieces = pieces
        self.specials = [s for s in specials if s] or ["<s>"]
        self.kinds = [(self.uniform, 4), (self.bmp, 4), (self.block, 8), (self.compat, 6), (self.spaces, 8), (self.digits, 3), (self.run, 4), (self.special, 8),
                      (self.real, 30), (self.marks, 4), (self.jamo, 2), (self.emoji, 3), (self.rtl, 2), (self.literal, 10), (self.invalid, 5), (self.ascii, 8),
                      (self.cases, 2), (self.noncharacter, 2), (self.joined, 10), (self.few_letters, 5)]
        self.funcs, self.weights = zip(*self.kinds)

    def cp(self, value):
        return chr(value).encode("utf-8", "surrogatepass")

    def uniform(self):
        return b"".join(self.cp(self.r.randrange(0x110000)) for _ in range(self.r.randint(1, 8)))

    def bmp(self):
        return b"".join(self.cp(self.r.randrange(0x10000)) for _ in range(self.r.randint(1, 10)))

    def block(self):
        lo, hi = self.r.choice(BLOCKS)
        return b"".join(self.cp(self.r.randrange(lo, hi)) for _ in range(self.r.randint(1, 15)))

    def compat(self):
        return b"".join(self.cp(self.r.randrange(*self.r.choice(COMPAT))) for _ in range(self.r.randint(1, 8)))

    def spaces(self):
        one = self.cp(self.r.choice(SPACES) if self.r.random() < 0.6 else 0x20)
        if self.r.random() < 0.5:
            return one * self.r.randint(1, 20)
        return b"".join(self.cp(self.r.choice(SPACES)) for _ in range(self.r.randint(1, 6)))

    def digits(self):
        d = self.r.choice(DIGITS)
        return b"".join(self.cp(self.r.choice(d)) for _ in range(self.r.randint(1, 20)))

    def run(self):
        one = self.r.choice([b"a", b" ", b"\n", b"=", b"-", b"0", b"\xe4\xb8\x80", b"\xf0\x9f\x98\x80", b"\xe2\x96\x81", b"\xff", b"ab", b"e", b"\xc3\xa9",
                             self.cp(self.r.randrange(0x3000))])
        return one * (self.r.randint(1, 40) if self.r.random() < 0.97 else self.r.randint(100, 3000))

    def special(self):
        s = self.r.choice(self.specials).encode("utf-8", "surrogatepass")
        kind = self.r.randrange(7)
        if kind == 0:
            return s + s
        if kind == 1:
            return s[:self.r.randint(1, len(s))]
        if kind == 2:
            return s[self.r.randrange(len(s)):]
        if kind == 3:
            return b" " * self.r.randint(0, 3) + s + self.r.choice([b" ", b"  ", b"\n", b"\t ", b""])
        if kind == 4:
            return s + self.r.choice(self.specials).encode("utf-8", "surrogatepass")
        return s

    def real(self):
        t = self.r.choice(self.texts)
        n = self.r.randint(1, 60)
        at = self.r.randrange(max(1, len(t) - n // 2))
        return t[at:at + n].encode("utf-8", "surrogatepass")

    def marks(self):
        base = self.cp(self.r.choice([0x61, 0x65, 0x41, 0x915, 0x627, 0x3042, 0x20, self.r.randrange(0x3000)]))
        return base + b"".join(self.cp(self.r.choice([self.r.randrange(0x300, 0x370), 0x3099, 0x309A, 0x94D, 0x64B, 0x20E3, 0xFE0F])) for _ in range(self.r.randint(1, 6)))

    def jamo(self):
        return b"".join(self.cp(self.r.randrange(0x1100, 0x1113)) + self.cp(self.r.randrange(0x1161, 0x1176)) +
                        (self.cp(self.r.randrange(0x11A8, 0x11C3)) if self.r.random() < 0.5 else b"") for _ in range(self.r.randint(1, 4)))

    def emoji(self):
        return "".join(self.r.choice(EMOJI) for _ in range(self.r.randint(1, 4))).encode()

    def rtl(self):
        return self.r.choice(RTL).encode()

    def joined(self):
        """Pieces side by side, some cut: borders that the merges may not keep."""
        out = []
        for _ in range(self.r.randint(1, 8)):
            p = self.r.choice(self.pieces)
            out.append(p[:self.r.randint(1, len(p))] if self.r.random() < 0.3 else p)
        return b"".join(out)

    def few_letters(self):
        """Many ways to merge."""
        letters = self.r.sample(["e", "t", "a", "n", "i", " ", "s", "r", "th", "=", "-", "\u4e2d", "\u56fd", "\u7684", "0", "1", "\u043e", "\u0627", "\u0644"],
                                self.r.randint(2, 4))
        return "".join(self.r.choice(letters) for _ in range(self.r.randint(2, 60))).encode()

    def literal(self):
        return self.r.choice(LITERALS).encode()

    def cases(self):
        return self.r.choice(CASES).encode()

    def noncharacter(self):
        return self.cp(self.r.choice(NONCHARACTERS))

    def invalid(self):
        if self.r.random() < 0.5:
            return self.r.choice(INVALID)
        return bytes(self.r.randrange(0x80, 0x100) for _ in range(self.r.randint(1, 8)))

    def ascii(self):
        return bytes(self.r.randrange(0x20, 0x7F) if self.r.random() < 0.9 else self.r.randrange(0x20) for _ in range(self.r.randint(1, 12)))

    def draw(self):
        n = 1
        while n < 30 and self.r.random() < 0.68:
            n += 1
        if self.r.random() < 0.003:
            n = self.r.randint(30, 300)
        return b"".join(f() for f in self.r.choices(self.funcs, self.weights, k=n))

    def big(self):
        """Tens of kilobytes, most without a blank."""
        kind = self.r.randrange(4)
        if kind == 0:
            return self.r.choice([b"a", b" ", b"ab", b"\xe4\xb8\xad", b"\xff", b"\n", b"the"]) * self.r.randint(3000, 12000)
        if kind == 1:
            return b"".join(self.few_letters() for _ in range(600)).replace(b" ", b"")
        if kind == 2:
            return b"".join(self.joined() for _ in range(1000))
        return b"".join(self.draw() for _ in range(300))

    def ids(self, vocab, favour):
        """A random sequence of ids below `vocab`; those of `favour` come often."""
        n = self.r.randint(1, 24)
        return [self.r.choice(favour) if self.r.random() < 0.4 else self.r.randrange(vocab) for _ in range(n)]
