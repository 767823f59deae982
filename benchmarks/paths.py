"""Both paths of a training step on a CPU, forced, over the L0 between them.

    python -m benchmarks.paths [--check]

A step works on open entries alone, or with dense products, by the share of open entries. Each row
sets an L0 and runs the step on either path and as it chooses. The last column says how far the
choice is from the better path.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import torch

from benchmarks import our_families, ours
from benchmarks.interleaved import interleaved, table
from benchmarks.promises import BETTER_PATH, add_check, check
from sagsae.training.cpu_step import CpuStep
from sagsae.training.trainer import Trainer

NAMES = ["gated", "sagsae_tied", "relu", "absjumprelu"]
L0S = (32, 64, 100, 150, 230, 400, 700)


def trainer(name: str, width: int, batches: list[torch.Tensor], l0: int | None) -> Trainer:
    """At an L0, or as initialised."""
    if name in our_families.NAMES:
        state = our_families.START if l0 is None else f"L0 = {l0}"
        return our_families.trainer(name, width, l0 or 1, batches, state)
    return ours.trainer(name, width, batches, l0)


def on_path(run: Trainer, dense_from: float) -> Callable[[int], None]:
    """An arm that makes a step from a share of open entries on with dense products."""

    def step(_: int) -> None:
        assert isinstance(run.compute, CpuStep)
        run.compute.dense_from = dense_from
        run._advance()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--d", type=int, default=576)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--l0s", type=int, nargs="+", default=L0S)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    add_check(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batches, rows, worst = list(ours.sparse_batches(2, args.batch, args.d)), [], 1.0
    for name in args.names:
        for l0 in [*args.l0s, None]:
            run = trainer(name, args.width, batches, l0)
            assert isinstance(run.compute, CpuStep)
            usual, entries = run.compute.dense_from, run.compute.entries
            arms = {"entries": on_path(run, torch.inf), "dense": on_path(run, 0.0)}
            found = interleaved(arms, args.rounds)
            on_path(run, usual)(0)
            share = (entries.ends - entries.starts).sum() / run.compute.u.numel()
            chosen = "dense" if run.compute.dense else "entries"
            times = {arm: median(timing.cpu) for arm, timing in found.items()}
            ratio = min(1.0, *(found[chosen].cpu_ratio(timing) for timing in found.values()))
            worst = min(worst, ratio)
            cells = [f"{name}, {'start' if l0 is None else f'L0 = {l0}'}", f"{share:.3f}"]
            cells += [f"{seconds * 1e3:.0f}" for seconds in times.values()]
            rows.append([*cells, chosen, f"{ratio:.2f}"])
    print(f"d = {args.d}, H = {args.width}, batch {args.batch}, {args.threads} threads\n")
    headings = ["step", "share open", "entries, CPU ms", "dense, CPU ms", "chosen"]
    print(table([*headings, "of the better"], rows))
    if args.check:
        check({BETTER_PATH: worst})


if __name__ == "__main__":
    main()
