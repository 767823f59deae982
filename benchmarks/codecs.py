"""Compressors on the activations of stores: size, and speed of writing and reading.

    python -m benchmarks.codecs STORE... [--rounds 5] [--megabytes 24]

The first chunks of each hookpoint go through a Zarr array in memory, with their checksum, as those
of a store do. Arms are interleaved, and one thread works. Speeds are uncompressed bytes per second
of processor time: the median of the rounds, then the mean over the hookpoints.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import zarr
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from benchmarks.interleaved import interleaved, table
from sagsae.activations.store import Store

ARMS: dict[str, list[BytesBytesCodec]] = {"none": [], "zstd 1": [ZstdCodec(level=1)]}
ARMS |= {
    f"{shuffle}, {cname} {level}, {block}": [
        BloscCodec(typesize=2, cname=cname, clevel=level, shuffle=shuffle, blocksize=size)
    ]
    for shuffle, (cname, level), (block, size) in product(
        ("shuffle", "bitshuffle"),
        (("lz4", 1), ("zstd", 1), ("zstd", 3)),
        (("Blosc's blocks", 0), ("1 MiB blocks", 2**20)),
    )
}


def sample(store: Store, hookpoint: str, size: int) -> np.ndarray:
    """The first chunks of a hookpoint, about `size` bytes: [rows, d] uint16."""
    row = 2 * store.config.rows_per_chunk * store.width(hookpoint)
    chunks = range(min(store.n_chunks(hookpoint), max(1, size // row)))
    return np.concatenate([store.read_chunk(hookpoint, chunk) for chunk in chunks])


def measure(rows: np.ndarray, chunk: int, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Of each arm: share of the bytes that is left, GB/s of writing and of reading."""
    arrays, stores, arms = {}, {}, {}
    for name, compressors in ARMS.items():
        stores[name] = MemoryStore()
        arrays[name] = zarr.create_array(
            stores[name],
            shape=rows.shape,
            dtype=rows.dtype,
            chunks=(chunk, rows.shape[1]),
            compressors=(*compressors, Crc32cCodec()),
        )
        arms[f"write {name}"] = partial(_write, arrays[name], rows)
        arms[f"read {name}"] = partial(_read, arrays[name])
    timings = interleaved(arms, rounds)
    speed = {arm: rows.nbytes / median(timing.cpu) / 1e9 for arm, timing in timings.items()}
    for name, array in arrays.items():
        assert np.array_equal(array[:], rows), name
    return {
        name: (
            arrays[name].nbytes_stored() / rows.nbytes,
            speed[f"write {name}"],
            speed[f"read {name}"],
        )
        for name in ARMS
    }


def _write(array: zarr.Array, rows: np.ndarray, _: int) -> None:
    array[:] = rows


def _read(array: zarr.Array, _: int) -> None:
    array[:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stores", nargs="+", type=Path, help="finished stores of bfloat16 rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=24, help="per hookpoint")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ARMS}
    for store in map(Store.open, options.stores):
        for hookpoint in store.config.hookpoints:
            rows = sample(store, hookpoint, options.megabytes * 2**20)
            with zarr.config.set({"async.concurrency": 1}):
                measured = measure(rows, store.config.rows_per_chunk, options.rounds)
            for name, values in measured.items():
                found[name].append(values)
    lines = []
    for name, values in found.items():
        left, write, read = np.mean(values, axis=0)
        worst = max(share for share, _, _ in values)
        lines.append([name, f"{left:.1%}", f"{worst:.1%}", f"{write:.2f}", f"{read:.2f}"])
    print(table(["compressor", "bytes left", "at worst", "write, GB/s", "read, GB/s"], lines))


if __name__ == "__main__":
    main()
