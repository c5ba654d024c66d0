#!/usr/bin/env python3
"""Compares the rows that libcspeed reads from Parquet files with pyarrow's.

usage: check_parquet.py LIBCSPEED.SO FILE-OR-FOLDER...  [--make FOLDER]

With --make the files are first written there: codecs x encodings x page versions x kinds of columns, some thousand rows each. A file that one of the
two refuses is listed with both answers. Exit code 1 when rows differ. Versions of the libraries: requirements.txt beside this file.
"""
import argparse
import ctypes
import datetime
import decimal
import json
import math
import os
import sys
import time
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from make_parquet import combinations, write


class Cspeed:
    """cs_parquet of the library; its structs are opaque buffers here."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)

    def rows(self, data, keys=()):
        p = ctypes.create_string_buffer(1024)
        err = ctypes.create_string_buffer(8192)
        r = ctypes.c_void_p()
        text, n, row = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_int64()

        def check(status):
            if status:
                raise ValueError(f"{status}: " + err.raw[4:].split(b"\0")[0].decode("utf-8", "replace"))

        check(self.lib.cs_parquet_init(p, data, ctypes.c_size_t(len(data)), b"f", err))
        check(self.lib.cs_parquet_rows_create(p, ctypes.c_size_t(1 << 30), ctypes.byref(r), err))
        try:
            if keys:
                array = (ctypes.c_char_p * len(keys))(*[k.encode() for k in keys])
                self.lib.cs_parquet_rows_want(r, array, ctypes.c_size_t(len(keys)))
            while True:
                check(self.lib.cs_parquet_rows_next(r, ctypes.byref(text), ctypes.byref(n), ctypes.byref(row), err))
                if not text.value:
                    return
                yield ctypes.string_at(text.value, n.value)
        finally:
            self.lib.cs_parquet_rows_destroy(r)
            self.lib.cs_parquet_release(p)


EPOCH = datetime.datetime(1970, 1, 1)


def plain(v, t):
    """A value of pyarrow as cspeed writes it."""
    if v is None:
        return None
    if pa.types.is_struct(t):
        return {t.field(i).name: plain(v[t.field(i).name], t.field(i).type) for i in range(t.num_fields)}
    if pa.types.is_map(t):
        return [[plain(a, t.key_type), plain(b, t.item_type)] for a, b in v]
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return [plain(a, t.value_type) for a in v]
    if pa.types.is_float32(t) or pa.types.is_float16(t):
        return float(repr(np.float32(v)).split("(")[-1].rstrip(")")) if math.isfinite(v) else None
    if pa.types.is_floating(t):
        return v if math.isfinite(v) else None
    if pa.types.is_decimal(t):
        return format(v, "f")
    if pa.types.is_fixed_size_binary(t):
        return v.hex()
    if isinstance(v, uuid.UUID):
        return str(v)
    if isinstance(v, bytes):
        return v.decode("utf-8")
    return v


def as_integers(column):
    """Dates and times as the integers that are stored."""
    t = column.type
    if pa.types.is_temporal(t):
        return column.cast(pa.int32() if t.bit_width == 32 else pa.int64())
    return column


def theirs(path):
    table = pq.read_table(path, use_threads=False)
    columns = [as_integers(c) for c in table.columns]
    names, types = table.column_names, [c.type for c in columns]
    for batch in range(0, table.num_rows, 4096):
        parts = [c.slice(batch, 4096).to_pylist() for c in columns]
        for row in zip(*parts):
            yield {k: plain(v, t) for k, v, t in zip(names, row, types)}
    if not columns:
        yield from ({} for _ in range(table.num_rows))


def compare(cspeed, path):
    """'' when equal, else what differs."""
    ours, their_error = [], ""
    try:
        for line in cspeed.rows(open(path, "rb").read()):
            ours.append(json.loads(line))
        our_error = ""
    except ValueError as e:
        our_error = str(e)
    try:
        want = list(theirs(path))
    except Exception as e:
        their_error = f"{type(e).__name__}: {e}".replace("\n", " ")[:200]
    if our_error or their_error:
        return f"cspeed: {our_error or str(len(ours)) + ' rows'} | pyarrow: {their_error or str(len(want)) + ' rows'}", bool(our_error) != bool(their_error)
    if len(ours) != len(want):
        return f"{len(ours)} rows, pyarrow has {len(want)}", True
    for i, (a, b) in enumerate(zip(ours, want)):
        if a != b:
            return f"row {i}: {str(a)[:300]} | {str(b)[:300]}", True
    return "", False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lib")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--make")
    args = parser.parse_args()
    if args.make:
        os.makedirs(args.make, exist_ok=True)
        for name, table, options in combinations(3000):
            write(table, os.path.join(args.make, name + ".parquet"), options)
        args.paths.append(args.make)
    cspeed, equal, bad = Cspeed(os.path.abspath(args.lib)), 0, 0
    for path in args.paths:
        files = [path]
        if os.path.isdir(path):
            files = [os.path.join(path, f) for f in sorted(os.listdir(path)) if f.endswith(".parquet")]
        for f in files:
            text, differs = compare(cspeed, f)
            equal += not text
            bad += differs
            if text:
                print(f"{os.path.basename(f)}: {text}")
    print(f"{equal} files equal, {bad} differ")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
