#!/usr/bin/env python3
"""Training step of a LLaMA shape in PyTorch, for comparison with `cspeed bench train`.

One step = forward, loss, backward, gradient clipping by global norm, AdamW on one micro-batch of mbs x seq random tokens.
Two models can run: "hand" (written here: fused q/k/v and gate/up projections, scaled_dot_product_attention, F.rms_norm) and "hf"
(transformers' LlamaForCausalLM with sdpa). "best" times both and reports the faster.
Precision: f32; autocast (f32 weights, bf16 matrix products); bf16 (bf16 weights and AdamW moments, the lightest PyTorch offers).
The time of a step is the best of --repeats after --warmup; everything is printed, the last line is one JSON object.
"""
import argparse
import json
import os
import sys
import time


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dim", type=int, default=768)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--heads", type=int, default=12)
    p.add_argument("--kv-heads", type=int, default=0, help="0 = as many as heads")
    p.add_argument("--ffn", type=int, default=2048)
    p.add_argument("--vocab", type=int, default=32000)
    p.add_argument("--seq", type=int, default=512)
    p.add_argument("--mbs", type=int, default=2)
    p.add_argument("--precision", choices=["f32", "autocast", "bf16"], default="f32")
    p.add_argument("--impl", choices=["hand", "hf", "best"], default="best")
    p.add_argument("--optimizer", choices=["fused", "foreach", "best"], default="fused")
    p.add_argument("--compile", action="store_true", help="torch.compile the model (needs a C++ compiler)")
    p.add_argument("--threads", type=int, default=0, help="0 = OMP_NUM_THREADS, or the usable cores")
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--repeats", type=int, default=5)
    return p.parse_args()


def hand_model(a, torch):
    """The same network with as few kernel calls as PyTorch allows."""
    nn, f = torch.nn, torch.nn.functional
    n_kv = a.kv_heads or a.heads
    head = a.dim // a.heads

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.Parameter(torch.ones(a.dim))
            self.norm2 = nn.Parameter(torch.ones(a.dim))
            self.qkv = nn.Linear(a.dim, (a.heads + 2 * n_kv) * head, bias=False)
            self.out = nn.Linear(a.heads * head, a.dim, bias=False)
            self.gate_up = nn.Linear(a.dim, 2 * a.ffn, bias=False)
            self.down = nn.Linear(a.ffn, a.dim, bias=False)

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            h = f.rms_norm(x, (a.dim,), self.norm1.to(x.dtype), 1e-5)
            q, k, v = self.qkv(h).split([a.heads * head, n_kv * head, n_kv * head], dim=-1)
            q = q.view(b, t, a.heads, head).transpose(1, 2)
            k = k.view(b, t, n_kv, head).transpose(1, 2)
            v = v.view(b, t, n_kv, head).transpose(1, 2)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            y = f.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=n_kv != a.heads)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, a.heads * head))
            g, u = self.gate_up(f.rms_norm(x, (a.dim,), self.norm2.to(x.dtype), 1e-5)).chunk(2, dim=-1)
            return x + self.down(f.silu(g) * u)

    def rotate(x, cos, sin):
        x1, x2 = x.chunk(2, dim=-1)
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1).to(x.dtype)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(a.vocab, a.dim)
            self.blocks = nn.ModuleList(Block() for _ in range(a.layers))
            self.norm = nn.Parameter(torch.ones(a.dim))
            self.head = nn.Linear(a.dim, a.vocab, bias=False)
            angle = torch.outer(torch.arange(a.seq).float(), 10000.0 ** (-torch.arange(0, head, 2).float() / head))
            self.register_buffer("cos", angle.cos())
            self.register_buffer("sin", angle.sin())
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)

        def forward(self, ids, labels):
            x = self.embed(ids)
            cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
            for block in self.blocks:
                x = block(x, cos, sin)
            logits = self.head(f.rms_norm(x, (a.dim,), self.norm.to(x.dtype), 1e-5))
            return f.cross_entropy(logits.view(-1, a.vocab), labels.view(-1))

    return Model()


def hf_model(a, torch):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=a.vocab, hidden_size=a.dim, intermediate_size=a.ffn, num_hidden_layers=a.layers, num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads or a.heads, max_position_embeddings=a.seq, rms_norm_eps=1e-5, use_cache=False, attn_implementation="sdpa")
    inner = LlamaForCausalLM(config)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, ids, labels):
            logits = self.inner(input_ids=ids).logits
            return torch.nn.functional.cross_entropy(logits.view(-1, a.vocab), labels.view(-1))

    return Model()


def measure(a, torch, impl, optimizer):
    torch.manual_seed(1)
    model = hand_model(a, torch) if impl == "hand" else hf_model(a, torch)
    if a.precision == "bf16":
        model = model.to(torch.bfloat16)
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    step_of = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.1, fused=optimizer == "fused", foreach=optimizer == "foreach")
    run = torch.compile(model) if a.compile else model
    ids = torch.randint(0, a.vocab, (a.mbs, a.seq + 1))
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    times, loss_value = [], 0.0
    for i in range(a.warmup + a.repeats):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "autocast"):
            loss = run(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        step_of.step()
        step_of.zero_grad(set_to_none=True)
        loss_value = loss.item()
        times.append(time.perf_counter() - began)
        print(f"{impl}/{optimizer}: step {i + 1} {times[-1] * 1e3:.0f} ms, loss {loss_value:.4f}{' (warm-up)' if i < a.warmup else ''}", file=sys.stderr)
    best = min(times[a.warmup:])
    return {"impl": impl, "optimizer": optimizer, "step_ms": best * 1e3, "tokens_per_s": a.mbs * a.seq / best, "loss": loss_value,
            "parameters": sum(p.numel() for p in params)}


def main():
    a = arguments()
    threads = a.threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    impls = ["hand", "hf"] if a.impl == "best" else [a.impl]
    optimizers = ["fused", "foreach"] if a.optimizer == "best" else [a.optimizer]
    results = []
    for impl in impls:
        try:
            results += [measure(a, torch, impl, o) for o in optimizers]
        except ImportError as e:
            print(f"{impl}: left out, {e}", file=sys.stderr)
    if not results:
        sys.exit("nothing could be measured")
    best = max(results, key=lambda r: r["tokens_per_s"])
    n_kv, head = a.kv_heads or a.heads, a.dim // a.heads
    matmul = a.layers * (a.dim * (a.heads + 2 * n_kv) * head + a.heads * head * a.dim + 3 * a.dim * a.ffn) + a.vocab * a.dim
    flops = 6 * matmul + 12 * a.layers * a.dim * a.seq
    best.update(precision=a.precision, compiled=a.compile, threads=threads, torch=torch.__version__, shape=vars(a),
                gflops=best["tokens_per_s"] * flops / 1e9)
    print(f"PyTorch {torch.__version__} {a.precision}{' compiled' if a.compile else ''}, {threads} threads: "
          f"{best['tokens_per_s']:.1f} tokens/s, {best['gflops']:.0f} GFLOP/s ({best['impl']}, {best['optimizer']})")
    print(json.dumps(best))


if __name__ == "__main__":
    main()
