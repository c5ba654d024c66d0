"""The two small tokenizers that the round-trip fuzz targets use beside tok_tiny.* and tok512.bin, trained on the prompt in tests/data:
tok_unigram.model (SentencePiece unigram, byte fallback, identity normaliser, spaces kept) and tok_bytelevel.json (GPT-2's split, byte-level BPE).
usage: python tools/oracle/make_fuzz_tokenizers.py   from the root of the repository; versions in requirements.txt"""
import io

import sentencepiece
import tokenizers

TEXT = "tests/data/ref_prompt.txt"

model = io.BytesIO()
with open(TEXT, encoding="utf-8") as f:
    lines = [s for line in f for s in line.replace(". ", ".\n").split("\n") if s]
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(lines), model_writer=model, model_type="unigram", vocab_size=340, byte_fallback=True, character_coverage=1.0,
    normalization_rule_name="identity", remove_extra_whitespaces=False, hard_vocab_limit=False, num_threads=1, minloglevel=2)
with open("tests/data/tok_unigram.model", "wb") as f:
    f.write(model.getvalue())

bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = tokenizers.decoders.ByteLevel()
bpe.train_from_iterator(lines, tokenizers.trainers.BpeTrainer(
    vocab_size=340, show_progress=False, initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())))
bpe.save("tests/data/tok_bytelevel.json", pretty=False)
