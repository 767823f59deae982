"""A training step of each family without a gate beside other libraries' own, and its parts.

    python -m benchmarks.families --peers .venv-peers/bin/python [--sparsify PYTHON]

Every round runs each contender in turn, in processes of their own. A family's best peer is the
fastest setting of any library that has it; ``--check`` fails where a ratio to it is below what
docs/performance.md promises. Two-sided variants that no library has are set beside the peers of
their one-sided form. sparsify has an environment of its own, which needs more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.interleaved import Timing, table
from benchmarks.our_families import NAMES, START, states, trainer
from benchmarks.ours import sparse_batches
from benchmarks.promises import add_check, check, with_peers
from benchmarks.step import as_jobs_run, timed_parts
from benchmarks.workers import StepFailed, Worker
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.training import batch_selection, codes, selection, weight_updates

PARTS = {
    torch: ["mm"],
    selection: ["top_of_rows", "beyond", "refine", "cut_of"],
    codes: ["codes_of_entries", "rows_of_entries", "spread", "errors_of_rows", "back_of_rows"],
    weight_updates: ["weight_gradients", "update_on_open", "update_from_memory"],
    batch_selection: ["_level"],
}
SELECTS = {*PARTS[selection], "_level"}
"""What finds the active entries."""


def one_sided(name: str) -> str:
    """The form of a variant that other libraries have."""
    return name.replace("abs", "")


def compete(args: argparse.Namespace, path: Path) -> dict[str, Timing]:
    """Seconds per step, by contender."""
    common = ["--width", str(args.width), "--threads", str(args.threads), "--batches", str(path)]
    common += ["--k", str(args.k)]
    with ExitStack() as stack:
        names = ["--names", *args.names]
        ours = Worker(
            sys.executable, "benchmarks.our_families", *common, *names, environment=as_jobs_run()
        )
        workers = [(stack.enter_context(ours), 4)]
        theirs = sorted({one_sided(name) for name in args.names} | {*args.names} & {"abstopk"})
        pythons = {"SAELens": args.peers, "dictionary_learning": args.peers}
        pythons["sparsify"] = args.sparsify
        for library, python in pythons.items():
            if python:
                options = [*common, "--library", library, "--names", *theirs]
                worker = Worker(python, "benchmarks.peer_families", *options)
                workers.append((stack.enter_context(worker), 2))
        timings = {name: Timing([], []) for worker, _ in workers for name in worker.names}
        for number in range(args.rounds + 1):
            for worker, steps in workers:
                for name in [name for name in worker.names if name in timings]:
                    try:
                        wall, cpu = worker.run(name, steps)
                    except StepFailed as error:
                        if ": sagsae, " in name:
                            raise
                        print(f"left out, {str(error).splitlines()[0]}\n", flush=True)
                        del timings[name]
                        continue
                    if number:  # the first one compiles
                        timings[name].wall.append(wall / steps)
                        timings[name].cpu.append(cpu / steps)
            print(f"round {number} of {args.rounds}", file=sys.stderr, flush=True)
    return timings


def best_peer(name: str, timings: dict[str, Timing]) -> str:
    """The fastest contender of another library for a variant; empty where there is none."""
    found = [c for c in timings if c.startswith(f"{name}: ") and ": sagsae, " not in c]
    if not found and one_sided(name) != name:
        return best_peer(one_sided(name), timings)
    return min(found, key=lambda c: median(timings[c].wall), default="")


def ratios(names: list[str], timings: dict[str, Timing]) -> dict[str, float]:
    """How many times as fast as its best peer, in processor time, by variant and state."""
    return {
        contender.replace(": sagsae, ", ", "): own.cpu_ratio(timings[best])
        for name in names
        if (best := best_peer(name, timings))
        for contender, own in timings.items()
        if contender.startswith(f"{name}: sagsae, ")
    }


def comparison(names: list[str], timings: dict[str, Timing], batch: int) -> str:
    """Each of our contenders against its best peer."""
    rows = []
    for name in names:
        best = best_peer(name, timings)
        for contender in (c for c in timings if c.startswith(f"{name}: sagsae, ")):
            own = timings[contender]
            cells = [contender, f"{median(own.wall) * 1e3:.1f}", f"{median(own.cpu) * 1e3:.1f}"]
            cells.append(f"{batch / median(own.wall):,.0f}")
            if best:
                peer = timings[best]
                cells += [best.partition(": ")[2], f"{median(peer.wall) * 1e3:.1f}"]
                ratios = own.wall_ratio(peer), own.cpu_ratio(peer)
                cells.append("{:.2f} (CPU {:.2f})".format(*ratios))
            rows.append(cells + [""] * (7 - len(cells)))
    headings = ["step", "ms", "CPU ms", "tokens/s", "best peer", "its ms", "times as fast"]
    return table(headings, rows)


def peers(timings: dict[str, Timing]) -> str:
    """All settings of the other libraries."""
    rows = [
        [name, f"{median(timing.wall) * 1e3:.1f}", f"{median(timing.cpu) * 1e3:.1f}"]
        for name, timing in timings.items()
        if ": sagsae, " not in name
    ]
    return table(["step", "ms", "CPU ms"], rows)


def profile(args: argparse.Namespace, batches: list[torch.Tensor], steps: int = 8) -> str:
    """Processor time of each part of a step on one thread: medians, and what selection takes of
    the encoder's product."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for name in args.names:
        for state in states(name, args.k):
            start = START if VARIANTS[name].knob == K else state
            run = trainer(name, args.width, args.k, batches, start)
            for _ in range(3):
                run._advance()
            found = []
            for _ in range(steps):
                with timed_parts(time.process_time, PARTS) as seconds:
                    began = time.process_time()
                    run._advance()
                    seconds["step"] = time.process_time() - began
                found.append(dict(seconds))
            parts = {key: median(one.get(key, 0.0) for one in found) for key in found[0]}
            selects = sum(value for key, value in parts.items() if key in SELECTS)
            product = encoder(run.compute, steps)
            rest = parts["step"] - selects - parts.get("mm", 0.0)
            numbers = [parts["step"], product, selects, parts.get("mm", 0.0), rest]
            cells = [f"{value * 1e3:.2f}" for value in numbers]
            rows.append([f"{name}, {state}", *cells, f"{selects / product:.2f}"])
    torch.set_num_threads(threads)
    headings = ["ms of one core", "step", "encoder product", "selection", "products", "rest"]
    return table([*headings, "selection / encoder"], rows)


def encoder(compute: Any, steps: int) -> float:
    """Seconds of the encoder's product of a step."""
    W, u = compute.W_enc, compute.u
    operand = torch.randn(len(u), len(W)).to(u.dtype)
    found = []
    for _ in range(steps):
        began = time.process_time()
        torch.mm(operand, W, out=u)
        found.append(time.process_time() - began)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="interpreter that has SAELens and dictionary_learning")
    parser.add_argument("--sparsify", help="interpreter that has eai-sparsify")
    parser.add_argument("--names", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--d", type=int, default=576)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    add_check(parser)
    args = parser.parse_args()
    with_peers(parser, args)
    torch.set_num_threads(args.threads)
    batches = sparse_batches(4, args.batch, args.d)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batches.npy"
        np.save(path, batches.numpy())
        timings = compete(args, path)
    sizes = f"d = {args.d}, H = {args.width}, batch {args.batch}, k = {args.k}"
    print(f"{sizes}, {args.threads} threads, {args.rounds} rounds\n")
    print(comparison(args.names, timings, args.batch))
    if args.peers or args.sparsify:
        print(f"\n{peers(timings)}")
    print(f"\n{profile(args, list(batches))}")
    if args.check:
        check(ratios(args.names, timings))


if __name__ == "__main__":
    main()
