#!/usr/bin/env python3
"""Makes tests/golden/<family>_*: tiny random models of every family with reference logits, gradients and training losses.

usage: make_family_goldens.py OUTDIR     (versions: requirements.txt beside this file; conventions: tests/golden/README.md)

The reference is one decoder written here from the papers, in float64, with the options that tell the families apart. Where transformers has the
family, its own class is run in float32 on the same weights and must agree within float32 rounding; InternLM, Aquila and Baichuan 7B are checked through
LlamaForCausalLM. Baichuan 13B (ALiBi) and Baichuan 2 (a head of unit rows) have no class there: the reference alone counts.
"""
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

import make_llama_goldens as base

CASES = {
    "llama3_rope": dict(kind="llama", heads=4, kv=2, head_dim=8, hidden=32, ffn=44, vocab=83, theta=1000.0,
                        rope=dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
    "llama_linear_rope": dict(kind="llama", heads=8, kv=1, head_dim=4, hidden=32, ffn=40, vocab=70, rope=dict(rope_type="linear", factor=2.0)),
    "mistral_window": dict(kind="mistral", heads=8, kv=4, head_dim=4, hidden=32, ffn=44, vocab=71, window=5),
    "qwen2_tied": dict(kind="qwen2", heads=4, kv=2, head_dim=8, hidden=32, ffn=44, vocab=90, bias_qkv=True, tied=True),
    "internlm": dict(kind="internlm", heads=4, kv=4, head_dim=8, hidden=32, ffn=44, vocab=77, bias_qkv=True, bias_out=True),
    "aquila": dict(kind="aquila", heads=4, kv=2, head_dim=8, hidden=32, ffn=44, vocab=77),
    "baichuan_7b": dict(kind="baichuan", heads=4, kv=4, head_dim=8, hidden=32, ffn=44, vocab=77),
    "baichuan_13b": dict(kind="baichuan", heads=5, kv=5, head_dim=6, hidden=30, ffn=44, vocab=77, alibi=True),
    "baichuan2_7b": dict(kind="baichuan", heads=4, kv=4, head_dim=8, hidden=32, ffn=44, vocab=77, norm_head=True),
    "baichuan2_13b": dict(kind="baichuan", heads=3, kv=3, head_dim=10, hidden=30, ffn=44, vocab=77, alibi=True, norm_head=True),
    "bloom_3": dict(kind="bloom", heads=3, kv=3, head_dim=8, hidden=24, ffn=96, vocab=75),
    "bloom_5": dict(kind="bloom", heads=5, kv=5, head_dim=6, hidden=30, ffn=120, vocab=75, strip_prefix=True),
    "bloom_40": dict(kind="bloom", heads=40, kv=40, head_dim=1, hidden=40, ffn=160, vocab=75),
}
LAYERS, EPS, MAX_POS, CLIP = 2, 1e-5, 64, 1.0


def is_bloom(c):
    return c["kind"] == "bloom"


def names(c):
    if is_bloom(c):
        return dict(embed="transformer.word_embeddings", embed_norm="transformer.word_embeddings_layernorm", layer="transformer.h.%d.",
                    norm1="input_layernorm", norm2="post_attention_layernorm", qkv="self_attention.query_key_value", out="self_attention.dense",
                    up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h", final="transformer.ln_f")
    return dict(embed="model.embed_tokens", layer="model.layers.%d.", norm1="input_layernorm", norm2="post_attention_layernorm", q="self_attn.q_proj",
                k="self_attn.k_proj", v="self_attn.v_proj", qkv="self_attn.W_pack", out="self_attn.o_proj", gate="mlp.gate_proj", up="mlp.up_proj",
                down="mlp.down_proj", final="model.norm")


def shapes(c):
    """HF tensor name -> shape, in the order of the layers."""
    n, h, kv, f, s = names(c), c["hidden"], c["kv"] * c["head_dim"], c["ffn"], {}
    q = c["heads"] * c["head_dim"]

    def linear(name, rows, cols, bias):
        s[name + ".weight"] = (rows, cols)
        if bias:
            s[name + ".bias"] = (rows,)

    def norm(name):
        s[name + ".weight"] = (h,)
        if is_bloom(c):
            s[name + ".bias"] = (h,)

    s[n["embed"] + ".weight"] = (c["vocab"], h)
    if is_bloom(c):
        norm(n["embed_norm"])
    for layer in range(LAYERS):
        p = n["layer"] % layer
        norm(p + n["norm1"])
        if c["kind"] in ("baichuan", "bloom"):
            linear(p + n["qkv"], q + 2 * kv, h, is_bloom(c))
        else:
            for part, rows in (("q", q), ("k", kv), ("v", kv)):
                linear(p + n[part], rows, h, c.get("bias_qkv"))
        linear(p + n["out"], h, q, c.get("bias_out") or is_bloom(c))
        norm(p + n["norm2"])
        if not is_bloom(c):
            linear(p + n["gate"], f, h, False)
        linear(p + n["up"], f, h, is_bloom(c))
        linear(p + n["down"], h, f, is_bloom(c))
    norm(n["final"])
    if not (c.get("tied") or is_bloom(c)):
        s["lm_head.weight"] = (c["vocab"], h)
    return s


def slopes(n):
    """Press et al. 2022, any number of heads."""
    def power_of_two(n):
        start = 2.0 ** (-(2.0 ** -(math.log2(n) - 3)))
        return [start * start ** i for i in range(n)]
    if math.log2(n).is_integer():
        return power_of_two(n)
    near = 2 ** math.floor(math.log2(n))
    return power_of_two(near) + power_of_two(2 * near)[0::2][:n - near]


def rotary(c, positions):
    d, theta, rope = c["head_dim"], c.get("theta", 10000.0), c.get("rope", {})
    freq = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    if rope.get("rope_type") == "linear":
        freq = freq / rope["factor"]
    if rope.get("rope_type") == "llama3":
        wave, original = 2 * math.pi / freq, rope["original_max_position_embeddings"]
        smooth = (original / wave - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        blended = (1 - smooth) * freq / rope["factor"] + smooth * freq
        freq = torch.where(wave > original / rope["low_freq_factor"], freq / rope["factor"],
                           torch.where(wave < original / rope["high_freq_factor"], freq, blended))
    angle = positions[:, None].double() * freq[None, :]
    return angle.cos(), angle.sin()


class Output:
    def __init__(self, logits):
        self.logits = logits


class Reference:
    """The decoder; parameters by HF name."""
    def __init__(self, c, weights, dtype):
        self.c, self.w = c, {k: torch.nn.Parameter(v.detach().clone().to(dtype)) for k, v in weights.items()}

    def named_parameters(self):
        return self.w.items()

    def parameters(self):
        return self.w.values()

    def zero_grad(self):
        for p in self.w.values():
            p.grad = None

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, x, name):
        if is_bloom(self.c):
            return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], EPS)
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.w[name + ".weight"]

    def qkv(self, x, p, n):
        c, (b, t) = self.c, x.shape[:2]
        if is_bloom(c):
            y = self.linear(x, p + n["qkv"]).view(b, t, c["heads"], 3, c["head_dim"])
            return [y[:, :, :, i].transpose(1, 2) for i in range(3)]
        if c["kind"] == "baichuan":
            parts = self.linear(x, p + n["qkv"]).chunk(3, dim=-1)
        else:
            parts = [self.linear(x, p + n[k]) for k in ("q", "k", "v")]
        return [y.view(b, t, -1, c["head_dim"]).transpose(1, 2) for y in parts]

    def attention(self, x, p, n):
        c, (b, t) = self.c, x.shape[:2]
        q, k, v = self.qkv(x, p, n)
        pos = torch.arange(t)
        if not (c.get("alibi") or is_bloom(c)):
            cos, sin = (y.to(x.dtype) for y in rotary(c, pos))

            def turn(y):
                a, z = y.chunk(2, dim=-1)
                return torch.cat((a * cos - z * sin, z * cos + a * sin), dim=-1)
            q, k = turn(q), turn(k)
        group = c["heads"] // c["kv"]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        score = q @ k.transpose(-1, -2) / math.sqrt(c["head_dim"])
        back = pos[:, None] - pos[None, :]
        if c.get("alibi") or is_bloom(c):
            score = score - torch.tensor(slopes(c["heads"]), dtype=torch.float64).to(x.dtype)[None, :, None, None] * back
        hidden = (back < 0) | (back >= c["window"] if c.get("window") else torch.zeros_like(back, dtype=torch.bool))
        weight = score.masked_fill(hidden, -math.inf).softmax(-1)
        return self.linear((weight @ v).transpose(1, 2).reshape(b, t, -1), p + n["out"])

    def mlp(self, x, p, n):
        up = self.linear(x, p + n["up"])
        h = F.gelu(up, approximate="tanh") if is_bloom(self.c) else F.silu(self.linear(x, p + n["gate"])) * up
        return self.linear(h, p + n["down"])

    def __call__(self, ids):
        c, n = self.c, names(self.c)
        embed = self.w[n["embed"] + ".weight"]
        x = embed[ids]
        if is_bloom(c):
            x = self.norm(x, n["embed_norm"])
        for layer in range(LAYERS):
            p = n["layer"] % layer
            x = x + self.attention(self.norm(x, p + n["norm1"]), p, n)
            x = x + self.mlp(self.norm(x, p + n["norm2"]), p, n)
        head = self.w.get("lm_head.weight", embed)
        if c.get("norm_head"):
            head = head / head.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return Output(F.linear(self.norm(x, n["final"]), head))


def random_weights(c, seed):
    g = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes(c).items():
        noise = torch.randn(shape, generator=g)
        if name.endswith(".bias"):
            out[name] = 0.1 * noise
        elif len(shape) == 1:
            out[name] = 1.0 + 0.2 * noise
        else:
            embed = "embed" in name and not (c.get("tied") or is_bloom(c))
            out[name] = noise * (0.5 if embed else 1.0 / math.sqrt(shape[1]))
    return out


def peer(c):
    """The transformers model that computes the same, and how our tensor names map to its; None when it has none."""
    if c.get("alibi") or c.get("norm_head"):
        return None
    common = dict(vocab_size=c["vocab"], hidden_size=c["hidden"], bos_token_id=1, eos_token_id=2, pad_token_id=None, initializer_range=0.02,
                  attn_implementation="eager")
    if is_bloom(c):
        return transformers.BloomForCausalLM(transformers.BloomConfig(n_layer=LAYERS, n_head=c["heads"], layer_norm_epsilon=EPS, **common))
    common.update(num_hidden_layers=LAYERS, num_attention_heads=c["heads"], num_key_value_heads=c["kv"], intermediate_size=c["ffn"], rms_norm_eps=EPS,
                  max_position_embeddings=MAX_POS, tie_word_embeddings=bool(c.get("tied")),
                  rope_parameters=dict(rope_theta=c.get("theta", 10000.0), **(c.get("rope") or dict(rope_type="default"))))
    if c["kind"] == "mistral":
        return transformers.MistralForCausalLM(transformers.MistralConfig(sliding_window=c["window"], head_dim=c["head_dim"], **common))
    if c["kind"] == "qwen2":
        return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**common))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(attention_bias=bool(c.get("bias_out")), head_dim=c["head_dim"], **common))


def peer_state(c, weights):
    out = {}
    for name, w in weights.items():
        if name.endswith("W_pack.weight"):
            for part, rows in zip("qkv", w.chunk(3)):
                out[name.replace("W_pack", part + "_proj")] = rows.clone()
        else:
            out[name] = w.clone()
    return out


def peer_grads(c, model):
    grads = {n: p.grad for n, p in model.named_parameters()}
    for name in list(grads):
        if c["kind"] == "baichuan" and ".q_proj." in name:
            three = [grads.pop(name.replace("q_proj", k + "_proj")) for k in "qkv"]
            grads[name.replace("q_proj", "W_pack")] = torch.cat(three)
    return grads


def own_config(c):
    """config.json as the families without a class in transformers publish it."""
    out = dict(vocab_size=c["vocab"], hidden_size=c["hidden"], intermediate_size=c["ffn"], num_hidden_layers=LAYERS, num_attention_heads=c["heads"],
               hidden_act="silu", rms_norm_eps=EPS, initializer_range=0.02, use_cache=True, bos_token_id=1, eos_token_id=2, pad_token_id=0,
               tie_word_embeddings=False, torch_dtype="float32", model_type=c["kind"])
    if c["kind"] == "internlm":
        out.update(architectures=["InternLMForCausalLM"], bias=True, max_position_embeddings=MAX_POS, rotary=dict(base=10000, type="dynamic"))
    elif c["kind"] == "aquila":
        out.update(architectures=["AquilaForCausalLM"], num_key_value_heads=c["kv"], max_position_embeddings=MAX_POS, rope_theta=10000.0)
    else:
        second = bool(c.get("norm_head"))
        out.update(architectures=["BaichuanForCausalLM" if second or c.get("alibi") else "BaiChuanForCausalLM"])
        out.update(dict(model_max_length=MAX_POS) if c.get("alibi") else dict(max_position_embeddings=MAX_POS))
        if second:
            out.update(z_loss_weight=0)
    return out


def write_model(c, weights, model, folder):
    os.makedirs(folder, exist_ok=True)
    if model is not None and c["kind"] in ("llama", "mistral", "qwen2", "bloom") and not c.get("strip_prefix"):
        model.save_pretrained(folder)
    else:
        config = own_config(c) if not is_bloom(c) else dict(
            model_type="bloom", architectures=["BloomForCausalLM"], vocab_size=c["vocab"], n_embed=c["hidden"], n_inner=None, num_hidden_layers=LAYERS,
            num_attention_heads=c["heads"], layer_norm_epsilon=EPS, initializer_range=0.02, hidden_dropout=0.0, attention_dropout=0.0,
            apply_residual_connection_post_layernorm=False, seq_length=MAX_POS, bos_token_id=1, eos_token_id=2, pad_token_id=3)
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(config, f, indent=2)
            f.write("\n")
        strip = (lambda n: n.removeprefix("transformer.")) if c.get("strip_prefix") else (lambda n: n)
        save_file({strip(n): w.contiguous() for n, w in weights.items()}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)


def make_case(name, c, seed, outdir):
    weights = random_weights(c, seed)
    folder = os.path.join(outdir, name)
    ids = np.random.default_rng(seed + 1).integers(c["vocab"], size=base.IDS_SHAPE).astype(np.int32)
    train_ids, train_mask = base.make_data(c["vocab"], seed + 2)
    x = torch.from_numpy(ids.astype(np.int64))
    logits64, loss64, grads64 = base.logits_and_grads(Reference(c, weights, torch.float64), x)
    model, checked = peer(c), "alone"
    if model is not None:
        missing = model.load_state_dict(peer_state(c, weights), strict=False)
        assert not missing.unexpected_keys and all(k == "lm_head.weight" for k in missing.missing_keys), missing
        model.tie_weights()
        model.float().zero_grad()
        logits32, loss32, _ = base.logits_and_grads(model, x)
        grads32 = peer_grads(c, model)
        worst = max(((grads32[n].double() - g).abs().max() / g.abs().max()).item() for n, g in grads64.items() if g.abs().max() > 1e-9)
        worst_logit = (logits32.double() - logits64).abs().max().item()
        assert worst_logit < 2e-5 and worst < 2e-5 and abs(loss32 - loss64) < 1e-6, (name, worst_logit, worst, loss32 - loss64)
        checked = f"logits {worst_logit:.1e} grads {worst:.1e}"
    else:
        loss32 = base.logits_and_grads(Reference(c, weights, torch.float32), x)[1]
    losses32, norms32 = base.train(Reference(c, weights, torch.float32), train_ids, train_mask, CLIP)
    losses16, _ = base.train(Reference(c, weights, torch.float32), train_ids, train_mask, CLIP, Reference(c, weights, torch.bfloat16))
    losses64, norms64 = base.train(Reference(c, weights, torch.float64), train_ids, train_mask, CLIP)
    print(f"{name}: transformers f32: {checked}; 20 losses f32 {base.rel(losses32, losses64):.1e} bf16 {base.rel(losses16, losses64):.1e}; "
          f"loss {losses64[0]:.3f} -> {losses64[-1]:.3f}")
    write_model(c, weights, model, folder)
    tensors = {"ids": torch.from_numpy(ids), "logits": logits64.contiguous(),
               "train.ids": torch.from_numpy(train_ids), "train.mask": torch.from_numpy(train_mask)}
    tensors.update({"grad." + n: g.float().contiguous() for n, g in grads64.items()})
    save_file(tensors, os.path.join(folder, "golden.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(folder, "golden.safetensors"), 0o644)
    golden = dict(
        torch=torch.__version__, transformers=transformers.__version__, loss=loss64, loss_f32=loss32,
        grad_sumsq={n: float((g ** 2).sum()) for n, g in grads64.items()},
        train=dict(steps=base.STEPS, micro_batches=base.MICRO_BATCHES, sequences=base.SEQS, tokens=base.TOKENS, clip=CLIP, **base.TRAIN,
                   lr_of_step=[base.lr_at(s) for s in range(base.STEPS)], losses_f64=losses64, losses_f32=losses32, losses_bf16=losses16,
                   grad_norms_f64=norms64, grad_norms_f32=norms32))
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for i, (name, c) in enumerate(CASES.items()):
        make_case(name, c, 5000 + 100 * i, sys.argv[1])


if __name__ == "__main__":
    main()
