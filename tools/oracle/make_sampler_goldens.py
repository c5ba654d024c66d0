#!/usr/bin/env python3
"""Makes tests/golden/sampler.json: scores that transformers' logits processors leave of random logits.

usage: make_sampler_goldens.py tests/golden/sampler.json     (versions: requirements.txt beside this file)

Processors are chained in the order in which transformers' generate() adds them. A removed token is null. All in float64.
"""
import json
import sys

import torch
from transformers.generation import logits_process as lp

CASES = [
    dict(),
    dict(temperature=0.7),
    dict(top_k=5),
    dict(top_k=1),
    dict(top_p=0.9),
    dict(top_p=0.05),
    dict(min_p=0.1),
    dict(repetition_penalty=1.3),
    dict(repetition_penalty=0.8, temperature=1.7),
    dict(temperature=0.8, top_k=20, top_p=0.85, min_p=0.05, repetition_penalty=1.1),
    dict(temperature=2.5, top_k=0, top_p=0.99, min_p=0.2),
]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    g = torch.Generator().manual_seed(7)
    rows = []
    for case in CASES:
        logits = (torch.randn(1, 150, generator=g, dtype=torch.float64) * 3).float().double()
        history = torch.randint(0, 150, (1, 12), generator=g)
        chain = lp.LogitsProcessorList()
        if "repetition_penalty" in case:
            chain.append(lp.RepetitionPenaltyLogitsProcessor(case["repetition_penalty"]))
        if "temperature" in case:
            chain.append(lp.TemperatureLogitsWarper(case["temperature"]))
        if case.get("top_k", 0):
            chain.append(lp.TopKLogitsWarper(case["top_k"]))
        if "top_p" in case:
            chain.append(lp.TopPLogitsWarper(case["top_p"]))
        if "min_p" in case:
            chain.append(lp.MinPLogitsWarper(case["min_p"]))
        scores = chain(history, logits.clone())[0]
        rows.append(dict(settings=case, logits=logits[0].tolist(), history=history[0].tolist(),
                         scores=[None if x == -float("inf") else x for x in scores.tolist()]))
    with open(sys.argv[1], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


main()
