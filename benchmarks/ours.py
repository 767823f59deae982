"""Worker: training steps of this library, as its `Trainer` makes them, logging and checks included.

States of an autoencoder: ``start`` is as initialised; many gates are open and every product is
dense. For ``L0 = n``, thresholds are set so that n latents open per token on average. Their
frequencies spread log-normally over two decades, as in trained ones. ``plain``: the PyTorch step.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from benchmarks.workers import Step, arguments, load_batches, serve
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import build
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.optimiser import Optimiser
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer

SPREAD = 1.5
"""Standard deviation of log frequencies: most latents within a factor of 20 of the median."""


class Repeated:
    """A few batches without end, stored as bfloat16 like those of a store."""

    wait_seconds = 0.0

    def __init__(self, batches: list[Tensor], device: torch.device) -> None:
        self._batches = cycle([batch.to(device, torch.bfloat16) for batch in batches])

    def __next__(self) -> Tensor:
        return next(self._batches)

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        return


def sparse_batches(count: int, size: int, d: int, seed: int = 0) -> Tensor:
    """[count, size, d] batches of 40 out of 4d signed directions and some noise, mean square 1."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(4 * d, d, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    batches = torch.empty(count, size, d)
    for batch in batches:
        picked = torch.randint(0, 4 * d, (size, 40), generator=generator)
        sizes = torch.randn(size, 40, generator=generator)
        torch.mm(torch.zeros(size, 4 * d).scatter_(1, picked, sizes), directions, out=batch)
        batch += 0.02 * torch.randn(size, d, generator=generator)
    return batches / batches.square().sum(-1).mean().sqrt()


def often_as_trained(width: int, l0: float, seed: int = 0) -> Tensor:
    """[H] share of the rows on which each latent is active, with ``l0`` active ones a row."""
    generator = torch.Generator().manual_seed(seed)
    spread = (torch.randn(width, generator=generator) * SPREAD).exp()
    for _ in range(20):  # what the limit takes from some goes to the others
        spread = spread.mul_(l0 / spread.sum()).clamp_max_(0.5)
    return spread


def open_as_trained(sae: Autoencoder, x: Tensor, l0: float, seed: int = 0) -> None:
    """Set thresholds so that about ``l0`` gates are open a row, some latents far more often."""
    u = (x - sae.params["b_dec"]) @ sae.params["W_enc"]
    sizes = (u if sae.name == "gated" else u.abs()).sort(dim=0, descending=True).values
    often = often_as_trained(sae.width, l0, seed).to(x.device)
    ranks = (often * len(x)).round().long().clamp_max_(len(x) - 1)
    thresholds = sizes.gather(0, ranks[None])[0].clamp_min_(0)
    for name, value in sae.params.items():
        if name.startswith("theta"):
            value.copy_(thresholds)
        elif name == "b_gate":
            value.copy_(-thresholds)


def trainer(
    name: str, width: int, batches: list[Tensor], l0: float | None, device: str = "cpu"
) -> Trainer:
    """A trainer at one state, which it keeps: rates are small, and lambda is zero."""
    size, d = batches[0].shape
    sae = build(name, d, width)
    sae.initialise(batches[0].mean(0), 0)
    sae.to(device)
    if l0 is not None:
        open_as_trained(sae, batches[0].to(device), l0)
    recipe = Recipe(steps=10**9, batch_size=size, lam=0.0, learning_rate=1e-7)
    return Trainer(sae, Repeated(batches, torch.device(device)), recipe)


def plain(run: Trainer) -> Trainer:
    """The same with its loss in plain PyTorch, differentiated by autograd."""
    run.compute = AutogradStep(run.sae, run.dtype)
    run.optimiser = Optimiser(run.compute, run.recipe)
    return run


STATES = {"start": None, "L0 = 64": 64.0, "L0 = 100": 100.0}
CONTENDERS = {
    f"sagsae, {name}, {state}": (name, l0)
    for name in ("gated", "sagsae_tied")
    for state, l0 in STATES.items()
}
PLAIN = "sagsae, gated, plain PyTorch"


def contenders(width: int, batches: list[Tensor]) -> dict[str, Step]:
    """What the worker offers: a step by name."""
    made: dict[str, Step] = {
        label: trainer(name, width, batches, l0)._advance
        for label, (name, l0) in CONTENDERS.items()
    }
    return made | {PLAIN: plain(trainer("gated", width, batches, 64.0))._advance}


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    serve(lambda: contenders(args.width, load_batches(args.batches)))


if __name__ == "__main__":
    main()
