"""Trains a few steps and prints a digest of the weights; run in a process of its own.

python -m tests.sagsae.training.fresh_kernels
"""

from __future__ import annotations

import hashlib

import torch

from sagsae.autoencoders.weights import build
from sagsae.training.cpu_step import CpuStep
from sagsae.training.optimiser import CpuOptimiser
from sagsae.training.recipe import Recipe

D, WIDTH, ROWS, STEPS = 96, 192, 256, 6


def trained(dtype: torch.dtype) -> bytes:
    """The weights after some steps."""
    sae = build("sagsae_tied", D, WIDTH)
    sae.initialise(torch.zeros(D), seed=0)
    step = CpuStep(sae, ROWS, dtype)
    fused = CpuOptimiser(step, Recipe(steps=STEPS, batch_size=ROWS, lam=0.1, learning_rate=0.01))
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        fused.step(torch.randn(ROWS, D, generator=generator) / D**0.5, 0.1, 0.01)
    return b"".join(sae.params[name].contiguous().numpy().tobytes() for name in sorted(sae.params))


def main() -> None:
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.bfloat16):
        print(hashlib.sha256(trained(dtype)).hexdigest())


if __name__ == "__main__":
    main()
