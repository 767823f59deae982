"""Whole trainings with dense products where many latents are active, and without.

    python -m benchmarks.trainings

Runs of both kinds take turns. Processor time is of the training alone, its first steps among it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

import sagsae
from benchmarks.interleaved import table
from benchmarks.ours import sparse_batches
from sagsae.training import cpu_step

# Variant -> its settings. The last one keeps many latents active all along.
RUNS: dict[str, dict[str, Any]] = {
    "gated": {"lam": 0.07},
    "relu": {"lam": 0.07},
    "absjumprelu": {"lam": 0.01, "input_norm": "sqrt_d"},
}
CHOSEN = cpu_step.dense_share
WAYS: dict[str, Callable[[torch.dtype], float]] = {
    "entries": lambda dtype: torch.inf,
    "as it chooses": CHOSEN,
}


def trained(variant: str, x: torch.Tensor, args: argparse.Namespace) -> tuple[float, float]:
    """Processor seconds, and the L0 at the end."""
    began = time.process_time()
    _, history = sagsae.train(
        x, variant, width=args.width, batch_size=args.batch, tokens=len(x), **RUNS[variant]
    )
    return time.process_time() - began, history.rows[-1]["l0"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, default=576)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    x, rows = torch.cat(list(sparse_batches(args.steps, args.batch, args.d))), []
    for variant in RUNS:
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way, share in WAYS.items():
                cpu_step.dense_share = share
                found[way].append(trained(variant, x, args))
        entries, chosen = (median(seconds for seconds, _ in found[way]) for way in WAYS)
        l0 = found["as it chooses"][-1][1]
        rows.append([variant, f"{l0:.0f}", f"{entries:.1f}", f"{chosen:.1f}"])
        rows[-1].append(f"{entries / chosen:.2f}")
    print(f"d = {args.d}, H = {args.width}, batch {args.batch}, {args.steps} steps, one thread\n")
    print(table(["training", "L0 at its end", *(f"{way}, CPU s" for way in WAYS), "times"], rows))


if __name__ == "__main__":
    main()
