#!/usr/bin/env python3
"""Opens the file that tests/unit/test_torch_write writes with torch.load(weights_only=True) and checks all that is in it.

usage: CS_TORCH_OUT=FOLDER build/tests/unit/test_torch_write; check_torch_written.py FOLDER/written.pt
"""
import sys
import zipfile

import torch
from torch.utils.serialization import config

NAMES = ["f64", "f32", "bf16", "f16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool"]
DTYPES = dict(f64=torch.float64, f32=torch.float32, f16=torch.float16, bf16=torch.bfloat16, i64=torch.int64, i32=torch.int32, i16=torch.int16,
              i8=torch.int8, u8=torch.uint8, bool=torch.bool)
INTS = [0, 1, 255, 256, 65535, 65536, -1, -128, -70000, 2**31 - 1, -2**31, 2**31, -2**31 - 1, 2**39, 2**39 - 1, -2**39, -2**39 - 1, 2**55,
        2**63 - 1, -2**63]


def want(tag, dtype, shape):
    n = torch.empty(shape, dtype=dtype).nbytes
    data = bytes((i % 3 == 0) if dtype == torch.bool else (i * 13 + tag * 7) % 61 for i in range(n))
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape) if n else torch.empty(shape, dtype=dtype)


def same(got, tag, dtype, shape):
    w = want(tag, dtype, shape)
    assert got.dtype == dtype and got.shape == w.shape and not got.requires_grad and got.is_contiguous(), (tag, got.dtype, got.shape)
    assert torch.equal(got.reshape(-1).view(torch.uint8), w.reshape(-1).view(torch.uint8)) if got.numel() else True, tag


def check(d):
    m = d["model"]
    assert list(d) == ["model", "ints", "state", "checkpoint_version", "模型", "flags"]
    for name, dtype in DTYPES.items():
        same(m[name], NAMES.index(name), dtype, (3, 5))
    same(m["large"], 100, torch.int16, (3, 1000, 301))
    same(m["tied"], 100, torch.int16, (3, 1000, 301))
    assert m["tied"].data_ptr() == m["large"].data_ptr()
    same(m["scalar"], 101, torch.float32, ())
    same(m["empty"], 102, torch.float32, (4, 0, 5))
    same(m["four"], 103, torch.uint8, (2, 1, 3, 70000))
    assert d["ints"] == INTS and all(type(i) is int for i in d["ints"])
    same(d["state"][0]["step"], 110, torch.float32, (1,))
    same(d["state"][1]["step"], 111, torch.float32, (1,))
    assert d["checkpoint_version"] == 3.0 and type(d["checkpoint_version"]) is float
    assert d["模型"] == "\U0001f642 \n" and d["flags"] == [True, False, None, [], {}]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = sys.argv[1]
    assert zipfile.ZipFile(path).testzip() is None
    check(torch.load(path, weights_only=True))
    check(torch.load(path, weights_only=True, mmap=True))
    with config.patch({"load.calculate_storage_offsets": True}):  # PyTorch's own idea of where its writer puts things
        check(torch.load(path, weights_only=True))
    print("opened, all equal")


main()
