"""The rate of training steps on this machine, for the estimate of ``pipeline.cost.estimate``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pipeline.jobs.stage import device_of
from pipeline.study.cell import Cell
from pipeline.study.study import Study
from sagsae.autoencoders.storage import build
from sagsae.training.trainer import Trainer

STEPS = 20
"""Steps before the clock starts, and again under it: the first ones compile."""


class SameBatch:
    """One batch of Gaussian activations, again and again."""

    wait_seconds = 0.0

    def __init__(self, rows: int, d: int, device: torch.device):
        generator = torch.Generator().manual_seed(0)
        self.batch = (torch.randn(rows, d, generator=generator) / d**0.5).to(device)

    def __next__(self) -> Tensor:
        return self.batch

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """There is nothing to restore."""


def tokens_per_second(study: Study) -> tuple[float, int, Cell, str]:
    """Train the study's widest cell for a few steps on noise.

    The step is at its slowest on noise with the gates open, so the rate errs on the safe side.

    Returns:
        Tokens a second, d, the cell, and what was measured in words.
    """
    cell = max(study.cells, key=lambda cell: study.models[cell.model].d_model * cell.width)
    d, device = study.models[cell.model].d_model, device_of(study.config.device)
    sae = build(cell.variant, d, cell.width)
    recipe = replace(
        study.train_spec(cell).recipe,
        steps=2 * STEPS + 1,
        lr_warmup_steps=0,
        lambda_warmup_steps=0,
        k_warmup_steps=0,
    )
    sae.initialise(torch.zeros(d), cell.seed, recipe)
    sae.to(device)
    seconds: list[float] = []  # after steps 0, STEPS and 2 STEPS; their losses have been computed
    Trainer(
        sae,
        SameBatch(recipe.batch_size, d, device),
        recipe,
        log_every=STEPS,
        progress=lambda step, row: seconds.append(time.perf_counter()),
    ).run()
    rate = STEPS * recipe.batch_size / (seconds[2] - seconds[1])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "this CPU"
    threads = "" if device.type == "cuda" else f", {torch.get_num_threads()} threads"
    what = f"{STEPS} steps of {cell.variant} at H = {cell.width} on {name}{threads}"
    return rate, d, cell, what
