"""Tokens per second of a training step beside SAELens and dictionary_learning, and its parts.

    python -m benchmarks.step --peers .venv-peers/bin/python

Every round runs each contender in turn. Prints medians and ratios over the rounds, the seven dense
products measured in the same run, and the time of every part of a step. ``--check`` fails where a
ratio to the best peer is below what docs/performance.md promises.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.interleaved import Timing, interleaved, table
from benchmarks.ours import STATES, sparse_batches, trainer
from benchmarks.promises import add_check, check, with_peers
from benchmarks.workers import Worker
from pipeline.jobs.stage import SPIN_COUNT
from sagsae.training import codes, optimiser, selection, weight_updates
from sagsae.training.step import products_dtype

PARTS = {
    torch: ["mm"],
    selection: ["beyond", "order_by_latent"],
    codes: ["codes_of_entries", "rows_of_entries", "spread", "errors_of_rows", "back_of_rows"],
    weight_updates: ["update_on_open"],
    optimiser: ["update_from_memory"],
}
"""Functions that a step calls, by the module in which they are looked up."""

PEERS = ("SAELens", "dictionary_learning")


def as_jobs_run() -> dict[str, str]:
    """The environment of the workflow's jobs, for our steps. Peers keep OpenMP's own setting."""
    return {"GOMP_SPINCOUNT": str(SPIN_COUNT), **os.environ}


def compete(args: argparse.Namespace, path: Path) -> dict[str, Timing]:
    """Seconds per step, by contender."""
    common = ["--width", str(args.width), "--threads", str(args.threads), "--batches", str(path)]
    with ExitStack() as stack:
        ours = Worker(sys.executable, "benchmarks.ours", *common, environment=as_jobs_run())
        workers = [(stack.enter_context(ours), 4)]
        for library in PEERS if args.peers else ():
            options = [*common, "--library", library]
            worker = Worker(args.peers, "benchmarks.peers", *options)
            workers.append((stack.enter_context(worker), 2))  # steps a round: theirs are longer
        timings = {name: Timing([], []) for worker, _ in workers for name in worker.names}
        for number in range(args.rounds + 1):
            for worker, steps in workers:
                for name in worker.names:
                    wall, cpu = worker.run(name, steps)
                    if number:  # the first one compiles
                        timings[name].wall.append(wall / steps)
                        timings[name].cpu.append(cpu / steps)
    return timings


def best_peer(timings: dict[str, Timing]) -> str:
    """The fastest setting of any peer; empty where there is none."""
    peers = {name: timing for name, timing in timings.items() if name.startswith(PEERS)}
    return min(peers, key=lambda name: median(peers[name].wall), default="")


def ratios(timings: dict[str, Timing]) -> dict[str, float]:
    """How many times as fast as the best peer, in processor time, by variant and state."""
    peer = timings[best_peer(timings)]
    own = {name: timing for name, timing in timings.items() if not name.startswith(PEERS)}
    return {name.removeprefix("sagsae, "): own[name].cpu_ratio(peer) for name in own}


def comparison(timings: dict[str, Timing], batch: int) -> str:
    """Each contender against SAELens as shipped and the best setting of any peer."""
    best = best_peer(timings)
    headings = ["step", "ms", "CPU ms", "tokens/s"]
    headings += ["x SAELens as shipped", f"x best peer ({best})"] if best else []
    rows = []
    for name, timing in timings.items():
        wall = median(timing.wall)
        cells = [name, f"{wall * 1e3:.1f}", f"{median(timing.cpu) * 1e3:.1f}"]
        cells.append(f"{batch / wall:,.0f}")
        for peer in ("SAELens, as shipped", best) if best else ():
            ratios = timing.wall_ratio(timings[peer]), timing.cpu_ratio(timings[peer])
            cells.append("{:.2f} (CPU {:.2f})".format(*ratios))
        rows.append(cells)
    return table(headings, rows)


def seven_products(d: int, width: int, batch: int) -> Timing:
    """The seven dense products of a step, several times."""
    dtype = products_dtype("auto", torch.device("cpu"))
    x, u = torch.randn(batch, d).to(dtype), torch.randn(batch, width).to(dtype)
    W = torch.randn(width, d).to(dtype)
    out, weights = torch.empty_like(x), torch.empty_like(W)

    def products(_: int) -> None:
        for _ in range(3):  # encode, and back to both codes
            torch.mm(x, W.T, out=u)
        for _ in range(2):  # decode both codes; gradients of both weights
            torch.mm(u, W, out=out)
            torch.mm(u.T, x, out=weights)

    return interleaved({"products": products}, 5)["products"]


@contextmanager
def timed_parts(clock: Callable[[], float], parts: dict[Any, list[str]] = PARTS) -> Any:
    """Seconds by part, summed over the calls made inside; threads of one call are added up.

    Args:
        clock: What time is taken from.
        parts: Module -> names of its functions, looked up there by their callers.
    """
    seconds: dict[str, float] = defaultdict(float)
    kept = [(module, name, getattr(module, name)) for module in parts for name in parts[module]]

    def timed(name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            try:
                return part(*args, **kwargs)
            finally:
                seconds[name] += clock() - began

        return call

    for module, name, part in kept:
        setattr(module, name, timed(name, part))
    try:
        yield seconds
    finally:
        for module, name, part in kept:
            setattr(module, name, part)


def profile(width: int, batches: list[torch.Tensor], steps: int = 8) -> str:
    """Processor time of each part of a step on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    columns = []
    for l0 in STATES.values():
        run = trainer("sagsae_tied", width, batches, l0)
        for _ in range(2):
            run._advance()
        with timed_parts(time.process_time) as seconds:
            began = time.process_time()
            for _ in range(steps):
                run._advance()
            total = time.process_time() - began
        seconds["everything else"] = total - sum(seconds.values())
        columns.append({name: part / steps for name, part in [*seconds.items(), ("step", total)]})
    torch.set_num_threads(threads)
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [
        [name, *(f"{column[name] * 1e3:.2f}" if name in column else "" for column in columns)]
        for name in sorted(names, key=lambda n: (n == "step", n == "everything else"))
    ]
    return table(["ms of one core", *STATES], rows)


STARTING = """
import time, torch
from benchmarks.ours import sparse_batches, trainer
torch.set_num_threads(1)
runs = [trainer("sagsae_tied", 256, list(sparse_batches(1, 256, 64)), l0) for l0 in (None, 8.0)]
began = time.perf_counter(), time.process_time()
for run in runs:
    run._advance()
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""


def start_up() -> str:
    """First steps on both paths in a new process: kernels compiled, then from Numba's cache."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for name in ("an empty cache", "a warm cache"):
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            command = [sys.executable, "-c", STARTING]
            found = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            ).stdout
            rows.append([name, *(f"{float(seconds):.2f}" for seconds in found.split())])
    return table(["a job's first steps with", "s", "CPU s"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="interpreter of the peers' environment")
    parser.add_argument("--d", type=int, default=576)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--batch", type=int, default=2048)
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
    print(f"d = {args.d}, H = {args.width}, batch {args.batch}, {args.threads} threads\n")
    print(comparison(timings, args.batch))
    floor = seven_products(args.d, args.width, args.batch)
    wall, cpu = median(floor.wall), median(floor.cpu)
    rate = 14 * args.batch * args.d * args.width / wall / 1e9
    print(
        f"\nSeven dense products: {wall * 1e3:.1f} ms, {cpu * 1e3:.1f} CPU ms, {rate:.0f} GFLOP/s\n"
    )
    print(profile(args.width, list(batches)))
    print(f"\n{start_up()}")
    if args.check:
        check(ratios(timings))


if __name__ == "__main__":
    main()
