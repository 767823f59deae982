"""One pass of a language model fills one store with all its hookpoints.

Block b is made from contexts [b * C, (b + 1) * C) alone, with C = `contexts_per_block`. So blocks
come out the same in any order, from any of several processes, and when they are made again after a
kill.

The main thread runs the model and nothing else. Threads permute, check, write and flush blocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor, nn

from sagsae.activations.calibration import load_calibration, median_norms, save_calibration
from sagsae.activations.commits import read_commits
from sagsae.activations.hookpoints import Hookpoint, capture, run_captured
from sagsae.activations.layout import (
    CALIBRATION,
    Layout,
    Root,
    StoreConfig,
    committed_blocks,
    store_path,
)
from sagsae.activations.reading import BlockMemory, BlockRead, BlockReader, contexts_per_block
from sagsae.activations.tokens import TokenStore
from sagsae.activations.writer import StoreWriter
from sagsae.files import digest
from sagsae.storage import Storage

GPU_WRITERS = 6
"""Threads that write blocks when a GPU reads them: `python -m benchmarks.dump_stages` has the
figures. On a CPU one is enough, as the model takes thirty times as long as the writing."""


@dataclass(frozen=True, kw_only=True)
class DumpSettings(Layout):
    """How a dump is made. All of it goes into run.json and so into the store's name."""

    max_norm_ratio: float = 10.0
    """Tokens beyond this many median norms, in any hookpoint, are dropped."""
    slack: float = 0.02
    """Share of the tokens that the norm rule may drop before a block falls short."""
    batch_contexts: int = 32
    """Contexts of one forward pass; rounding in the model may depend on it."""


@dataclass(frozen=True)
class DumpProgress:
    """Where a dump stands: what the progress callback gets after every block."""

    blocks_done: int
    """Of the store, those included that are being written here."""
    tokens: int
    """Tokens the model has read in this call."""
    seconds: float
    """Since this call began its first block."""

    @property
    def tokens_per_second(self) -> float:
        """Speed of this call so far."""
        return self.tokens / self.seconds if self.seconds else 0.0


def dump_config(
    model: nn.Module,
    tokens: TokenStore,
    calibration_tokens: Tensor,
    hookpoints: Mapping[str, Hookpoint],
    settings: DumpSettings,
) -> StoreConfig:
    """The store configuration of a dump, with the sha256 of its first block's tokens.

    Widths come from one forward pass over two tokens.
    """
    device = next(model.parameters()).device
    with capture(model, hookpoints) as captured:
        run_captured(model, torch.from_numpy(tokens.input_ids[:1, :2]).to(device, torch.long))
        widths = {name: x.shape[-1] for name, x in captured.items()}
    if absent := hookpoints.keys() - widths.keys():
        raise ValueError(f"hookpoints {sorted(absent)} never ran in a forward pass; name others")
    own = {field.name: getattr(settings, field.name) for field in fields(settings)}
    per_block = contexts_per_block(own["rows_per_block"], tokens.context_length, own["slack"])
    dump = {key: own.pop(key) for key in ("max_norm_ratio", "slack", "batch_contexts")}
    dump |= {
        "drop_first_position": True,
        "context_length": tokens.context_length,
        "modules": {name: point.module for name, point in hookpoints.items()},
        "first_tokens_sha256": tokens.digest(slice(per_block)),
        "calibration_sha256": digest(calibration_tokens.to(torch.int32).numpy().tobytes()),
    }
    own["provenance"] = {**settings.provenance, "dump": dump}
    return StoreConfig(hookpoints=widths, **own)


def dump_activations(
    model: nn.Module,
    tokens: TokenStore,
    calibration_tokens: Tensor,
    hookpoints: Mapping[str, Hookpoint],
    root: Root,
    name: str,
    settings: DumpSettings,
    *,
    device: torch.device | str = "cpu",
    blocks: Sequence[int] | None = None,
    writers: int | None = None,
    seal: bool = True,
    progress: Callable[[DumpProgress], None] | None = None,
) -> Root:
    """Fill the store of this configuration, or what is missing of it, or add blocks to it.

    The model is put in evaluation mode on `device` and reads each context once, up to its last
    hookpoint. Of every context the first position is dropped, and every token whose norm exceeds
    `max_norm_ratio` medians in any hookpoint; rows beyond S at the end of a block are dropped too.
    Every commit counts them as `first_position`, `norm` and `surplus`. A block stops reading once
    it is full; its cursor says how many contexts it read.

    Several processes fill a store together if each gets `blocks` of its own, after one call with
    `blocks=()` has made the store and its medians. They do not seal: a later call without `blocks`
    makes what is missing, and seals.

    Memory of the host, pinned if the device is a GPU: `writers` + 1 blocks with every position of
    their contexts, about 1.03 S rows of all hookpoints each; and per writer a chunk or two.

    Args:
        model: a causal language model of Transformers; its dtype stays what it is.
        tokens: at least n_blocks * `contexts_per_block` contexts.
        calibration_tokens: [n, L] integers, contexts for the median norms.
        hookpoints: what to record, by name.
        root: folder of stores, or a `Storage` of them.
        name: readable part of the store's name, for example `<model>-<split>`.
        settings: the rest.
        device: where the model runs.
        blocks: which to make, while other processes make others; all without it.
        writers: threads that write, each a block; `GPU_WRITERS` at most beside a GPU, else 1.
        seal: whether to seal the finished store; `StoreWriter.seal` does it later, without a GPU.
        progress: called after every block.

    Returns:
        The store's place.

    Raises:
        ValueError: too few contexts, other contexts than those of the blocks that are there, or a
            block that keeps fewer than S rows.
        StoreError: the folder is locked, damaged or of another configuration; or the model gives
            NaN or infinity.
    """
    model.eval().to(device)
    config = dump_config(model, tokens, calibration_tokens, hookpoints, settings)
    per_block = contexts_per_block(config.rows_per_block, tokens.context_length, settings.slack)
    if tokens.n_contexts < per_block * config.n_blocks:
        raise ValueError(
            f"{config.n_blocks} blocks of {config.rows_per_block} rows need "
            f"{per_block * config.n_blocks} contexts of {tokens.context_length} tokens, the token "
            f"store has {tokens.n_contexts}; pack more text or ask for fewer blocks"
        )
    where = store_path(root, name, config)
    with StoreWriter(where, config, shared=blocks is not None) as writer:
        storage = writer.storage
        if not storage.exists(CALIBRATION):
            batch = settings.batch_contexts
            found = median_norms(model, hookpoints, calibration_tokens, batch, device)
            save_calibration(storage, found)
        medians = load_calibration(storage)
        _check_blocks(storage, config, tokens, settings.slack)
        pending = [b for b in writer.pending_blocks() if blocks is None or b in blocks]
        if pending:
            reader = BlockReader(
                model,
                tokens,
                hookpoints,
                medians,
                config,
                device,
                batch_contexts=settings.batch_contexts,
                max_norm_ratio=settings.max_norm_ratio,
                slack=settings.slack,
            )
            on_gpu = torch.device(device).type == "cuda"
            most = min(GPU_WRITERS, os.cpu_count() or 1) if on_gpu else 1
            _write_blocks(writer, reader, pending, writers or most, progress)
        if seal and blocks is None:
            writer.seal()
    return where


def _check_blocks(storage: Storage, config: StoreConfig, tokens: TokenStore, slack: float) -> None:
    """Refuse to add blocks of other medians, or of another text or order, to those there are."""
    commits = read_commits(storage, config, committed_blocks(storage))
    size = contexts_per_block(config.rows_per_block, tokens.context_length, slack)
    for block, commit in commits.items():
        contexts = slice(block * size, (block + 1) * size)
        if commit.cursor.get("tokens_sha256") != tokens.digest(contexts):
            raise ValueError(
                f"{storage}: block {block} was made from other contexts than {contexts.start} to "
                f"{contexts.stop - 1} of these tokens; dump them under another provenance, or "
                "delete the store"
            )


def _write_blocks(
    writer: StoreWriter,
    reader: BlockReader,
    blocks: Sequence[int],
    writers: int,
    progress: Callable[[DumpProgress], None] | None,
) -> None:
    """Read one block after the other while threads write those before."""
    total, began = writer.config.n_blocks, time.perf_counter()
    done = total - len(writer.pending_blocks())
    with _Writers(writer, reader, writers) as threads:
        for block in blocks:
            threads.write(block, reader.read(block, threads.memory(), threads.check))
            if progress is not None:
                others = total - len(writer.pending_blocks()) if writer.shared else done
                done = max(done + 1, others)
                seconds = time.perf_counter() - began
                progress(DumpProgress(done, reader.tokens_read, seconds))
        threads.finish()


class _Writers:
    """Threads that write blocks, each a block, and the memory of the blocks in flight.

    There are at most `count` + 1 blocks in flight, the one that is read included. Their memory is
    used again, since fresh memory costs as much time as a copy, and pinned memory much more.
    """

    def __init__(self, writer: StoreWriter, reader: BlockReader, count: int) -> None:
        self._writer, self._reader, self._count = writer, reader, count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="store-writer")
        self._writing: dict[Future[None], BlockMemory] = {}
        self._spare: list[BlockMemory] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the blocks that are being written; after an error the others are given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def memory(self) -> BlockMemory:
        """Memory for the next block; waits while as many blocks as there are threads wait too."""
        if len(self._writing) > self._count:
            wait(self._writing, return_when=FIRST_COMPLETED)
        self.check()
        return self._spare.pop() if self._spare else self._reader.memory()

    def write(self, block: int, read: BlockRead) -> None:
        """Let a thread write a block."""
        self._writing[self._threads.submit(self._write, block, read)] = read.memory

    def _write(self, block: int, read: BlockRead) -> None:
        self._writer.write_block(block, **read.arguments())

    def check(self) -> None:
        """Take back the memory of written blocks; raise what stopped a thread."""
        for future in [future for future in self._writing if future.done()]:
            self._spare.append(self._writing.pop(future))
            future.result()

    def finish(self) -> None:
        """Wait for all blocks; raise what stopped a thread."""
        for future in as_completed(self._writing):
            future.result()
