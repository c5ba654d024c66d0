#!/usr/bin/env python3
"""Compares shards that cspeed wrote with what AscendSpeed's converter makes of the same Hugging Face folder.

usage: check_megatron.py HF-DIR SHARDS-DIR --tp T --pp P [--multiple 128] [--merge-mlp] [--deepspeed]

    cspeed convert --input HF-DIR --output SHARDS-DIR --to megatron --tensor-model-parallel-size T --pipeline-model-parallel-size P

The rules are written here from the description of that converter: rows of query, key and value of one rank together as [head][q, k, v][dim] (grouped:
[group][queries.., key, value][dim]), other matrices cut by rows or columns, the vocabulary padded with copies of its last rows. Every file must open
with torch.load(weights_only=True) and hold exactly these tensors, bit for bit.
"""
import argparse
import json
import os
import sys

import torch
from safetensors.torch import load_file


def load_hf(folder):
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            out.update(load_file(os.path.join(folder, name)))
    return out


def rows(w, tp, r):
    return w.chunk(tp, 0)[r]


def cols(w, tp, r):
    return w.chunk(tp, 1)[r]


def pad(w, multiple, tp):
    step = multiple * tp
    missing = -w.shape[0] % step
    while missing > 0:
        part = w[-min(missing, w.shape[0]):] if missing <= w.shape[0] else w
        if missing > w.shape[0]:
            raise SystemExit("the vocabulary is too small to compare its padding")
        w = torch.cat([w, part])
        missing = 0
    return w


def grouped(q, k, v, heads, kv, tp, r):
    """q, k, v: all rows. -> rows of rank r as [group][queries.., key, value][dim]."""
    d, m, g = q.shape[0] // heads, heads // kv, kv // tp
    q = q.reshape(kv, m, d, -1)[r * g:(r + 1) * g]
    k = k.reshape(kv, 1, d, -1)[r * g:(r + 1) * g]
    v = v.reshape(kv, 1, d, -1)[r * g:(r + 1) * g]
    return torch.cat([q, k, v], 1)


def llama_rank(hf, config, tp, pp, t, p, args):
    heads = config["num_attention_heads"]
    kv = config.get("num_key_value_heads") or heads
    n = config["num_hidden_layers"] // pp
    out = {}
    if p == 0:
        out["embedding.word_embeddings.weight"] = rows(pad(hf["model.embed_tokens.weight"], args.multiple, tp), tp, t)
    if p == pp - 1:
        out["language_model.final_layernorm.weight"] = hf["model.norm.weight"]
        if "lm_head.weight" in hf:
            out["lm_head.lm_head.weight"] = rows(pad(hf["lm_head.weight"], args.multiple, tp), tp, t)
    for i in range(n):
        src, dst = f"model.layers.{p * n + i}.", f"language_model.layers.{i}."
        for kind in ("weight", "bias"):
            if f"{src}self_attn.W_pack.{kind}" in hf:
                q, k, v = hf[f"{src}self_attn.W_pack.{kind}"].chunk(3, 0)
            elif f"{src}self_attn.q_proj.{kind}" in hf:
                q, k, v = (hf[f"{src}self_attn.{x}_proj.{kind}"] for x in "qkv")
            else:
                continue
            w = grouped(q, k, v, heads, kv, tp, t)
            out[f"{dst}attention.query_key_value.{kind}"] = w.reshape(-1, q.shape[1]) if q.ndim == 2 else w.reshape(-1)
        out[dst + "attention.dense.weight"] = cols(hf[src + "self_attn.o_proj.weight"], tp, t)
        if src + "self_attn.o_proj.bias" in hf:
            out[dst + "attention.dense.bias"] = hf[src + "self_attn.o_proj.bias"]
        gate, up = rows(hf[src + "mlp.gate_proj.weight"], tp, t), rows(hf[src + "mlp.up_proj.weight"], tp, t)
        if args.merge_mlp:
            out[dst + "mlp.proj.weight"] = torch.cat([gate, up])
        else:
            out[dst + "mlp.gate_proj.weight"], out[dst + "mlp.up_proj.weight"] = gate, up
        out[dst + "mlp.down_proj.weight"] = cols(hf[src + "mlp.down_proj.weight"], tp, t)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            out[f"{dst}{norm}.weight"] = hf[f"{src}{norm}.weight"]
    return out


def bloom_rank(hf, config, tp, pp, t, p, args):
    hf = {k.removeprefix("transformer."): v for k, v in hf.items()}
    layers = config.get("n_layer") or config["num_hidden_layers"]
    n, out = layers // pp, {}
    if p == 0:
        out["tied_modules.embed.word_embeddings.weight"] = rows(pad(hf["word_embeddings.weight"], args.multiple, tp), tp, t)
        for kind in ("weight", "bias"):
            out[f"tied_modules.embed.word_embeddings.norm.{kind}"] = hf[f"word_embeddings_layernorm.{kind}"]
    if p == pp - 1:
        for kind in ("weight", "bias"):
            out[f"{layers + 4}.final_layernorm.{kind}"] = hf[f"ln_f.{kind}"]
    for i in range(p * n, (p + 1) * n):
        src, dst = f"h.{i}.", f"{i + 3}."
        for kind in ("weight", "bias"):
            for name in ("self_attention.query_key_value", "mlp.dense_h_to_4h"):
                out[f"{dst}{name}.{kind}"] = rows(hf[f"{src}{name}.{kind}"], tp, t)
            for name in ("input_layernorm", "post_attention_layernorm"):
                out[f"{dst}{name}.{kind}"] = hf[f"{src}{name}.{kind}"]
        for name in ("self_attention.dense", "mlp.dense_4h_to_h"):
            out[f"{dst}{name}.weight"] = cols(hf[f"{src}{name}.weight"], tp, t)
            out[f"{dst}{name}.bias"] = hf[f"{src}{name}.bias"]
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("hf")
    ap.add_argument("shards")
    ap.add_argument("--tp", type=int, default=1)
    ap.add_argument("--pp", type=int, default=1)
    ap.add_argument("--multiple", type=int, default=128)
    ap.add_argument("--merge-mlp", action="store_true")
    ap.add_argument("--deepspeed", action="store_true")
    args = ap.parse_args()
    hf = load_hf(args.hf)
    with open(os.path.join(args.hf, "config.json")) as f:
        config = json.load(f)
    bloom, n = config["model_type"] == "bloom", 0
    for p in range(args.pp):
        for t in range(args.tp):
            if args.deepspeed:
                path = f"release/mp_rank_{p * args.tp + t:02d}_model_states.pt"
            else:
                path = f"release/mp_rank_{t:02d}" + (f"_{p:03d}" if args.pp > 1 else "") + "/model_optim_rng.pt"
            have = torch.load(os.path.join(args.shards, path), weights_only=True)
            assert have["checkpoint_version"] == 3.0 and have["config"]["vocab_size"] == config["vocab_size"]
            have = have["module"] if args.deepspeed else have["model"]
            have = have["module"] if args.deepspeed and bloom else have
            want = (bloom_rank if bloom else llama_rank)(hf, config, args.tp, args.pp, t, p, args)
            if sorted(have) != sorted(want):
                sys.exit(f"{path}: other tensors: {sorted(set(have) ^ set(want))}")
            for name, w in want.items():
                if have[name].dtype != w.dtype or not torch.equal(have[name], w):
                    sys.exit(f"{path}: {name} differs")
                n += 1
    print(f"{args.shards}: {n} tensors in {args.tp * args.pp} files, bit for bit")


main()
