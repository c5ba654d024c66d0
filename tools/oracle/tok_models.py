"""Tokenizers to compare: rows of (name, path for cspeed, library object), real vocabularies from the shared data and models trained here."""
import json
import os
import shutil

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from make_tok_gguf import sentencepiece_of

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM_SPLIT = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
USER = ["<user>", "\u2581hello", "ab", "<|x|>", "aba", "  ", "\u00e9t\u00e9", "\uff21"]

# name -> options of SentencePieceTrainer
TRAINED = {
    "uni_identity_bf": dict(model_type="unigram", normalization_rule_name="identity", byte_fallback=True, vocab_size=3000),
    "uni_nmt": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=2500),
    "uni_nmt_bf": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", byte_fallback=True, vocab_size=2500),
    "uni_nfkc_user": dict(model_type="unigram", normalization_rule_name="nfkc", byte_fallback=True, vocab_size=2500, user_defined_symbols=USER,
                          control_symbols=["<ctl>", "<c2>"]),
    "uni_nmt_user_cf": dict(model_type="unigram", normalization_rule_name="nmt_nfkc_cf", vocab_size=2000, user_defined_symbols=USER),
    "uni_raw_spaces": dict(model_type="unigram", normalization_rule_name="identity", byte_fallback=True, vocab_size=2500, add_dummy_prefix=False,
                           remove_extra_whitespaces=False),
    "uni_keep_spaces": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=2500, remove_extra_whitespaces=False,
                            allow_whitespace_only_pieces=True, split_by_whitespace=False),
    "uni_suffix": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=2500, treat_whitespace_as_suffix=True),
    "uni_no_prefix": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=2500, add_dummy_prefix=False),
    "bpe_nmt": dict(model_type="bpe", normalization_rule_name="nmt_nfkc", vocab_size=2500),
    "bpe_nfkc_cf_bf": dict(model_type="bpe", normalization_rule_name="nfkc_cf", byte_fallback=True, vocab_size=2500),
    "bpe_user": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=2500, user_defined_symbols=USER,
                     control_symbols=["<ctl>"], remove_extra_whitespaces=False),
    "bpe_user_nmt": dict(model_type="bpe", normalization_rule_name="nmt_nfkc", vocab_size=2500, user_defined_symbols=USER),
    "bpe_suffix": dict(model_type="bpe", normalization_rule_name="nmt_nfkc", vocab_size=2500, treat_whitespace_as_suffix=True),
    "bpe_suffix_raw": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=2500, treat_whitespace_as_suffix=True,
                           remove_extra_whitespaces=False),
    "bpe_raw_spaces": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=2500, add_dummy_prefix=False,
                           remove_extra_whitespaces=False, allow_whitespace_only_pieces=True),
    "uni_rules": dict(model_type="unigram", normalization_rule_tsv="RULES", byte_fallback=True, vocab_size=2000),
    "bpe_rules_suffix": dict(model_type="bpe", normalization_rule_tsv="RULES", vocab_size=2000, treat_whitespace_as_suffix=True, user_defined_symbols=USER),
    "uni_other_ids": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=2000, unk_id=3, bos_id=-1, eos_id=1, pad_id=0),
    "bpe_other_ids": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, vocab_size=2000, unk_id=7, bos_id=2, eos_id=-1, pad_id=0,
                          unk_piece="[UNK]", bos_piece="[BOS]", pad_piece="[PAD]", user_defined_symbols=["[BOS", "x[UNK]"]),
}
# A normaliser of our own: rules to blanks, to nothing, from and to several code points, one a prefix of another, one over a blank.
RULES = [("a b", "b "), ("\u00e9", "e\u0301"), ("\u00a0", " "), ("\t", "  x"), ("\u200b", ""), ("\uff5e", " \uff5e "), ("ab", "\u2581"), ("abc", "C"),
         ("\u4e00", "\u58f9\u4e00"), ("\U0001f600", ":) "), ("  ", "_"), ("\n\n", "\n")]


def corpus(work, texts, limit=1_500_000):
    path = os.path.join(work, "corpus.txt")
    if not os.path.exists(path):
        step = max(1, sum(map(len, texts)) // limit)
        with open(path + ".new", "w", encoding="utf-8") as f:
            for t in texts[::step]:
                for line in t.split("\n"):
                    line = "".join(c for c in line if c not in "\0\r")
                    if line.strip():
                        f.write(line[:2000] + "\n")
        os.rename(path + ".new", path)
    return path


def train(work, name, texts, options=None):
    """A SentencePiece model, trained once per work folder."""
    base = os.path.join(work, name)
    if not os.path.exists(base + ".model"):
        options = dict(options or TRAINED[name])
        if options.get("normalization_rule_tsv"):
            options["normalization_rule_tsv"] = os.path.join(work, "rules.tsv")
            with open(options["normalization_rule_tsv"], "w") as f:
                for a, b in RULES:
                    f.write(" ".join("%X" % ord(c) for c in a) + "\t" + " ".join("%X" % ord(c) for c in b) + "\n")
        spm.SentencePieceTrainer.train(**{"input": corpus(work, texts), "model_prefix": base + ".new", "num_threads": 1, "minloglevel": 2,
                                          "max_sentence_length": 8000, "hard_vocab_limit": False, "character_coverage": 0.995, **options})
        os.rename(base + ".new.model", base + ".model")
    return base + ".model"


def edited(work, name, source, edit):
    """A model file changed by edit(proto)."""
    m = pb.ModelProto()
    m.ParseFromString(open(source, "rb").read())
    edit(m)
    path = os.path.join(work, name + ".model")
    open(path, "wb").write(m.SerializeToString())
    return path


def make_unused(m):
    for i, p in enumerate(m.pieces):
        if i % 3 == 0 and p.type == 1 and len(p.piece) > 1:
            p.type = 5


def no_escape(m):
    m.normalizer_spec.escape_whitespaces = False


def coarse_scores(m):
    """Many equal scores."""
    for p in m.pieces:
        if p.type == 1:
            p.score = float(int(p.score / 7)) if p.score < -100 else float(round(p.score))


def own_folder(work, name, files):
    """A folder that holds these files and nothing that would refine them."""
    d = os.path.join(work, name)
    os.makedirs(d, exist_ok=True)
    for f in files:
        shutil.copyfile(f, os.path.join(d, os.path.basename(f)))
    return d


def write_json(work, name, tok):
    d = os.path.join(work, name)
    os.makedirs(d, exist_ok=True)
    tok.save(os.path.join(d, "tokenizer.json"))
    return d


def byte_level(vocab, merges, add_prefix_space=False, split=None, ignore_merges=False, specials=()):
    """A byte-level BPE as transformers' converters of GPT-2, Bloom and LLaMA 3 build it."""
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=split is None)
    if split is None:
        tok.pre_tokenizer = level
    else:
        tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), level])
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in specials])
    return tok


def read_pair(folder):
    vocab = json.load(open(os.path.join(folder, "vocab.json"), encoding="utf-8"))
    return vocab, read_merges(os.path.join(folder, "merges.txt"))


def read_merges(path):
    lines = open(path, encoding="utf-8").read().split("\n")
    return [tuple(x.split(" ")) for x in lines if x and not x.startswith("#version")]


def bytes_alphabet():
    kept = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    return sorted(kept + [0x100 + i for i in range(68)])


def bloom(shared):
    """BLOOM's vocabulary out of its merge list, by the rule in the data's PROVENANCE.md."""
    # The file is cut out of a tokenizer.json: quotes and backslashes are still escaped.
    merges = [tuple(json.loads(f'"{x}"') for x in m) for m in read_merges(os.path.join(shared, "tokenizers/bloom/merges.txt"))]
    absent = [0xC0, 0xC1, 0x11F] + list(range(0xF5, 0x100))  # which one is the 14th is not known; taken to be that of byte 0x1F
    letters = [chr(c) for c in bytes_alphabet() if c not in absent]
    vocab = {t: i for i, t in enumerate(["<unk>", "<s>", "</s>", "<pad>"] + letters + [a + b for a, b in merges])}
    return byte_level(vocab, merges, split=BLOOM_SPLIT, specials=["<unk>", "<s>", "</s>", "<pad>"])


def llama3_type(shared):
    """GPT-2's merges behind LLaMA 3's word pattern, ignore_merges and BOS template."""
    vocab, merges = read_pair(os.path.join(shared, "tokenizers/gpt2"))
    for w in ("zzzz", "qqq1", "\u0120xyzzyx"):
        vocab[w] = len(vocab)  # whole words that no merge reaches
    tok = byte_level(vocab, merges, split=LLAMA3_SPLIT, ignore_merges=True, specials=["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    bos = "<|begin_of_text|>"
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tok.token_to_id(bos))])])
    return tok


def unigram_json(model_file, escape_only=False):
    """A fast tokenizer of a SentencePiece unigram model as transformers' converter builds it."""
    m = pb.ModelProto()
    m.ParseFromString(open(model_file, "rb").read())
    tok = Tokenizer(models.Unigram([(p.piece, p.score) for p in m.pieces], unk_id=m.trainer_spec.unk_id, byte_fallback=m.trainer_spec.byte_fallback))
    steps = []
    if m.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "\u2581")]
    tok.normalizer = normalizers.Sequence(steps)
    scheme = "always" if m.normalizer_spec.add_dummy_prefix else "never"
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=scheme)
    tok.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme=scheme)
    tok.add_special_tokens([AddedToken(p.piece, normalized=False, special=True) for p in m.pieces if p.type in (2, 3)])
    tok.add_tokens([AddedToken(p.piece, normalized=False, special=False) for p in m.pieces if p.type == 4])
    return tok


def gguf_pair(work, path):
    """A GGUF vocabulary and the SentencePiece model that has the same pieces."""
    model = os.path.join(work, "gguf.model")
    with open(model, "wb") as f:
        f.write(sentencepiece_of(path).serialized_model_proto())
    return path, model


ADDED = [AddedToken("<|a|>", special=True, normalized=False), AddedToken("<|l|>", special=True, normalized=False, lstrip=True),
         AddedToken("<|r|>", special=True, normalized=False, rstrip=True), AddedToken("<|lr|>", special=False, normalized=False, lstrip=True, rstrip=True),
         AddedToken("hello w", special=False, normalized=True), AddedToken("<n> x", special=True, normalized=True), AddedToken("<|a|><", special=False)]


def with_added(tok):
    for a in ADDED:
        (tok.add_special_tokens if a.special else tok.add_tokens)([a])
    return tok


def llama_metaspace(shared, scheme):
    """LLaMA's tokenizer.json as transformers writes it for legacy=False: no normalizer, Metaspace in front of the model."""
    tok = Tokenizer.from_file(os.path.join(shared, "tokenizers/llama/tokenizer.json"))
    j = json.loads(tok.to_str())
    j["normalizer"] = None
    for a in j["added_tokens"]:
        a["normalized"] = False
    tok = Tokenizer.from_str(json.dumps(j))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=scheme, split=False)
    return with_added(tok)


def spm_rows(shared, work, texts):
    """(name, model file or (file for cspeed, model file for the library), or a function that makes it)"""
    rows = [(n, os.path.join(own_folder(work, "spm_" + n, [os.path.join(shared, "tokenizers", f)]), os.path.basename(f))) for n, f in (
        ("llama", "llama/tokenizer.model"), ("internlm", "internlm/tokenizer.model"), ("small_spm", "small_spm/test_sentencepiece_bpe.model"))]
    rows += [("llama.gguf", (os.path.join(shared, "tokenizers/llama/ggml-vocab-llama-spm.gguf"), rows[0][1])),
             ("baichuan.gguf", lambda: gguf_pair(work, os.path.join(shared, "tokenizers/baichuan/ggml-vocab-baichuan.gguf")))]
    rows += [(n, lambda n=n: train(work, n, texts)) for n in TRAINED]
    rows += [(n, lambda n=n, source=source, edit=edit: edited(work, n, train(work, source, texts), edit)) for n, source, edit in (
        ("bpe_unused", "bpe_nmt", make_unused), ("bpe_user_unused", "bpe_user", make_unused), ("uni_unused", "uni_nmt_bf", make_unused),
        ("bpe_equal", "bpe_nmt", coarse_scores), ("uni_equal", "uni_identity_bf", coarse_scores), ("bpe_no_escape", "bpe_user", no_escape),
        ("uni_no_escape", "uni_nmt", no_escape))]
    return rows


def hf_rows(shared, work, texts):
    """(name, maker of (path for cspeed, Tokenizer))"""
    T = os.path.join(shared, "tokenizers")

    def from_file(name):
        d = own_folder(work, "hf_" + name, [os.path.join(T, name, "tokenizer.json")])
        return d, Tokenizer.from_file(os.path.join(d, "tokenizer.json"))

    def pair(name, specials):
        d = own_folder(work, "pair_" + name, [os.path.join(T, name, "vocab.json"), os.path.join(T, name, "merges.txt")])
        vocab, merges = read_pair(d)
        return d, byte_level(vocab, merges, specials=specials)

    def bloom_merges():
        d = own_folder(work, "bloom_merges", [os.path.join(T, "bloom/merges.txt")])
        return d, bloom(shared)

    def built(name, tok):
        return write_json(work, name, tok), tok

    rows = [("llama.json", lambda: from_file("llama")), ("gpt2.json", lambda: from_file("gpt2")),
            ("gpt2 pair", lambda: pair("gpt2", ["<|endoftext|>"])), ("aquila pair", lambda: pair("aquila", ["<|endoftext|>"])),
            ("bloom.json", lambda: built("hf_bloom", bloom(shared))), ("bloom merges", bloom_merges),
             ("llama3 type", lambda: built("hf_llama3", llama3_type(shared)))]
    rows += [("llama added", lambda: built("hf_llama_added", with_added(Tokenizer.from_file(os.path.join(T, "llama/tokenizer.json"))))),
             ("llama meta first", lambda: built("hf_llama_first", llama_metaspace(shared, "first"))),
             ("llama meta always", lambda: built("hf_llama_always", llama_metaspace(shared, "always"))),
             ("gpt2 added", lambda: built("hf_gpt2_added", with_added(byte_level(*read_pair(os.path.join(T, "gpt2")), add_prefix_space=True,
                                                                                  specials=["<|endoftext|>"]))))]
    for n in ("uni_nmt", "uni_identity_bf", "uni_nfkc_user", "uni_no_prefix"):
        rows.append((n + ".json", lambda n=n: built("hf_" + n, unigram_json(train(work, n, texts)))))
    return rows
