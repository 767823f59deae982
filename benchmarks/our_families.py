"""Worker: training steps of the families without a gate, as our `Trainer` makes them.

Optimiser and clipping are those of the peers: Adam(0.9, 0.999), gradients of norm 1 at most. Of the
states, ``start`` is as initialised, where ReLU and JumpReLU leave half of the latents active; for
``L0 = k`` their biases and thresholds are set so that k latents are active per token, some far more
often than others (see `benchmarks.ours`). The k-sparse families have k active ones in any state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.ours import Repeated, often_as_trained
from benchmarks.workers import Step, arguments, load_batches, serve
from sagsae.autoencoders.registry import JUMPRELU, MATRYOSHKA, RELU, TOPK, VARIANTS, K, of_family
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.autoencoders.weights import build
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer

NAMES = of_family(RELU, TOPK, JUMPRELU, MATRYOSHKA)
START = "start"


def sparse_as_trained(sae: UngatedAutoencoder, x: Tensor, l0: float) -> None:
    """Set biases or thresholds so that about ``l0`` latents are active a row."""
    pre = (x - sae.params["b_dec"]) @ sae.params["W_enc"]
    keys = (pre.abs() if sae.two_sided else pre).sort(dim=0, descending=True).values
    ranks = (often_as_trained(sae.width, l0) * len(x)).round().long().clamp_max_(len(x) - 1)
    levels = keys.gather(0, ranks[None])[0].clamp_min_(0)
    if "threshold" in sae.params:
        sae.params["threshold"].copy_(levels)
    else:
        sae.params["b_enc"].copy_(-levels)


def trainer(name: str, width: int, k: int, batches: list[Tensor], state: str) -> Trainer:
    """A trainer at one state, which it keeps: rates are small, and lambda is zero."""
    size, d = batches[0].shape
    recipe = Recipe(
        steps=10**9,
        batch_size=size,
        lam=0.0,
        k=k if VARIANTS[name].knob == K else 0,
        learning_rate=1e-7,
        beta1=0.9,
        clip_gradient_norm=1.0,
    )
    sae = build(name, d, width)
    sae.initialise(batches[0].mean(0), 0, recipe)
    if state != START:
        assert isinstance(sae, UngatedAutoencoder)
        sparse_as_trained(sae, batches[0], k)
    return Trainer(sae, Repeated(batches, torch.device("cpu")), recipe)


def label(name: str, state: str) -> str:
    """A contender's name."""
    return f"{name}: sagsae, {state}"


def states(name: str, k: int) -> list[str]:
    """Those in which a variant is timed."""
    return [f"k = {k}"] if VARIANTS[name].knob == K else [START, f"L0 = {k}"]


def contenders(width: int, k: int, batches: list[Tensor], names: list[str]) -> dict[str, Step]:
    """A step by the name of a contender."""
    return {
        label(name, state): trainer(
            name, width, k, batches, START if VARIANTS[name].knob == K else state
        )._advance
        for name in names
        for state in states(name, k)
    }


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    names = [name for name in NAMES if name in args.names]
    serve(lambda: contenders(args.width, args.k, load_batches(args.batches), names))


if __name__ == "__main__":
    main()
