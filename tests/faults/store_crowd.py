"""A writer, readers and an intruder on one activation store, each a process; prints what they saw.

    python -m tests.faults.store_crowd PLANS.json

A list of plans, done in turn: ``path`` of the store; ``lone``, of one that a single writer makes;
``changes`` of its configuration; ``pause``, mean seconds between two blocks;
``readers`` of chunks and ``streams``; ``seed``.
Children are forked before this process has touched Zarr. Prints a list of JSON objects: for each
role, what each process of it counted.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from activation_samples import block_data, small_config

from sagsae.activations import ActivationStream, Store, StoreConfig, StoreError, StoreWriter, layout
from sagsae.activations.errors import StoreLockedError
from sagsae.activations.layout import LOCK, SEALED

PATIENCE = 120.0
"""Seconds until a process gives the others up."""


@cache
def expected(config_json: str, block: int) -> dict[str, np.ndarray]:
    """What a block has to hold, by array, computed without a store."""
    config = StoreConfig(**json.loads(config_json))
    data = block_data(config, block)
    order = np.random.default_rng([config.seed, block]).permutation(config.rows_per_block)
    rows = {name: np.asarray(data[name])[order] for name in layout.TOKEN_ARRAYS}
    for name, x in data["activations"].items():
        stored = x[torch.from_numpy(order)].to(getattr(torch, config.dtype))
        bits = stored.view(torch.int16).numpy().view(np.uint16)
        rows[name] = bits if config.dtype == "bfloat16" else stored.numpy()
    return rows


class Looks:
    """Opens a store again and again until it is sealed, and once more after that."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.path, self.config = Path(plan["path"]), plan["config"]
        self.counts: Counter[str] = Counter()

    def follow(self, look: Callable[[Store], None]) -> dict[str, int]:
        """Call ``look`` with every store that could be opened; errors end this process."""
        deadline, last, blocks = time.monotonic() + PATIENCE, False, set()
        while not last:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} was not sealed in {PATIENCE} s")
            last = (self.path / SEALED).exists()
            try:
                store = Store.open(self.path, require_sealed=last)
            except StoreError as error:
                if blocks or not not_there_yet(error):
                    raise
                self.counts["not there yet"] += 1
                time.sleep(0.002)
                continue
            if not blocks <= set(store.blocks):
                raise AssertionError(f"blocks {blocks - set(store.blocks)} are gone")
            blocks = set(store.blocks)
            look(store)
            self.counts["opened"] += 1
            self.counts["unsealed"] += not last
            time.sleep(0.005)  # or the writer is starved by those who wait for it
        return self.counts

    def chunks(self, store: Store) -> None:
        """Compare every committed chunk and token with the known content."""
        for place, block in enumerate(store.blocks):
            want = expected(self.config, block)
            for name, values in store.read_tokens(block).items():
                self.compare(values, want[name])
            per_block, size = store.config.chunks_per_block, store.config.rows_per_chunk
            for name in store.config.hookpoints:
                for i in range(per_block):
                    rows = want[name][i * size : (i + 1) * size]
                    self.compare(store.read_chunk(name, place * per_block + i), rows)

    def compare(self, found: np.ndarray, want: np.ndarray) -> None:
        self.counts["reads"] += 1
        self.counts["wrong"] += not (found.dtype == want.dtype and np.array_equal(found, want))

    def epochs(self, store: Store) -> None:
        """Compare one epoch of a shuffled stream with the rows that are committed."""
        if not store.blocks:
            return
        name = sorted(store.config.hookpoints)[self.counts["opened"] % 2]
        size = store.config.rows_per_chunk
        with ActivationStream(store, name, size, seed=1, group_chunks=3) as stream:
            parts = [next(stream) for _ in range(store.n_chunks(name))]
        want = np.concatenate([expected(self.config, block)[name] for block in store.blocks])
        found = torch.cat(parts)
        bits = found.view(torch.int16).numpy() if found.dtype == torch.bfloat16 else found.numpy()
        self.compare(in_order(bits.view(want.dtype)), in_order(want))


def in_order(rows: np.ndarray) -> np.ndarray:
    """Rows sorted by their columns."""
    return rows[np.lexsort(rows.T)]


def not_there_yet(error: StoreError) -> bool:
    """Whether a store could not be opened because its writer is only just making it."""
    return "no activation store at" in str(error)


def write(plan: dict[str, Any]) -> dict[str, int]:
    """Write blocks, slowly, and seal the store."""
    config, chance = StoreConfig(**json.loads(plan["config"])), random.Random(plan["seed"])
    with StoreWriter(Path(plan["path"]), config) as writer:
        for block in (pending := writer.pending_blocks()):
            writer.write_block(block, **block_data(config, block))
            time.sleep(chance.uniform(0, 2 * plan["pause"]))
        writer.seal()
    return {"blocks": len(pending)}


def intrude(plan: dict[str, Any]) -> dict[str, int]:
    """Try to write as well while another does; count refusals, and what they call it."""
    path, config = Path(plan["path"]), StoreConfig(**json.loads(plan["config"]))
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + PATIENCE
    while not any(path.glob("commits/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    while time.monotonic() < deadline:
        signed = (path / LOCK).read_text() or "another process"
        try:
            with StoreWriter(path, config):
                written = len(list(path.glob("commits/*.json")))
                if written == config.n_blocks:
                    return counts
                raise AssertionError(f"let in while there were {written} blocks")
        except StoreLockedError as error:
            counts["refused"] += 1
            counts["named"] += f"in use by {signed}" in str(error)
            counts["anonymous"] += "in use by another process" in str(error)
        time.sleep(0.02)
    raise TimeoutError("the writer held its lock for ever")


def child(role: str, work: Callable[[], dict[str, int]], folder: Path) -> tuple[str, int, Path]:
    """A process that does ``work`` and leaves its counts, or its error, in a file."""
    report = folder / f"{role}-{time.monotonic_ns()}.json"
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        try:
            found: dict[str, Any] = dict(work())
        except BaseException:
            found = {"error": traceback.format_exc()}
        report.write_text(json.dumps(found))
        os._exit(0)
    return role, process, report


def run(plan: dict[str, Any], folder: Path) -> dict[str, list[Any]]:
    """One store; what each process counted, by role."""
    plan["config"] = json.dumps(asdict(small_config(**plan["changes"])))
    looks, readers, streams = Looks(plan), range(plan["readers"]), range(plan["streams"])
    others = [child("read", lambda: looks.follow(looks.chunks), folder) for _ in readers]
    others += [child("stream", lambda: looks.follow(looks.epochs), folder) for _ in streams]
    others.append(child("intrude", lambda: intrude(plan), folder))
    found = counts([child("write", lambda: write(plan), folder)])
    lone = plan | {"path": plan["lone"], "pause": 0.0}
    return found | counts([*others, child("lone", lambda: write(lone), folder)])


def counts(children: list[tuple[str, int, Path]]) -> dict[str, list[Any]]:
    """Wait for processes; what each counted, by role."""
    found: dict[str, list[Any]] = {}
    for role, process, report in children:
        os.waitpid(process, 0)
        found.setdefault(role, []).append(json.loads(report.read_text()))
    return found


def main() -> None:
    file = Path(sys.argv[1])
    print(json.dumps([run(plan, file.parent) for plan in json.loads(file.read_text())]))


if __name__ == "__main__":
    main()
