#!/usr/bin/env python3
"""Encoding speed of cspeed, the SentencePiece library and HF tokenizers on the same text, one thread each, in turns.

A tokenizer is a tokenizer.model (SentencePiece is the peer), a tokenizer.json (HF tokenizers is the peer), or a folder with vocab.json and
merges.txt (HF tokenizers, built from the two). Every round runs each program once over the text, in lines and in documents of 16 KiB; a program's
figure is the median over the rounds of its best pass in that round, in MB of text per second of processor time of the thread that encodes. Ids are
compared too: a program that encodes something else is not a peer.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
DOCUMENT_BYTES = 16384


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cspeed", default="build/cspeed")
    p.add_argument("--tokenizer", nargs="+", required=True)
    p.add_argument("--input", nargs="+", required=True, help="plain text; of .json and .jsonl files all strings, one a line")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--passes", type=int, default=3, help="passes of one round; the best counts")
    p.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    return p.parse_args()


def strings(value):
    if isinstance(value, str):
        yield value
    for v in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(v)


def read_text(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if path.endswith((".json", ".jsonl")):
        try:
            rows = [json.loads(text)]
        except json.JSONDecodeError:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        text = "\n".join(strings(rows)) + "\n"
    return text


def cut(text, least):
    """Pieces that end behind a line end once they have `least` bytes, as `cspeed bench tokenize` cuts them."""
    pieces, start, size = [], 0, 0
    for line in text.split("\n"):
        size += len(line.encode()) + 1
        if size >= least:
            pieces.append(size)
            size = 0
    data, at = text.encode(), 0
    pieces = [data[at:(at := at + n)].decode() for n in pieces]
    return [p for p in pieces + [data[at:].decode()] if p]


class SentencePiece:
    def __init__(self, path):
        import sentencepiece

        self.name, self.version = "SentencePiece", sentencepiece.__version__
        self.processor = sentencepiece.SentencePieceProcessor(model_file=path)

    def encode(self, pieces):
        return [self.processor.encode(p) for p in pieces]


class HuggingFace:
    def __init__(self, path):
        import tokenizers

        self.name, self.version = "HF tokenizers", tokenizers.__version__
        if os.path.isdir(path):
            self.tokenizer = tokenizers.ByteLevelBPETokenizer(path + "/vocab.json", path + "/merges.txt")
        else:
            self.tokenizer = tokenizers.Tokenizer.from_file(path)

    def encode(self, pieces):
        return [e.ids for e in (self.tokenizer.encode(p, add_special_tokens=False) for p in pieces)]


def peer_pass(peer, pieces, passes):
    best = float("inf")
    for _ in range(passes):
        start = time.thread_time()
        peer.encode(pieces)
        best = min(best, time.thread_time() - start)
    return best


def cspeed_pass(a, tokenizer, path):
    command = [a.cspeed, "bench", "tokenize", "--tokenizer-name-or-path", tokenizer, "--input", path, "--repeat", str(a.passes), "--threads", "1", "--json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rows"]
    return {r["name"]: r["value"] for r in rows}


def same_ids(a, peer, tokenizer, lines):
    """Share of lines whose ids agree. The line end goes with the line."""
    command = [a.cspeed, "tokenize", "--tokenizer-name-or-path", tokenizer, "--jsonl", "--no-special-tokens"]
    asked = "".join(json.dumps(p) + "\n" for p in lines)
    ours = subprocess.run(command, check=True, capture_output=True, text=True, input=asked).stdout.splitlines()
    return sum(json.loads(x) == y for x, y in zip(ours, peer.encode(lines))) / len(lines)


def measure(a, tokenizer, path, text):
    peer = SentencePiece(tokenizer) if tokenizer.endswith(".model") else HuggingFace(tokenizer)
    lines, documents, mb = cut(text, 1), cut(text, DOCUMENT_BYTES), len(text.encode()) * 1e-6
    got = {"ours": [], "peer lines": [], "peer documents": []}
    for _ in range(a.rounds):
        got["ours"].append(cspeed_pass(a, tokenizer, path))
        got["peer lines"].append(mb / peer_pass(peer, lines, a.passes))
        got["peer documents"].append(mb / peer_pass(peer, documents, a.passes))
    ours = {k: statistics.median(r[k] for r in got["ours"]) for k in got["ours"][0]}
    peer_lines, peer_documents = statistics.median(got["peer lines"]), statistics.median(got["peer documents"])
    return {"peer": peer.name, "version": peer.version, "lines": ours["encode lines"], "documents": ours["encode documents of 16 KiB"],
            "first_pass": ours["encode lines, first pass"], "peer_lines": peer_lines, "peer_documents": peer_documents,
            "ratio_lines": ours["encode lines"] / peer_lines, "ratio_documents": ours["encode documents of 16 KiB"] / peer_documents,
            "one_letter": ours["time of one letter / ordinary"], "no_spaces": ours["time without spaces / ordinary"],
            "same_lines": same_ids(a, peer, tokenizer, lines)}


def main():
    a = arguments()
    for path in a.input:
        text = read_text(path)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as f:
            f.write(text)
            f.flush()
            for tokenizer in a.tokenizer:
                r = measure(a, tokenizer, f.name, text)
                r.update(tokenizer="/".join(tokenizer.rstrip("/").split("/")[-2:]), text=os.path.basename(path), mb=round(len(text.encode()) * 1e-6, 2))
                if a.json:
                    print(json.dumps(r), flush=True)
                    continue
                print(f"{r['tokenizer']}, {r['text']} ({r['mb']} MB), {r['peer']} {r['version']}, same ids on {100 * r['same_lines']:.1f}% of lines\n"
                      f"  lines     {r['lines']:7.1f} MB/s, peer {r['peer_lines']:6.2f}, ratio {r['ratio_lines']:5.1f}  (first pass {r['first_pass']:.1f} MB/s)\n"
                      f"  documents {r['documents']:7.1f} MB/s, peer {r['peer_documents']:6.2f}, ratio {r['ratio_documents']:5.1f}\n"
                      f"  1 MB of one letter {r['one_letter']:.2f}, without spaces {r['no_spaces']:.2f} times the time of ordinary text", flush=True)


if __name__ == "__main__":
    sys.exit(main())
