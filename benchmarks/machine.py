"""What the machine can do at most: the rates that the floors of the other benchmarks rest on.

    python -m benchmarks.machine

Products have the shapes of a training step at d = 576, H = 2304 and batch 2048; a copy reads and
writes 512 MiB, which no cache holds.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from statistics import median

import torch

from benchmarks.interleaved import interleaved, table
from pipeline.tools.publish import installed, machine

B, D, H = 2048, 576, 2304
PRODUCT = 2 * B * D * H
"""FLOP of one product of a step."""
COPIED = 2**29
"""Bytes."""
REPEATS = 5


def caches() -> str:
    """Of the first core: level, kind and size."""
    root = Path("/sys/devices/system/cpu/cpu0/cache")
    found = [
        [(index / name).read_text().strip() for name in ("level", "type", "size")]
        for index in sorted(root.glob("index*"))
    ]
    return ", ".join(f"L{level} {kind.lower()} {size}" for level, kind, size in found) or "unknown"


def repeated(work: partial[object], _round: int) -> None:
    for _ in range(REPEATS):
        work()


def rates(threads: int, rounds: int) -> list[list[str]]:
    """A row for each rate on so many threads: what, threads, median, unit."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    source = torch.zeros(COPIED, dtype=torch.uint8)
    arms: dict[str, partial[object]] = {
        "copy in memory": partial(torch.empty_like(source).copy_, source)
    }
    amounts = {"copy in memory": (2 * COPIED, "GB/s, read and written")}
    for dtype in (torch.bfloat16, torch.float32):
        name = f"product in {str(dtype).removeprefix('torch.')}"
        x = torch.randn(B, D, generator=generator).to(dtype)
        W = torch.randn(H, D, generator=generator).to(dtype)
        arms[name] = partial(torch.mm, x, W.T, out=torch.empty(B, H, dtype=dtype))
        amounts[name] = PRODUCT, "GFLOP/s"
    timings = interleaved({name: partial(repeated, work) for name, work in arms.items()}, rounds)
    return [
        [name, str(threads), f"{amount * REPEATS / median(timings[name].wall) / 1e9:,.0f}", unit]
        for name, (amount, unit) in amounts.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(f"{machine()}; {caches()}; load average {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in installed().items()))
    counts = sorted({1, len(os.sched_getaffinity(0))})
    rows = [row for threads in counts for row in rates(threads, options.rounds)]
    print(table(["rate", "threads", "median", "unit"], rows))


if __name__ == "__main__":
    main()
