#!/usr/bin/env python3
"""Makes tests/golden/llama_*: tiny random LLaMA models with PyTorch's logits, gradients and training losses.

usage: make_llama_goldens.py OUTDIR     (versions: requirements.txt beside this file; conventions: tests/golden/README.md)

Every reference number is computed twice: by transformers' LlamaForCausalLM as it is, in float32, and by the same classes in float64.
transformers forces float32 inside RMSNorm and the rotary tables whatever the model's type is; for the float64 run these two functions are
replaced here by the same formulas in float64. The script stops when the two runs differ by more than float32 rounding explains.
"""
import json
import math
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

CASES = {
    "llama_mha": dict(hidden_size=48, num_attention_heads=3, num_key_value_heads=3, intermediate_size=84, vocab_size=131,
                      num_hidden_layers=2, rms_norm_eps=1e-5, rope_theta=10000.0),
    "llama_gqa": dict(hidden_size=64, num_attention_heads=8, num_key_value_heads=2, intermediate_size=101, vocab_size=97,
                      num_hidden_layers=3, rms_norm_eps=1e-6, rope_theta=50000.0),
    "llama_bias_tied": dict(hidden_size=40, num_attention_heads=4, num_key_value_heads=1, intermediate_size=55, vocab_size=89,
                            num_hidden_layers=2, rms_norm_eps=1e-6, rope_theta=10000.0, attention_bias=True, mlp_bias=True,
                            tie_word_embeddings=True),
}
IDS_SHAPE = (2, 23)
STEPS, MICRO_BATCHES, SEQS, TOKENS = 20, 2, 2, 19
TRAIN = dict(lr=5e-3, min_lr=5e-4, warmup_steps=3, decay_steps=STEPS, weight_decay=0.1, beta1=0.9, beta2=0.95, eps=1e-8)
# llama_gqa: a limit that some steps reach and others do not.
CLIP = {"llama_mha": 1.0, "llama_gqa": 3.6, "llama_bias_tied": 1.0}


def patch_float64():
    """The formulas of LlamaRMSNorm and LlamaRotaryEmbedding without their casts to float32."""
    def rms_forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary_forward(self, x, position_ids):
        dim = self.inv_freq.shape[0] * 2
        theta = self.config.rope_parameters["rope_theta"]
        inv_freq = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim))
        angle = position_ids[:, :, None].double() * inv_freq[None, None, :]
        emb = torch.cat((angle, angle), dim=-1)
        return emb.cos().to(x.dtype), emb.sin().to(x.dtype)

    saved = (modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward)
    modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward = rms_forward, rotary_forward
    return saved


def unpatch(saved):
    modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward = saved


def make_model(kw, seed):
    """Random weights large enough that attention is not flat; norm weights and biases are not left at 1 and 0."""
    kw = dict(kw)
    theta = kw.pop("rope_theta")
    config = LlamaConfig(max_position_embeddings=64, initializer_range=0.02, bos_token_id=1, eos_token_id=2, pad_token_id=None,
                         rope_parameters={"rope_type": "default", "rope_theta": theta}, attn_implementation="sdpa", **kw)
    model = LlamaForCausalLM(config).float()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if name.endswith("norm.weight"):
                p.copy_(1.0 + 0.2 * noise)
            elif name.endswith(".bias"):
                p.copy_(0.1 * noise)
            else:
                untied_embed = "embed" in name and not config.tie_word_embeddings
                p.copy_(noise * (0.5 if untied_embed else 1.0 / math.sqrt(p.shape[1])))
    return model


def clone_as(model, dtype):
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.tie_weights()
    return copy.to(dtype)


def logits_and_grads(model, ids):
    model.zero_grad()
    logits = model(ids).logits
    v = logits.shape[-1]
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, v), ids[:, 1:].reshape(-1))
    loss.backward()
    return logits.detach(), loss.item(), {n: p.grad.detach().clone() for n, p in model.named_parameters()}


def make_data(vocab, seed):
    """ids [STEPS, MICRO_BATCHES, SEQS, TOKENS+1] and loss mask [.., TOKENS] of the labels ids[.., 1:].

    The masks are uneven on purpose: micro-batch 0 keeps few tokens, micro-batch 1 most; in step 5 micro-batch 0 keeps none at all."""
    rng = np.random.default_rng(seed)
    # A learnable sequence: the next id follows from the last one three times in four.
    ids = np.empty((STEPS, MICRO_BATCHES, SEQS, TOKENS + 1), np.int32)
    flat = ids.reshape(-1, TOKENS + 1)
    for row in flat:
        row[0] = rng.integers(vocab)
        for t in range(1, TOKENS + 1):
            row[t] = (int(row[t - 1]) * 7 + 3) % vocab if rng.random() < 0.75 else rng.integers(vocab)
    keep = np.array([0.3, 0.9])[None, :, None, None]
    mask = (rng.random((STEPS, MICRO_BATCHES, SEQS, TOKENS)) < keep).astype(np.float32)
    mask[5, 0] = 0.0
    return ids, mask


def lr_at(step):
    """Learning rate of update `step` (from 0)."""
    n, w, d = step, TRAIN["warmup_steps"], TRAIN["decay_steps"]
    if n < w:
        return TRAIN["lr"] * n / w
    if n > d:
        return TRAIN["min_lr"]
    r = (n - w) / (d - w)
    return TRAIN["min_lr"] + (TRAIN["lr"] - TRAIN["min_lr"]) * 0.5 * (1.0 + math.cos(math.pi * r))


def train(model, ids, mask, clip, compute=None):
    """20 AdamW steps. `compute`: the model that runs forward and backward when it is not the one that is updated (bf16 with f32 master)."""
    compute = compute or model
    master = list(model.parameters())
    work = list(compute.parameters())
    opt = torch.optim.AdamW([dict(params=[p for p in master if p.ndim >= 2], weight_decay=TRAIN["weight_decay"]),
                             dict(params=[p for p in master if p.ndim < 2], weight_decay=0.0)],
                            lr=0.0, betas=(TRAIN["beta1"], TRAIN["beta2"]), eps=TRAIN["eps"], foreach=False)
    losses, norms = [], []
    for s in range(STEPS):
        total = float(mask[s].sum())
        grads = [torch.zeros_like(p) for p in master]
        loss_sum = 0.0
        for m in range(MICRO_BATCHES):
            x = torch.from_numpy(ids[s, m].astype(np.int64))
            w = torch.from_numpy(mask[s, m])
            compute.zero_grad()
            logits = compute(x[:, :-1]).logits
            if compute is not model:
                logits = logits.float()
            v = logits.shape[-1]
            each = torch.nn.functional.cross_entropy(logits.reshape(-1, v), x[:, 1:].reshape(-1), reduction="none")
            part = (each * w.reshape(-1).to(each.dtype)).sum()
            (part / total).backward()
            loss_sum += part.item()
            for g, p in zip(grads, work):
                g += p.grad.to(g.dtype)
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in grads))
        coef = min(1.0, clip / (norm + 1e-6))
        for p, g in zip(master, grads):
            p.grad = g * coef
        for group in opt.param_groups:
            group["lr"] = lr_at(s)
        opt.step()
        if compute is not model:
            with torch.no_grad():
                for p, q in zip(master, work):
                    q.copy_(p)
        losses.append(loss_sum / total)
        norms.append(norm)
    return losses, norms


def rel(a, b):
    return max(abs(x - y) / abs(y) for x, y in zip(a, b))


def make_case(name, kw, seed, outdir):
    model = make_model(kw, seed)
    vocab = kw["vocab_size"]
    folder = os.path.join(outdir, name)
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    ids = np.random.default_rng(seed + 1).integers(vocab, size=IDS_SHAPE).astype(np.int32)
    train_ids, train_mask = make_data(vocab, seed + 2)
    x = torch.from_numpy(ids.astype(np.int64))

    logits32, loss32, grads32 = logits_and_grads(clone_as(model, torch.float32), x)
    losses32, norms32 = train(clone_as(model, torch.float32), train_ids, train_mask, CLIP[name])
    losses16, _ = train(clone_as(model, torch.float32), train_ids, train_mask, CLIP[name], clone_as(model, torch.bfloat16))
    saved = patch_float64()
    logits64, loss64, grads64 = logits_and_grads(clone_as(model, torch.float64), x)
    losses64, norms64 = train(clone_as(model, torch.float64), train_ids, train_mask, CLIP[name])
    unpatch(saved)

    worst_logit = (logits32.double() - logits64).abs().max().item()
    worst_grad = max(((grads32[n].double() - g).abs().max() / g.abs().max()).item() for n, g in grads64.items())
    print(f"{name}: f32 against f64: logits {worst_logit:.1e} grads {worst_grad:.1e} loss {abs(loss32 - loss64):.1e} "
          f"20 losses {rel(losses32, losses64):.1e}; bf16 losses {rel(losses16, losses64):.1e}; "
          f"loss {losses64[0]:.3f} -> {losses64[-1]:.3f}; norms {min(norms64):.3f}..{max(norms64):.3f}")
    assert worst_logit < 2e-5 and worst_grad < 1e-5 and abs(loss32 - loss64) < 1e-6 and rel(losses32, losses64) < 1e-4

    tensors = {"ids": torch.from_numpy(ids), "logits": logits64.contiguous(),
               "train.ids": torch.from_numpy(train_ids), "train.mask": torch.from_numpy(train_mask)}
    tensors.update({"grad." + n: g.float().contiguous() for n, g in grads64.items()})
    save_file(tensors, os.path.join(folder, "golden.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(folder, "golden.safetensors"), 0o644)
    golden = dict(
        torch=torch.__version__, transformers=transformers.__version__,
        loss=loss64, loss_f32=loss32,
        grad_sumsq={n: float((g ** 2).sum()) for n, g in grads64.items()},
        train=dict(steps=STEPS, micro_batches=MICRO_BATCHES, sequences=SEQS, tokens=TOKENS, clip=CLIP[name], **TRAIN,
                   lr_of_step=[lr_at(s) for s in range(STEPS)], losses_f64=losses64, losses_f32=losses32, losses_bf16=losses16,
                   grad_norms_f64=norms64, grad_norms_f32=norms32))
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for i, (name, kw) in enumerate(CASES.items()):
        make_case(name, kw, 1000 * (i + 1), sys.argv[1])


if __name__ == "__main__":
    main()
