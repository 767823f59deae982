"""Trains a few steps on both paths and prints a digest of the weights; run in a process of its own.

python -m tests.sagsae.training.fresh_kernels
"""

from __future__ import annotations

import hashlib

import torch

from sagsae.autoencoders.storage import build
from sagsae.schedules import Recipe
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import CpuOptimiser

D, WIDTH, ROWS, STEPS = 96, 192, 256, 6


def trained(sparse_below: float, dtype: torch.dtype) -> bytes:
    """The weights after some steps on open entries alone (2.0) or on products alone (0.0)."""
    sae = build("sagsae_tied", D, WIDTH)
    sae.initialise(torch.zeros(D), seed=0)
    step = CpuStep(sae, ROWS, dtype, sparse_below=sparse_below)
    fused = CpuOptimiser(step, Recipe(steps=STEPS, batch_size=ROWS, lam=0.1, learning_rate=0.01))
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        fused.step(torch.randn(ROWS, D, generator=generator) / D**0.5, 0.1, 0.01)
    assert step.sparse_steps == (STEPS if sparse_below else 0)
    return b"".join(sae.params[name].contiguous().numpy().tobytes() for name in sorted(sae.params))


def main() -> None:
    torch.set_num_threads(1)
    for sparse_below in (0.0, 2.0):
        for dtype in (torch.float32, torch.bfloat16):
            print(hashlib.sha256(trained(sparse_below, dtype)).hexdigest())


if __name__ == "__main__":
    main()
