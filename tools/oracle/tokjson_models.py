"""Small tokenizer.json files that together hold every component that cspeed reads, and texts that are hard for them."""
import base64
import json
import random
import struct

META = "\u2581"


def alphabet():
    """GPT-2's code point for each byte."""
    keep = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    out, k = {}, 0
    for b in range(256):
        if b in keep:
            out[b] = chr(b)
        else:
            out[b] = chr(0x100 + k)
            k += 1
    return out


BYTES = alphabet()


def shown(text):
    return "".join(BYTES[b] for b in text.encode())


def bpe(words, symbols, first=(), **options):
    """A BPE model whose merges build each word from the left."""
    vocab = {}
    for s in list(first) + list(symbols):
        vocab.setdefault(s, len(vocab))
    merges = []
    for w in words:
        left = w[0]
        for c in w[1:]:
            if left + c not in vocab:
                vocab[left + c] = len(vocab)
                merges.append([left, c])
            left += c
    return dict(type="BPE", vocab=vocab, merges=merges, **options)


WORDS = ["the", "ing", "hello", "world", "lo", "we", "'s", "'ll", "1st", "er", "re", "st", "abc", "ab", "\u00e9t\u00e9", "\u4f60\u597d", "\u0645\u0631"]
PLAIN = sorted(set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,!?'-_()<>|/\"" + "\n\t" + "".join(WORDS)))
BYTE_PIECES = ["<0x%02X>" % b for b in range(256)]


def plain_bpe(unk=None, bytes_=False, words=WORDS, symbols=PLAIN, **options):
    first = ([unk] if unk else []) + ["<s>", "</s>"] + (BYTE_PIECES if bytes_ else [])
    return bpe(words, symbols, first, unk_token=unk, byte_fallback=bytes_, **options)


def meta_bpe(**options):
    words = [META + w for w in WORDS] + WORDS + [META + META]
    return plain_bpe(words=words, symbols=[META] + [c for c in PLAIN if c != " "], **options)


def byte_bpe(**options):
    words = [shown(" " + w) for w in WORDS] + [shown(w) for w in WORDS] + [shown("  "), shown("\n\n")]
    return bpe(words, [BYTES[b] for b in range(256)], **options)


def unigram(unk=0, bytes_=False, extra=()):
    rng = random.Random(7)
    vocab = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0]]
    vocab += [[p, 0.0] for p in BYTE_PIECES] if bytes_ else []
    pieces = [META] + [META + w for w in WORDS] + WORDS + [w[:2] for w in WORDS if len(w) > 2] + [c for c in PLAIN if c not in " \n\tQZ"]
    seen = set()
    for p in pieces:
        if p not in seen:
            seen.add(p)
            vocab.append([p, -round(rng.uniform(1, 12), 3)])
    vocab += [list(e) for e in extra]
    return dict(type="Unigram", unk_id=unk, vocab=vocab, byte_fallback=bytes_)


def charsmap(rules):
    """SentencePiece's blob for {text: replacement}: a double array laid out by hand, label by label."""
    units = {0: None}
    strings, offsets = b"", {}
    for to in rules.values():
        if to not in offsets:
            offsets[to] = len(strings)
            strings += to.encode() + b"\0"
    tree = {}
    for text, to in rules.items():
        node = tree
        for b in text.encode():
            node = node.setdefault(b, {})
        node[None] = offsets[to]
    array = {0: [0, 0, 0]}  # index -> [label, offset, has_leaf] or value
    values = {}
    used = {0}

    def place(node, index):
        labels = [(b, c) for b, c in node.items() if b is not None]
        base = 1
        while True:
            spots = [base ^ b for b, _ in labels] + ([base] if None in node else [])
            if index ^ base < 1 << 20 and not any(s in used for s in spots) and all(s < 1 << 20 for s in spots):
                break
            base += 1
        array[index][1] = index ^ base
        if None in node:
            array[index][2] = 1
            values[base] = node[None]
        used.update(spots)
        for b, _ in labels:
            array[base ^ b] = [b, 0, 0]
        for b, c in labels:
            place(c, base ^ b)

    place(tree, 0)
    n = (max(used) | 255) + 1
    out = []
    for i in range(n):
        if i in values:
            out.append(values[i] | 1 << 31)
        elif i in array:
            label, offset, leaf = array[i]
            out.append(label | leaf << 8 | offset << 10)
        else:
            out.append(1 << 31 | 1)
    trie = b"".join(struct.pack("<I", u & 0xFFFFFFFF) for u in out)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + strings).decode()


MAP = charsmap({"\ufb01": "fi", "\u00bd": "1\u20442", "\uff21": "A", "e\u0301": "\u00e9", "\u3000": " ", "\r\n": " ", "\u00ad": "", "\u212b": "\u00c5",
                "\u0e33": "\u0e4d\u0e32", "ab\u0308": "x"})


def added(content, i, **flags):
    row = dict(id=i, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    row.update(flags)
    return row


def seq(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def norm(*parts):
    return parts[0] if len(parts) == 1 else seq("normalizers", *parts)


def pre(*parts):
    return parts[0] if len(parts) == 1 else seq("pretokenizers", *parts)


def post(*parts):
    return parts[0] if len(parts) == 1 else seq("processors", *parts)


def dec(*parts):
    return parts[0] if len(parts) == 1 else seq("decoders", *parts)


def T(name, **fields):
    return dict(type=name, **fields)


def replace(a, b, regex=False):
    return T("Replace", pattern={"Regex" if regex else "String": a}, content=b)


def split(pattern, behavior, invert=False, string=False):
    return T("Split", pattern={"String" if string else "Regex": pattern}, behavior=behavior, invert=invert)


def meta(scheme="always", split_=True):
    return T("Metaspace", replacement=META, prepend_scheme=scheme, split=split_)


def byte_level(prefix=False, regex=True, trim=True):
    return T("ByteLevel", add_prefix_space=prefix, trim_offsets=trim, use_regex=regex)


def template(before, behind, ids):
    single = [{"SpecialToken": {"id": b, "type_id": 0}} for b in before] + [{"Sequence": {"id": "A", "type_id": 0}}]
    single += [{"SpecialToken": {"id": b, "type_id": 0}} for b in behind]
    pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return T("TemplateProcessing", single=single, pair=pair, special_tokens={k: dict(id=k, ids=v, tokens=[k] * len(v)) for k, v in ids.items()})


LLAMA_DEC = dec(replace(META, " "), T("ByteFallback"), T("Fuse"), T("Strip", content=" ", start=1, stop=0))
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


def models():
    """(name, tokenizer.json as a dict)"""
    out = []

    def put(name, model, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, added_tokens=()):
        n = len(model["vocab"])
        known = dict(model["vocab"]) if isinstance(model["vocab"], dict) else {p: i for i, (p, _) in enumerate(model["vocab"])}
        rows = []
        for a in added_tokens:
            if a["content"] not in known:
                known[a["content"]] = n
                n += 1
            rows.append({**a, "id": known[a["content"]]})
        out.append((name, dict(version="1.0", truncation=None, padding=None, added_tokens=rows, normalizer=normalizer, pre_tokenizer=pre_tokenizer,
                               post_processor=post_processor, decoder=decoder, model=model)))

    special = [added("<s>", 0, special=True), added("</s>", 0, special=True)]
    bos = template(["<s>"], [], {"<s>": [0]})
    put("bare", plain_bpe(unk="<unk>"))
    put("bare_fused", plain_bpe(unk="<unk>", fuse_unk=True), added_tokens=special)
    put("bare_dropped", plain_bpe(), decoder=T("Fuse"))
    put("llama2", meta_bpe(unk="<unk>", bytes_=True, fuse_unk=True), norm(T("Prepend", prepend=META), replace(" ", META)), None, bos, LLAMA_DEC,
        [added("<unk>", 0, special=True)] + special + [added("<chat>", 0, normalized=True, lstrip=True, rstrip=True)])
    put("metaspace_always", meta_bpe(unk="<unk>", bytes_=True), None, meta(), post_processor=template(["<s>"], ["</s>", "x"], {"<s>": [1], "</s>": [2], "x": [3, 4]}),
        decoder=meta(), added_tokens=special)
    put("metaspace_first", meta_bpe(unk="<unk>"), None, meta("first", False), decoder=meta("first"),
        added_tokens=special + [added("<|x|>", 0, rstrip=True), added("\n", 0)])
    put("metaspace_never", meta_bpe(unk="<unk>"), norm(T("Strip", strip_left=True, strip_right=False)), meta("never"), decoder=meta("never"))
    put("first_stripped", meta_bpe(unk="<unk>"), norm(T("Strip", strip_left=True, strip_right=True), T("NFC")), pre(T("WhitespaceSplit"), meta("first")),
        decoder=dec(meta("first"), T("Fuse")))
    put("gpt2", byte_bpe(), None, byte_level(), byte_level(trim=False), byte_level(), [added("<|endoftext|>", 0, special=True)])
    put("gpt2_trim", byte_bpe(), T("NFC"), byte_level(True), byte_level(True), byte_level(), [added("<|endoftext|>", 0, special=True, lstrip=True)])
    put("gpt2_roberta", byte_bpe(), None, byte_level(True), T("RobertaProcessing", sep=["</s>", 1], cls=["<s>", 0], trim_offsets=True, add_prefix_space=True),
        byte_level(), [added("<mask>", 0, special=True, lstrip=True)])
    put("llama3", byte_bpe(ignore_merges=True), None, pre(split(LLAMA3, "Isolated"), byte_level(regex=False)),
        post(byte_level(trim=True), template(["<|b|>"], [], {"<|b|>": [5]})), byte_level(), [added("<|b|>", 0, special=True)])
    put("qwen2", byte_bpe(), T("NFC"), pre(split(QWEN2, "Isolated"), byte_level(regex=False)), byte_level(trim=False), byte_level())
    put("cl100k", byte_bpe(), None, pre(split(CL100K, "Removed", True), byte_level(regex=False)), None, byte_level())
    put("bloom", byte_bpe(), None, pre(split(BLOOM, "Isolated"), byte_level(regex=False)), byte_level(), byte_level())
    put("bloom_removed", byte_bpe(), None, pre(split(BLOOM, "Removed"), byte_level(regex=False)), None, byte_level())
    put("byte_digits", byte_bpe(), None, pre(T("Digits", individual_digits=True), byte_level()), None, byte_level())
    put("falcon", byte_bpe(), None, pre(T("Punctuation", behavior="Contiguous"), byte_level(), T("Digits", individual_digits=False),
                                      split("[0-9][0-9][0-9]", "Isolated")), None, byte_level())
    put("byte_partial", bpe([shown(w) for w in WORDS], [BYTES[b] for b in range(20, 240)], ["<unk>"], unk_token="<unk>", fuse_unk=True), None, byte_level(True),
        byte_level(True), byte_level())
    put("byte_normalizer", byte_bpe(), T("ByteLevel"), None, None, byte_level(), [added("caf\u00e9 x", 0, normalized=True, special=True), added("\u4f60", 0, normalized=True)])
    k = 0
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            k += 1
            pattern = [r"[\s.,]", r"\d+|x", r"(?<=l)o|\b", r"[aeiou]{1,2}+", r"a*"][k % 5]
            put("split_%s_%d" % (behavior.lower(), invert), plain_bpe(unk="<unk>", fuse_unk=True), None, split(pattern, behavior, invert), decoder=T("Fuse"))
    put("split_string", plain_bpe(unk="<unk>"), None, pre(split("lo", "MergedWithNext", string=True), split(" ", "Removed", string=True)))
    put("split_class", plain_bpe(unk="<unk>"), None, pre(split(r"[^\W\d_]|[a-z&&[^aeiou]]|[\P{L}&&\S]", "Isolated"), split(r"(?i)STRA\u00dfe|\h{2,}?|(?m:e.)|[[:punct:]]$", "Isolated")))
    put("whitespace", plain_bpe(unk="<unk>"), None, T("Whitespace"))
    put("pieces", plain_bpe(unk="<unk>"), None, pre(T("WhitespaceSplit"), T("CharDelimiterSplit", delimiter="o"), T("Punctuation", behavior="MergedWithPrevious"),
                                                 T("Digits", individual_digits=False), T("FixedLength", length=3)))
    put("forms_nfd", plain_bpe(unk="<unk>"), norm(T("NFD"), T("StripAccents"), T("Lowercase")))
    put("forms_nfkc", plain_bpe(unk="<unk>"), norm(T("Nmt"), T("NFKC"), replace(" {2,}", " ", True), replace("e", "")), T("WhitespaceSplit"))
    put("forms_nfkd", plain_bpe(unk="<unk>", fuse_unk=True), norm(T("NFKD"), T("Lowercase"), replace(r"(?<=a)b|$", "<>", True)), None, None, None,
        [added("HeLLo", 0, normalized=True, single_word=True), added("lo", 0, single_word=True, lstrip=True)])
    put("forms_nfc", plain_bpe(), norm(T("Lowercase"), T("NFC"), T("Strip", strip_left=False, strip_right=True)), decoder=dec(T("Fuse"), T("Strip", content="h", start=1, stop=2)))
    put("unigram", unigram(), None, meta(), template(["<s>"], ["</s>"], {"<s>": [1], "</s>": [2]}), meta(), [added("<s>", 0, special=True)])
    put("unigram_bytes", unigram(bytes_=True), T("Precompiled", precompiled_charsmap=MAP), meta("first"), None, dec(T("ByteFallback"), meta("first")),
        [added("<pad>", 0, special=True, normalized=True)])
    put("t5", unigram(extra=[("hello", -2.0), ("lo", -1.5)]), norm(T("Precompiled", precompiled_charsmap=MAP), replace(" {2,}", META, True)),
        pre(T("WhitespaceSplit"), meta()), T("BertProcessing", sep=["</s>", 2], cls=["<s>", 1]), dec(meta(), T("Fuse")))
    put("unigram_raw", unigram(bytes_=True, extra=[("Q", -100.0), ("ZQ", -3.25)]), None, None, None, dec(T("ByteFallback"), replace("l", "L"), replace("LL|\u2581", "_", True)))
    put("decoders", meta_bpe(unk="<unk>", bytes_=True), norm(replace(" ", META)), None, None,
        dec(T("Strip", content="l", start=1, stop=0), T("ByteFallback"), T("Fuse"), replace(META + META, "=="), T("Strip", content=META, start=2, stop=1),
            replace("[aeiou]+", "<>", True)))
    put("decoders_bytes", byte_bpe(), None, byte_level(), None, dec(replace(BYTES[32], " "), T("Fuse"), byte_level()), [added("caf\u00e9", 0)])
    put("suffix", plain_bpe(unk="<unk>"), None, T("WhitespaceSplit"), None, T("BPEDecoder", suffix="lo"))
    return out


def texts():
    rng = random.Random(11)
    out = ["", " ", "hello world", "  Hello\nworlds ll\u00e9", "hell <s>hello</s> <s>", "the re's we'll 'S \u2019s it'\u017f 'LL x'Ve",
           "abc\t\tabc \n\n  abc\r\n\r\n x", "1 12 123 1234 12345 \u0663\u0664\u0665 \u00bd \u2167 \u4e00", "\u00e9t\u00e9 e\u0301te\u0301 \u00e5\u0323 a\u0323\u030a a\u0327\u0301\u0323b",
           "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u0645\u0631\u062d\u0628\u0627\u060c", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea!", "\u3000\u00a0\u2003x\u2028y\u2029z\u0085w\u200bv",
           "A\ufb01n \uff21\uff22 \u212b \u00ad soft\u00adhy e\u0301 ab\u0308 \u0e01\u0e33", "<0x41><0xC3><0x", "x<|endoftext|> y  <|endoftext|>z", "a  <chat>  b<chat>c", "<|x|> \n \n<|x|>a",
           "HeLLo hello hellolo lo  lo_lo lo.", "caf\u00e9 x\u4f60caf\u00e9", "\x00\x01\x7f\x9f\u200e\ufeff\ufffd", "STRASSE stra\u00dfe Stra\u1e9ee \u0130I\u0131i \u01c5\u03a3\u03c3\u03c2",
           "(a|b).c,d!e?f\u2026g\u3002h (", "....,,,,!!!!  ??", "_a_b__c-d--e", "loloolloo  ooo", "xx1x11xx\u0661x", "aeiou aabbaab a", "\u1100\u1161\u11a8\uac00\u11a8 \ud55c\uae00",
           "ZQZQQ\u00ff\u0100Z", "  ", "\n", " \n \n ", "\u00a0\u00a0", "l", "lll", "hhhehh", "\u2581 \u2581\u2581x \u2581", "<unk> <unk>x<unk>", "tel:<mask> \t<mask>.", "\u0301\u0301 \u0345\u0301\u0334a",
           "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a\u030b\u030c\u030d\u030e\u030f\u0310\u0311\u0312\u0315\u031bz", "\u0378\U00031350\U0001ccf0\u1c89\ua7cb"]
    kinds = ["abcdefghlorst", "ABC'LS", "0123456789\u0661\u00b2", " \u00a0\t\n\r\u3000", ".,!?-_()|<>'", "\u00e9\u0301\u0308\u0327\u0323", "\u4f60\u597d\u3002\uff0c", "\U0001f600\u200d\ufe0f", "\u017f\u212a\ufb01\uff21\u0130", META + "\u0120\u010a"]
    while len(out) < 64:
        text = ""
        for _ in range(rng.randint(2, 10)):
            k = rng.choice(kinds)
            text += "".join(rng.choice(k) for _ in range(rng.randint(1, 4)))
        out.append(text)
    return out
