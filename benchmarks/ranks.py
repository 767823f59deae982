"""One dump process with all cores, or one process a core: which fills a store sooner on a CPU.

    python -m benchmarks.ranks [--model smollm2-135m] [--cores 2] [--rounds 5]

The arms take turns. Every round, each fills a store of its own with the same blocks: one rank of N
threads, or N ranks of one thread that share the blocks. The processes have loaded their models
before. The stores of a round must be equal to the byte.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks.interleaved import table
from benchmarks.models import SHAPES

LENGTH, BATCH = 128, 8


def serve(pipe: Connection, name: str, rows: int, blocks: int) -> None:
    """A process that fills stores as it is told: folder, threads, whether it is one of several."""
    import torch

    from benchmarks.dump import random_tokens
    from benchmarks.models import random_model
    from sagsae.activations.dump import DumpSettings, dump_activations
    from sagsae.activations.hookpoints import default_hookpoints
    from sagsae.activations.reading import contexts_per_block

    model = random_model(name)
    tokens = random_tokens(contexts_per_block(rows, LENGTH) * blocks, model.config.vocab_size)
    points = default_hookpoints(model.config.model_type, SHAPES[name][1])
    settings = DumpSettings(
        rows_per_chunk=min(1024, rows),
        rows_per_block=rows,
        n_blocks=blocks,
        seed=0,
        batch_contexts=BATCH,
    )
    calibration = torch.from_numpy(tokens.input_ids[:8]).long()
    pipe.send("ready")
    while (told := pipe.recv()) is not None:
        folder, threads, rank = told
        torch.set_num_threads(threads)
        began = time.process_time()
        arguments = (model, tokens, calibration, points, Path(folder), "bench", settings)
        dump_activations(*arguments, rank=rank, seal=False)
        pipe.send(time.process_time() - began)


def fill(pipes: list[Connection], folder: Path, threads: int) -> tuple[float, float]:
    """Seconds of wall and of processor time until all processes have ended their dump."""
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send((str(folder), threads, len(pipes) > 1))
    cpu = sum(pipe.recv() for pipe in pipes)
    return time.perf_counter() - began, cpu


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a store but its locks, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def measure(name: str, cores: int, rows: int, blocks: int, rounds: int) -> list[list[str]]:
    """The rows of the table."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(cores)]
    arguments = [(theirs, name, rows, blocks) for _, theirs in pairs]
    workers = [context.Process(target=serve, args=each, daemon=True) for each in arguments]
    for worker in workers:
        worker.start()
    pipes = [mine for mine, _ in pairs]
    for pipe in pipes:
        pipe.recv()
    arms = {f"1 rank of {cores} threads": (pipes[:1], cores), f"{cores} ranks of 1": (pipes, 1)}
    times: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as root:
            stores = []
            for arm, (taking_part, threads) in arms.items():
                folder = Path(root) / str(threads)
                times[arm].append(fill(taking_part, folder, threads))
                stores.append(contents(folder))
        if any(store != stores[0] for store in stores):
            raise RuntimeError("the stores of the two arms differ")
        print(f"round {number}: {[f'{t[-1][0]:.1f} s' for t in times.values()]}", flush=True)
    for pipe in pipes:
        pipe.send(None)
    tokens = rows * blocks
    first = next(iter(times.values()))[1:]  # the first round is not counted
    lines = []
    for arm, found in times.items():
        wall, cpu = zip(*found[1:], strict=True)
        ratios = [[b[i] / a[i] for a, b in zip(found[1:], first, strict=True)] for i in (0, 1)]
        speed = f"{tokens / median(wall):,.0f}"
        lines.append([name, arm, speed, f"{median(cpu):.1f}"])
        lines[-1] += [f"{median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rows", type=int, default=2048, help="of a block")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = measure(options.model, options.cores, options.rows, options.blocks, options.rounds)
    columns = ("rows/s of wall", "CPU s", "times as fast, wall", "CPU")
    print(table(["model", "arm", *columns], lines))


if __name__ == "__main__":
    main()
