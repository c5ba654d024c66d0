#!/usr/bin/env python3
"""Makes tests/golden/sgd.json: parameters and momentum after steps of torch.optim.SGD.

usage: make_sgd_goldens.py tests/golden/sgd.json     (versions: requirements.txt beside this file)

Gradients are multiplied by `scale` before each step, as clipping does; the rate changes between the steps. All in float64.
"""
import json
import sys

import torch

CASES = [
    dict(momentum=0.9, weight_decay=0.1),
    dict(momentum=0.5, weight_decay=0.0),
    dict(momentum=0.0, weight_decay=0.1),
    dict(momentum=0.0, weight_decay=0.0),
]
RATES, SCALES, N = [1e-2, 3e-2, 0.0, 1e-3], [1.0, 0.25, 1.0, 0.7], 11


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    g = torch.Generator().manual_seed(11)
    rows = []
    for case in CASES:
        p = torch.nn.Parameter(torch.randn(N, generator=g, dtype=torch.float64).float().double())
        start, grads, steps = p.tolist(), [], []
        opt = torch.optim.SGD([p], lr=RATES[0], **case)
        for rate, scale in zip(RATES, SCALES):
            grad = torch.randn(N, generator=g, dtype=torch.float64).float().double()
            grads.append(grad.tolist())
            opt.param_groups[0]["lr"] = rate
            p.grad = grad * scale
            opt.step()
            kept = opt.state[p].get("momentum_buffer")
            steps.append(dict(p=p.tolist(), momentum_buffer=None if kept is None else kept.tolist()))
        rows.append(dict(settings=case, start=start, lr=RATES, scale=SCALES, grad=grads, steps=steps))
    with open(sys.argv[1], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


main()
