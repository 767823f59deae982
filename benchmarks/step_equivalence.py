"""Does the fast step give what the plain PyTorch step gives? R2 and L0 of both, over seeds.

    python -m benchmarks.step_equivalence TRAIN HELDOUT HOOKPOINT --variant gated --width 2304 \
        --lam 0.15 --tokens 1000000 --seeds 3

TRAIN and HELDOUT are stores, or manifests of a study. Trains the same cells twice from the same
seeds on the same batches, with `CpuStep` and with `Step`, and evaluates both on the same rows. The
two round differently, so a gate near its threshold may open in one and not in the other; what that
does to a result is set against what another seed does to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

import torch

from benchmarks.interleaved import table
from benchmarks.ours import plain
from pipeline.manifests import open_store
from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream, iterate
from sagsae.autoencoders.base import build
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.training.schedules import Recipe
from sagsae.training.trainer import Trainer

ROWS = 4096  # evaluated at once
METRICS = {"R2": ".5f", "L0": ".3f"}


def opened(path: Path) -> Store:
    """A store by its folder, or by the manifest that names it."""
    return open_store(path) if path.is_file() else Store.open(path)


def trained(
    stores: tuple[Store, Store],
    hookpoint: str,
    variant: str,
    width: int,
    recipe: Recipe,
    seed: int,
    fast: bool,
) -> dict[str, float]:
    """R2 and L0 on the second store after training on the first."""
    train, heldout = stores
    found = train.statistics(hookpoint)
    sae = build(variant, train.width(hookpoint), width, found.scale)
    sae.initialise(torch.from_numpy(found.mean * found.scale), seed, recipe.theta_init)
    with ActivationStream(train, hookpoint, recipe.batch_size, seed) as stream:
        run = Trainer(sae, stream, recipe)
        (run if fast else plain(run)).run()
    quality = evaluate_reconstruction(sae, iterate(heldout, hookpoint, ROWS))
    return {"R2": quality.r2, "L0": quality.l0}


def comparison(fast: list[dict[str, float]], slow: list[dict[str, float]]) -> str:
    """Both steps' results by seed, their differences, and the spread between seeds."""
    headings = ["seed", *(f"{name}, {step}" for name in METRICS for step in ("fast", "plain"))]
    rows = []
    for seed, pair in enumerate(zip(fast, slow, strict=True)):
        cells = [f"{found[name]:{how}}" for name, how in METRICS.items() for found in pair]
        rows.append([str(seed), *cells])
    lines = [table(headings, rows), ""]
    for name, how in METRICS.items():
        gaps = [a[name] - b[name] for a, b in zip(fast, slow, strict=True)]
        spread = stdev(found[name] for found in slow)
        lines.append(
            f"{name}: fast less plain {mean(gaps):+{how}} on average, {max(gaps, key=abs):+{how}} "
            f"at most; standard deviation over seeds {spread:{how}}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("hookpoint")
    parser.add_argument("--variant", default="sagsae_tied")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--lam", type=float, required=True)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    steps = args.tokens // args.batch
    recipe = Recipe(
        steps=steps,
        batch_size=args.batch,
        lam=args.lam,
        learning_rate=args.learning_rate,
        lr_warmup_steps=steps // 20,
        lambda_warmup_steps=steps // 5,
    )
    stores = opened(args.train), opened(args.heldout)
    fast, slow = (
        [
            trained(stores, args.hookpoint, args.variant, args.width, recipe, seed, is_fast)
            for seed in range(args.seeds)
        ]
        for is_fast in (True, False)
    )
    print(f"{args.variant}, H = {args.width}, lambda {args.lam}, {steps} steps of {args.batch}\n")
    print(comparison(fast, slow))


if __name__ == "__main__":
    main()
