#!/usr/bin/env python3
"""Goldens for the data sets: a small .idx/.bin pair, its index maps, samples and blends, made with numpy alone.

Written from the description of the format and of the order, apart from the C code; the order of draws comes from numpy's own RandomState.
usage: make_indexmap_goldens.py tests/data/indexmap
"""
import math
import os
import struct
import sys

import numpy as np

SEED_CORPUS = 7
LENGTHS_A = [5, 1, 0, 17, 33, 2, 9, 0, 64, 12, 3, 28, 7, 1, 21, 40, 6, 11, 19, 8]
LENGTHS_B = [30, 2, 14, 25, 3, 3, 50, 9, 10, 16, 22]
# corpus, split name, --split, samples, seq_length, seed
MAPS = [
    ("a", "train", "8,1,1", 58, 16, 1234),   # several epochs, one shuffle
    ("a", "train", "8,1,1", 68, 8, 5),       # last epoch apart
    ("a", "valid", "5,5,0", 40, 4, 2023),    # documents from the middle
    ("a", "train", "1,0,0", 3, 10, 1),       # one epoch
    ("b", "train", "949,50,1", 300, 7, 99),  # many epochs
]
BLENDS = [([0.3, 0.7], 50), ([1.0, 1.0, 1.0], 20), ([0.05, 0.6, 0.35], 2500), ([5.0], 4)]
BLENDED_SAMPLES = dict(weights=[0.25, 0.75], corpora=["a", "b"], split="9,1,0", n=37, seq=6, seed=42)


def write_pair(prefix, lengths, dtype, code, vocab):
    rng = np.random.RandomState(SEED_CORPUS)
    docs = [rng.randint(0, vocab, size=n).astype(dtype) for n in lengths]
    with open(prefix + ".bin", "wb") as f:
        for d in docs:
            f.write(d.tobytes(order="C"))
    pointers = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) * np.dtype(dtype).itemsize
    with open(prefix + ".idx", "wb") as f:
        f.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(lengths), len(lengths) + 1))
        f.write(np.array(lengths, dtype=np.int32).tobytes() + pointers.tobytes() + np.arange(len(lengths) + 1, dtype=np.int64).tobytes())
    return docs


def borders(split, n):
    share = [float(s) for s in split.split(",")]
    share = [s / sum(share) for s in share]
    out = [0]
    for s in share:
        out.append(out[-1] + int(round(s * float(n))))
    surplus = out[-1] - n
    return [0] + [b - surplus for b in out[1:]]


def documents_of(docs, split, name):
    b = borders(split, len(docs))
    i = ["train", "valid", "test"].index(name)
    return np.arange(b[i], b[i + 1])


def maps(lengths, documents, n, seq, seed):
    rng = np.random.RandomState(seed)
    tokens = int(sum(lengths[d] for d in documents))
    epochs = 1
    while (epochs * tokens - 1) // seq < n:
        epochs += 1
    before = ((epochs - 1) * tokens - 1) // seq
    apart = epochs > 1 and n - before < int(0.80 * ((tokens - 1) // seq))

    def shuffled_docs(times):
        v = np.concatenate([documents] * times).astype(np.int32)
        rng.shuffle(v)
        return v

    doc = np.concatenate([shuffled_docs(epochs - 1), shuffled_docs(1)]) if apart else shuffled_docs(epochs)
    # every token of the stream has a place (position in doc, offset); sample k starts at token k*seq
    place = [(p, o) for p, d in enumerate(doc) for o in range(lengths[d])]
    total = (epochs * tokens - 1) // seq
    sample = np.array([(0, 0)] + [place[k * seq] for k in range(1, total + 1)], dtype=np.int32)
    first = np.arange(before if apart else total, dtype=np.uint32)
    rng.shuffle(first)
    shuffle = first
    if apart:
        last = np.arange(before, total, dtype=np.uint32)
        rng.shuffle(last)
        shuffle = np.concatenate([first, last])
    return doc, sample, shuffle, epochs, apart


def samples(docs, doc, shuffle, seq):
    stream = np.concatenate([docs[d].astype(np.int32) for d in doc])
    return np.stack([stream[k * seq : k * seq + seq + 1] for k in shuffle])


def blend(weights, size):
    weights = np.array(weights, dtype=np.float64)
    weights /= np.sum(weights)
    given = np.zeros(len(weights), dtype=np.int64)
    rows = []
    for i in range(size):
        k = int(np.argmax(weights * max(float(i), 1.0) - given))
        rows.append((k, given[k]))
        given[k] += 1
    return np.array(rows, dtype=np.int64)


def main(out):
    os.makedirs(out, exist_ok=True)
    at = lambda name: os.path.join(out, name)
    corpora = {"a": write_pair(at("a"), LENGTHS_A, np.uint16, 8, 300), "b": write_pair(at("b"), LENGTHS_B, np.int32, 4, 300)}
    for corpus, name, split, n, seq, seed in MAPS:
        docs = corpora[corpus]
        documents = documents_of(docs, split, name)
        doc, sample, shuffle, epochs, apart = maps([len(d) for d in docs], documents, n, seq, seed)
        stem = at(f"{corpus}_{name}_indexmap_{n}ns_{seq}sl_{seed}s_")
        np.save(stem + "doc_idx.npy", doc)
        np.save(stem + "sample_idx.npy", sample)
        np.save(stem + "shuffle_idx.npy", shuffle)
        np.save(stem + "tokens.npy", samples(docs, doc, shuffle, seq))
        print(corpus, name, documents[0], documents[-1], "epochs", epochs, "last apart" if apart else "together", "samples", len(shuffle))
    for i, (weights, size) in enumerate(BLENDS):
        np.save(at(f"blend{i}.npy"), blend(weights, size))
    b = BLENDED_SAMPLES
    share = [w / sum(b["weights"]) for w in b["weights"]]
    parts = []
    for corpus, w in zip(b["corpora"], share):
        docs = corpora[corpus]
        ask = int(math.ceil(b["n"] * w * 1.005))
        doc, _, shuffle, _, _ = maps([len(d) for d in docs], documents_of(docs, b["split"], "train"), ask, b["seq"], b["seed"])
        parts.append(samples(docs, doc, shuffle, b["seq"]))
    np.save(at("blended_tokens.npy"), np.stack([parts[k][j] for k, j in blend(share, b["n"])]))


if __name__ == "__main__":
    main(sys.argv[1])
