#!/usr/bin/env python3
"""Loads a Hugging Face folder that cspeed saved in transformers and compares its logits with those of `cspeed logits`.

usage: check_transformers.py DIR LOGITS.npy --ids "1 2 3" [--tolerance 1e-5]

    cspeed logits --load DIR --ids "1 2 3" --output LOGITS.npy

Exit 0 when every logit agrees within the tolerance and transformers found each tensor it expected and no other; 1 otherwise.
"""
import argparse
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir")
    ap.add_argument("logits")
    ap.add_argument("--ids", required=True)
    ap.add_argument("--tolerance", type=float, default=1e-5)
    args = ap.parse_args()

    model, info = AutoModelForCausalLM.from_pretrained(args.dir, dtype=torch.float32, output_loading_info=True)
    bad_keys = {k: sorted(map(str, v)) for k, v in info.items() if v}
    ids = torch.tensor([[int(t) for t in args.ids.replace(",", " ").split()]])
    with torch.no_grad():
        want = model(ids).logits[0].numpy()
    have = np.load(args.logits)
    if have.dtype != np.float32 or have.shape != want.shape:
        sys.exit(f"{args.logits}: {have.dtype} {have.shape}, expected float32 {want.shape}")
    worst = float(np.abs(have - want).max())
    print(f"{args.dir}: largest difference of {want.size} logits {worst:.3e} (tolerance {args.tolerance:g})")
    if bad_keys:
        print(f"{args.dir}: loading report not clean: {bad_keys}")
    sys.exit(0 if worst <= args.tolerance and not bad_keys else 1)


main()
