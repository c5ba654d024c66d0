#!/usr/bin/env python3
"""Makes tests/data/torch/*.pt with torch.save, and expected.json: what the reader must find in them.

usage: make_torch_goldens.py tests/data/torch     (versions: requirements.txt beside this file)

expected.json: for each file either {"error": text} (the message must have it) or {"from": path, "tensors": [...]}, a tensor being name, dtype,
shape, stride, first (element of its storage), storage (equal numbers = one storage) and hex (its elements in row-major order).
The files come out the same every time, but for legacy.pt, which names its storages by their addresses.
"""
import argparse
import collections
import io
import json
import os
import sys
import tarfile

import numpy as np
import torch

DTYPES = {torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32",
          torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool"}


class NotKnown:
    """Pickles as a name that no reader may import."""

    def __init__(self, value):
        self.value = value


def flatten(prefix, value):
    if isinstance(value, torch.Tensor):
        yield prefix, value
    elif isinstance(value, argparse.Namespace):
        yield from flatten(prefix, vars(value))
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from flatten(f"{prefix}.{k}" if prefix else str(k), v)
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from flatten(f"{prefix}.{i}" if prefix else str(i), v)


def raw(t):
    return t.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes().hex() if t.numel() else ""


def describe(value):
    storages, rows = {}, []
    for name, t in sorted(flatten("", value), key=lambda x: x[0].encode()):
        s = storages.setdefault(t.untyped_storage()._cdata, len(storages))
        stride = [1 if n == 1 else k for n, k in zip(t.shape, t.stride())]
        rows.append(dict(name=name, dtype=DTYPES[t.dtype], shape=list(t.shape), stride=stride, first=t.storage_offset(), storage=s,
                         grad=t.requires_grad, hex=raw(t)))
    return rows


def dtypes():
    out = collections.OrderedDict()
    for dtype, name in DTYPES.items():
        t = torch.arange(6).sub(2).reshape(2, 3)
        out[name] = t.ne(0) if dtype == torch.bool else t.to(dtype)
        out[name + "_scalar"] = torch.tensor(1, dtype=dtype)
        out[name + "_empty"] = torch.empty((0, 4), dtype=dtype)
    return out


def views():
    base = torch.arange(48, dtype=torch.float32)
    big = base.reshape(4, 3, 4)
    tied = torch.arange(12, dtype=torch.float16).reshape(4, 3)
    return {"base": base, "rows": big[1:3], "columns": big[:, :, 1:3], "transposed": big.permute(2, 0, 1), "step": base[3::5],
            "diagonal": torch.diagonal(big[:, :, 0]), "narrow": big[2, 1], "t": big[0].t(), "repeated": base[7:8].expand(3, 4),
            "one": big[1, 2, 3], "empty": base[5:5], "ones": base[4:5].reshape(1, 1, 1), "embed.weight": tied, "head.weight": tied,
            "eight": base[:16].reshape(2, 1, 2, 1, 2, 1, 2, 1)}


def attributed(t, parameter):
    t = torch.nn.Parameter(t) if parameter else t
    t.tensor_model_parallel = True
    t.partition_dim = 0
    return t


def training():
    torch.manual_seed(3)
    net = torch.nn.Sequential(collections.OrderedDict(a=torch.nn.Linear(3, 2), b=torch.nn.LayerNorm(2)))
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(2):
        opt.zero_grad()
        net(torch.ones(4, 3)).pow(2).sum().backward()
        opt.step()
    args = argparse.Namespace(num_layers=2, hidden_size=8, params_dtype=torch.float16, data_path=["1.0", "x"], lr=1e-4, fp16=True, rank=0,
                              padded_vocab_size=1 << 40, name="模型", none=None, negative=-70000, nested=dict(a=(1, 2, 3, 4)))
    layers = collections.OrderedDict()
    for i in range(2):
        layers[f"layers.{i}.attention.query_key_value.weight"] = torch.randn(6, 2).bfloat16()
        layers[f"layers.{i}.input_layernorm.weight"] = torch.ones(2).bfloat16()
    model = {"language_model": {"embedding": {"word_embeddings": {"weight": torch.randn(5, 2).bfloat16()}}, "encoder": layers}}
    return {"args": args, "checkpoint_version": 3.0, "iteration": 12, "model": model, "net": net.state_dict(), "optimizer": opt.state_dict(),
            "parameter": torch.nn.Parameter(torch.ones(2, 2)), "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
            "attributes": [attributed(torch.zeros(2), False), attributed(torch.zeros(3), True)], "size": torch.Size([2, 3]),
            "numpy_scalar": np.float64(0.5), "numpy_state": np.random.RandomState(0).get_state()[:1] + (np.arange(3),),
            "opaque": NotKnown([1, {"a": 2}]), "set": {1, 2}, "bytes": b"\0\xff", "complex": 1 + 2j, "huge": 1 << 70,
            "counter": collections.Counter("aab"), "default": collections.defaultdict(list, a=[1]), "rng_state": [torch.get_rng_state()[:16].clone()]}


def save(path, value, **more):
    torch.save(value, path, **more)


def tar_file(path):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    NotKnown.__module__ = "somewhere"
    sys.modules["somewhere"] = argparse.Namespace(NotKnown=NotKnown)
    expected = {}

    def good(name, value, **more):
        torch.save(value, os.path.join(out, name), **more)
        expected[name] = dict(tensors=describe(value))

    def refused(name, value, error, **more):
        torch.save(value, os.path.join(out, name), **more)
        expected[name] = dict(error=error)

    good("dtypes.pt", dtypes())
    good("views.pt", views())
    good("training.pt", training())
    good("protocol4.pt", {"a": torch.arange(3.0), "b": [torch.zeros(2, 2), {"c": torch.ones(1)}], "n": [1, -1, 1 << 40, 2.5, None, True]},
         pickle_protocol=4)
    good("list.pt", [torch.arange(4), (torch.ones(1), {3: torch.zeros(2), -1: torch.ones(2)})])
    refused("legacy.pt", {"a": torch.ones(2)}, "before version 1.6", _use_new_zipfile_serialization=False)
    refused("sparse.pt", {"w": {"s": torch.eye(3).to_sparse()}}, "\"w.s\" depends on torch._utils._rebuild_sparse_tensor")
    refused("quantized.pt", {"q": torch.quantize_per_tensor(torch.ones(3), 0.5, 0, torch.qint8)}, "\"q\" depends on torch._utils._rebuild_qtensor")
    refused("uint16.pt", {"u": torch.ones(3, dtype=torch.uint16)}, "\"u\" depends on torch._utils._rebuild_tensor_v3")
    refused("complex.pt", {"c": torch.ones(3, dtype=torch.complex64)}, "\"c\" depends on torch.ComplexFloatStorage")
    refused("module.pt", {"m": torch.nn.Linear(2, 2)}, "\"m\" depends on torch.nn.modules.linear.Linear")
    refused("expanded.pt", {"e": torch.ones(1).expand(100, 100)}, "repeats")
    refused("dims9.pt", {"e": torch.ones(1).reshape([1] * 9)}, "at most 8")
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), os.path.join(out, "script.pt"))
    expected["script.pt"] = dict(error="compressed entry")
    tar_file(os.path.join(out, "tar.pt"))
    expected["tar.pt"] = dict(error="tar file")
    with open(os.path.join(out, "expected.json"), "w") as f:
        f.write("{\n" + ",\n".join(
            json.dumps(k) + ": " + (json.dumps(v) if "error" in v else
                                    "{\"tensors\": [\n " + ",\n ".join(json.dumps(t) for t in v["tensors"]) + "]}")
            for k, v in expected.items()) + "\n}\n")


main()
