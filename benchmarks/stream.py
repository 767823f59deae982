"""Shuffled batches from a warm store, beside the floors that no reader can beat.

    python -m benchmarks.stream [--folder DIR] [--rounds 5]

Two stores of width 576: chunks of 1024 rows (1.1 MiB, small studies) and of 8192 (9 MiB, the
recommended size). Every round reads each store once with every arm. The floors: a copy of the bytes
in memory; crc32c over them (numcodecs' beside it); the files, read into memory or mapped
and copied; one plain Zarr slice per chunk. The stream's rounds are epochs of one stream that never
stops, so that what it reads ahead is counted once. Then a Gated autoencoder trains on each store,
and its trainer records which share of the time it waited for batches.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import crc32c
import numpy as np
import torch
import zarr
from numcodecs import CRC32C

from benchmarks.interleaved import interleaved, table
from sagsae.activations.layout import StoreConfig
from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream
from sagsae.activations.writer import StoreWriter
from sagsae.autoencoders.weights import build
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer

WIDTH, BATCH, STEPS = 576, 1024, 200
STORES = {1024: (8192, 32), 8192: (131072, 2)}
"""Rows of a chunk: rows of a block and blocks."""


def make_store(path: Path, rows_per_chunk: int) -> Store:
    """A sealed store of random bfloat16 rows."""
    rows, n_blocks = STORES[rows_per_chunk]
    config = StoreConfig(
        hookpoints={"resid": WIDTH},
        rows_per_chunk=rows_per_chunk,
        rows_per_block=rows,
        n_blocks=n_blocks,
        seed=0,
    )
    generator, zeros = torch.Generator().manual_seed(0), np.zeros(rows, np.int32)
    with StoreWriter(path, config) as writer:
        for block in range(n_blocks):
            x = torch.randn(rows, WIDTH, generator=generator).bfloat16()
            writer.write_block(block, {"resid": x}, zeros, zeros, zeros, {}, {})
        writer.seal()
    return Store.open(path)


def arms_of(store: Store, stream: ActivationStream) -> dict[str, Callable[[int], object]]:
    """What is timed; each arm handles every byte of the store once."""
    chunk = np.empty((store.config.rows_per_chunk, WIDTH), np.uint16)
    other, chunks = np.empty_like(chunk), range(store.n_chunks("resid"))
    whole = np.concatenate([store.read_chunk("resid", i) for i in chunks])
    parts = np.split(whole, len(chunks))
    files = [store.path / f"data.zarr/resid/c.{i}.0" for i in chunks]
    array = zarr.open_group(store.path / "data.zarr", mode="r")["resid"]
    assert isinstance(array, zarr.Array)

    def read_file(i: int) -> None:
        with files[i].open("rb") as file:
            file.readinto(chunk.data.cast("B"))

    def map_file(i: int) -> None:
        np.copyto(chunk, np.memmap(files[i], np.uint16, "r", shape=chunk.shape))

    def batches(_: int) -> None:
        for _ in range(store.n_rows // BATCH):
            next(stream)

    def over_chunks(read: Callable[[int], object]) -> Callable[[int], None]:
        def run(_: int) -> None:
            for i in chunks:
                read(i)

        return run

    arms: dict[str, Callable[[int], object]] = {
        "memcpy": lambda i: np.copyto(other, parts[i]),
        "crc32c": lambda i: crc32c.crc32c(parts[i].reshape(-1).view("B")),
        "numcodecs crc32c": lambda i: CRC32C().encode(parts[i]),
        "files read": read_file,
        "memmap, copied": map_file,
        "Zarr slices": lambda i: array[i * len(chunk) : (i + 1) * len(chunk)],
        "read_chunk": lambda i: store.read_chunk("resid", i, chunk),
    }
    timed = {name: over_chunks(arm) for name, arm in arms.items()}
    return {**timed, "ActivationStream": batches}


def waiting_share(store: Store) -> float:
    """Share of the training loop's time spent in the stream."""
    scale = store.statistics("resid").scale
    sae = build("gated", WIDTH, 4 * WIDTH, scale)
    sae.initialise(torch.zeros(WIDTH), seed=0)
    recipe = Recipe(steps=STEPS, batch_size=BATCH, lam=0.1, learning_rate=1e-4)
    with ActivationStream(store, "resid", BATCH, seed=0) as stream:
        history = Trainer(sae, stream, recipe).run()
    return history.data_wait_seconds / history.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the stores go; default: temporary")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines, shares = [], []
    for rows_per_chunk in STORES:
        with ExitStack() as stack:
            root = stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder))
            store = make_store(Path(root) / "store", rows_per_chunk)
            stream = stack.enter_context(ActivationStream(store, "resid", BATCH, seed=0))
            timings = interleaved(arms_of(store, stream), options.rounds)
            shares.append(waiting_share(store))
        size = store.n_rows * WIDTH * 2 / 1e9
        for name, timing in timings.items():
            speeds = [size / median(seconds) for seconds in (timing.cpu, timing.wall)]
            ratio = timings["crc32c"].cpu_ratio(timing)
            lines.append([str(rows_per_chunk), name, *(f"{s:.2f}" for s in speeds), f"{ratio:.1f}"])
    print(table(["rows a chunk", "arm", "GB/s of CPU", "GB/s of wall", "CPU, crc32c = 1"], lines))
    for rows_per_chunk, share in zip(STORES, shares, strict=True):
        print(f"\n{rows_per_chunk} rows a chunk: training waits {share:.2%} of its time")


if __name__ == "__main__":
    main()
