#!/usr/bin/env python3
"""Small Parquet files of pyarrow for tests/golden/parquet, and the rows of each kind of table as JSON lines: KIND.jsonl is for all *_KIND.parquet.

usage: make_parquet.py FOLDER            versions of the libraries: requirements.txt beside this file

The combinations: codec x encoding x page version x kind of table. The committed files have a few rows; check_parquet.py makes them with thousands.
"""
import decimal
import json
import os
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

CODECS = ["none", "snappy", "gzip", "zstd", "lz4"]  # pyarrow writes LZ4_RAW for lz4
ENCODINGS = {
    "plain": {},
    "dict": {"use_dictionary": True},
    "deltalen": {"column_encoding": "DELTA_LENGTH_BYTE_ARRAY"},
    "deltabytes": {"column_encoding": "DELTA_BYTE_ARRAY"},
}
WORDS = ["zero", "eins", "dos", "три", "四", "пять \"six\"", "back\\slash", "new\nline", "\t", "", "😀", "a long string that is repeated " * 3]


def text(rng, n, nulls):
    return [None if nulls and rng.random() < 0.3 else rng.choice(WORDS) + (str(rng.randrange(n)) if rng.random() < 0.5 else "") for _ in range(n)]


def flat(rng, n, nulls):
    """Strings only, so that every string encoding fits every column."""
    return pa.table({"question": pa.array(text(rng, n, nulls), pa.string()), "answer": pa.array(text(rng, n, False), pa.string())})


def nested(rng, n):
    def turn():
        return {"from": rng.choice([None, "human", "gpt"]), "value": rng.choice([None] + WORDS)}

    def turns():
        return rng.choice([None, [], [None], [turn() for _ in range(rng.randrange(1, 5))], [turn(), None, turn()]])

    def tags():
        return None if rng.random() < 0.2 else [[rng.choice(WORDS) for _ in range(rng.randrange(3))] for _ in range(rng.randrange(3))]

    turn_type = pa.struct([("from", pa.string()), ("value", pa.string())])
    return pa.table({
        "id": pa.array([f"r{i}" for i in range(n)], pa.string()),
        "conversations": pa.array([turns() for _ in range(n)], pa.list_(turn_type)),
        "tags": pa.array([tags() for _ in range(n)], pa.list_(pa.list_(pa.string()))),
        "meta": pa.array([None if rng.random() < 0.2 else {"source": rng.choice(WORDS), "parts": turns()} for _ in range(n)],
                         pa.struct([("source", pa.string()), ("parts", pa.list_(turn_type))])),
        "pairs": pa.array([rng.choice([None, [], [("a", "1"), ("b", None)]]) for _ in range(n)], pa.map_(pa.string(), pa.string())),
    })


def numbers(rng, n):
    def some(make):
        return [None if rng.random() < 0.2 else make() for _ in range(n)]

    def whole(bits, signed=True):
        low = -(1 << (bits - 1)) if signed else 0
        high = (1 << (bits - 1 if signed else bits)) - 1
        return lambda: rng.choice([low, high, 0, rng.randint(low, high), rng.randint(0, 100)])

    real = lambda: rng.choice([0.0, -0.0, 0.1, 1e300, 5e-324, float("inf"), float("nan"), rng.uniform(-1, 1), 3.0])
    return pa.table({
        "b": pa.array(some(lambda: rng.random() < 0.5), pa.bool_()),
        "i8": pa.array(some(whole(8)), pa.int8()),
        "i32": pa.array(some(whole(32)), pa.int32()),
        "u32": pa.array(some(whole(32, False)), pa.uint32()),
        "i64": pa.array(some(whole(64)), pa.int64()),
        "u64": pa.array(some(whole(64, False)), pa.uint64()),
        "f32": pa.array(some(lambda: rng.choice([0.1, 1e30, 1e-45, rng.uniform(-1, 1), 16777216.0])), pa.float32()),
        "f64": pa.array(some(real), pa.float64()),
        "d": pa.array(some(lambda: rng.randint(0, 20000)), pa.int32()).cast(pa.date32()),
        "t": pa.array(some(whole(60)), pa.int64()).cast(pa.timestamp("us")),
        "dec": pa.array(some(lambda: decimal.Decimal(rng.randint(-10**20, 10**20)).scaleb(-3)), pa.decimal128(30, 3)),
        "fixed": pa.array(some(lambda: bytes(rng.randrange(256) for _ in range(5))), pa.binary(5)),
    })


def combinations(n):
    """(name, table, options of write_table)"""
    for version in ["1.0", "2.0"]:
        for codec in CODECS:
            for encoding, more in ENCODINGS.items():
                options = {"compression": codec, "data_page_version": version, "use_dictionary": False, "write_page_checksum": codec != "none", **more}
                stem = f"v{version[0]}_{codec}_{encoding}"
                yield stem + "_nulls", flat(random.Random(1), n, True), options
                yield stem + "_nested", nested(random.Random(2), n), options
                yield stem + "_groups", flat(random.Random(3), n, False), {**options, "row_group_size": max(1, n // 4), "data_page_size": 64, "write_batch_size": 2}
                yield stem + "_empty", flat(random.Random(1), 0, True), options
        for codec in ["none", "zstd"]:
            for encoding, columns in {"plain": {}, "dict": None, "delta": dict.fromkeys(["i8", "i32", "u32", "i64", "u64", "d", "t"], "DELTA_BINARY_PACKED"),
                                      "split": dict.fromkeys(["f32", "f64", "i32", "u32", "i64", "u64", "fixed"], "BYTE_STREAM_SPLIT")}.items():
                options = {"compression": codec, "data_page_version": version, "use_dictionary": columns is None, "column_encoding": columns or None}
                if version == "2.0" and columns == {}:
                    options["column_encoding"] = {"b": "RLE"}
                yield f"v{version[0]}_{codec}_{encoding}_numbers", numbers(random.Random(4), n), options


def write(table, path, options):
    options = dict(options)
    if isinstance(options.get("column_encoding"), str):  # one for all leaves
        paths = [pq.ParquetSchema.column(schema_of(table), i).path for i in range(len(schema_of(table)))]
        options["column_encoding"] = dict.fromkeys(paths, options["column_encoding"])
    pq.write_table(table, path, store_schema=False, write_statistics=False, **options)


def schema_of(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table.slice(0, 0), sink)
    return pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema


def main():
    from check_parquet import theirs

    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    expected = {}
    for name, table, options in combinations(6):
        path = os.path.join(folder, name + ".parquet")
        write(table, path, options)
        lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in theirs(path))
        kind = name.rsplit("_", 1)[1]
        assert expected.setdefault(kind, lines) == lines, name
    for kind, lines in expected.items():
        with open(os.path.join(folder, kind + ".jsonl"), "w", encoding="utf-8") as f:
            f.write(lines)


if __name__ == "__main__":
    main()
