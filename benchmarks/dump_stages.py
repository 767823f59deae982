"""What bounds a dump beside a GPU: stage times of one block, and a model of how they overlap.

    python -m benchmarks.dump_stages [--width 2048 --rows 131072 --hookpoints 3 --forward 1.0]

The first table has the host's stages, each measured by itself in one thread on some of the rows and
scaled to a block: permuting, statistics, checksums, files, fsync. The second one is the model. A
block takes as long as the slowest of what goes on at once:

    forward   the GPU's passes (--forward, seconds; nothing here measures a GPU)
    copy      its bytes over the bus (--bus, GB/s)
    host      processor time of all stages, over the cores that writers can have
    latency   time of a block from the first stage to the last on a free machine, processor and disk
              together, over the number of writers
    disk      its bytes over the rate of the disk (--disk, GB/s; default: as measured with fsync)

The third one lets real writers write random rows that cost nothing to make, as a device would that
is infinitely fast, and counts how long the reader waits for memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.interleaved import interleaved, table
from sagsae.activations.arrays import crc32c, stored_rows
from sagsae.activations.commits import RunningMoments
from sagsae.activations.layout import StoreConfig
from sagsae.activations.writer import StoreWriter
from sagsae.storage import Folder

STAGES = ("permute", "statistics", "checksums", "files", "fsync")


@dataclass(frozen=True)
class Block:
    """What a block is made of."""

    rows: int
    width: int
    hookpoints: int
    rows_per_chunk: int

    @property
    def size(self) -> int:
        """Bytes in bfloat16."""
        return 2 * self.rows * self.width * self.hookpoints


@dataclass(frozen=True)
class Costs:
    """Seconds of one block, in one thread."""

    wall: dict[str, float]
    cpu: dict[str, float]


def stage_arms(block: Block, rows: int, folder: Path) -> dict[str, Callable[[int], object]]:
    """The stages of one hookpoint on some rows, a chunk at a time as `StoreWriter` does it."""
    bits = stored_rows(torch.randn(rows, block.width).bfloat16(), "bfloat16")
    order = np.random.default_rng(0).permutation(rows)
    size = min(block.rows_per_chunk, rows)
    starts = range(0, rows, size)
    chunks = [bits[order[start : start + size]] for start in starts]
    sums = [crc32c(chunk) for chunk in chunks]
    names, place = [f"c.{i}.0" for i in range(len(chunks))], Folder(folder)

    def files_of(_: int) -> None:
        for name, chunk, checksum in zip(names, chunks, sums, strict=True):
            trailer = bytes.fromhex(checksum)[::-1]
            place.write(name, chunk.data.cast("B"), trailer, flush=False)

    def flush(_: int) -> None:
        place.settle([*names, ""])

    def statistics(_: int) -> None:
        moments = RunningMoments(block.width)
        for chunk in chunks:
            moments.add(chunk)
        moments.total()

    return {
        "permute": lambda _: [bits[order[start : start + size]] for start in starts],
        "statistics": statistics,
        "checksums": lambda _: [crc32c(chunk) for chunk in chunks],
        "files": files_of,
        "fsync": flush,
    }


def measure(block: Block, rows: int, rounds: int, folder: Path) -> Costs:
    """Stage times of a block, from medians over a part of one hookpoint."""
    timings = interleaved(stage_arms(block, rows, folder), rounds)
    factor = block.rows * block.hookpoints / rows
    wall = {name: factor * median(timing.wall) for name, timing in timings.items()}
    return Costs(wall, {name: factor * median(timing.cpu) for name, timing in timings.items()})


def bounds(
    block: Block, costs: Costs, writers: int, cores: int, forward: float, bus: float, disk: float
) -> dict[str, float]:
    """Seconds a block that each resource allows; the largest is what a dump takes."""
    return {
        "forward": forward,
        "copy": block.size / bus / 1e9,
        "host": sum(costs.cpu.values()) / min(writers, cores),
        "latency": (sum(costs.cpu.values()) + block.size / disk / 1e9) / writers,
        "disk": block.size / disk / 1e9,
    }


def written(block: Block, writers: int, folder: Path, blocks: int) -> tuple[float, float]:
    """Seconds per block, and those the reader waits per block, with a device that takes no time."""
    config = StoreConfig(
        hookpoints={f"h{i}": block.width for i in range(block.hookpoints)},
        rows_per_chunk=min(block.rows_per_chunk, block.rows),
        rows_per_block=block.rows,
        n_blocks=blocks,
        seed=0,
    )
    x, zeros = torch.randn(block.rows, block.width).bfloat16(), np.zeros(block.rows, np.int32)
    rows, waited = dict.fromkeys(config.hookpoints, x), 0.0
    with StoreWriter(folder, config) as writer, ThreadPoolExecutor(writers) as threads:
        began, running = time.perf_counter(), []
        for number in range(blocks):
            if len(running) > writers:
                before = time.perf_counter()
                running.pop(0).result()
                waited += time.perf_counter() - before
            block_of = (rows, zeros, zeros, zeros, {}, {})
            running.append(threads.submit(writer.write_block, number, *block_of))
        for future in running:
            future.result()
        return (time.perf_counter() - began) / blocks, waited / blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=2**17, help="of a block")
    parser.add_argument("--hookpoints", type=int, default=3)
    parser.add_argument("--rows-per-chunk", type=int, default=2048)
    parser.add_argument("--measured-rows", type=int, default=2**14)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--forward", type=float, default=1.0, help="seconds a block, of the GPU")
    parser.add_argument("--bus", type=float, default=25.0, help="GB/s, pinned memory")
    parser.add_argument("--disk", type=float, help="GB/s; default: as measured")
    parser.add_argument("--cores", type=int, default=15, help="that writers can have")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4, 6, 8])
    parser.add_argument("--folder", type=Path, help="where files go; default: temporary")
    options = parser.parse_args()
    torch.set_num_threads(1)
    block = Block(options.rows, options.width, options.hookpoints, options.rows_per_chunk)
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        costs = measure(block, options.measured_rows, options.rounds, Path(root))
        small = Block(options.measured_rows, options.width, 1, options.rows_per_chunk)
        real = {
            writers: written(small, writers, Path(root) / f"of-{writers}", 2 * writers + 2)
            for writers in options.writers
            if writers <= 2 * (os.cpu_count() or 1)
        }
    disk = options.disk or block.size / (costs.wall["files"] + costs.wall["fsync"]) / 1e9
    print(f"A block: {block.rows} rows, {block.hookpoints} x {block.width}, {block.size:,} bytes\n")
    columns = [costs.wall, costs.cpu]
    rows = [[name, *(f"{column[name]:.2f}" for column in columns)] for name in STAGES]
    rows.append(["sum", *(f"{sum(column.values()):.2f}" for column in columns)])
    print(table(["stage", "s a block", "of CPU"], rows))
    print(f"\nModel: {options.cores} cores, bus {options.bus} GB/s, disk {disk:.2f} GB/s\n")
    rows = []
    for writers in options.writers:
        found = bounds(block, costs, writers, options.cores, options.forward, options.bus, disk)
        slowest = max(found, key=lambda name: found[name])
        cells = [f"{seconds:.2f}" for seconds in found.values()]
        rows.append([str(writers), *cells, f"{found[slowest]:.2f}", slowest])
    print(table(["writers", *found, "a block", "bound by"], rows))
    print(f"\nReal writers on {os.cpu_count()} cores, blocks of {small.size:,} bytes\n")
    rows = [[str(w), *(f"{seconds:.3f}" for seconds in real[w])] for w in real]
    print(table(["writers", "s a block", "the reader waits, s a block"], rows))


if __name__ == "__main__":
    main()
