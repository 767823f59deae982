"""One pass of a language model fills one store with all its hookpoints.

Block b is made from contexts [b * C, (b + 1) * C) alone, with C = `contexts_per_block`. So blocks
come out the same in any order, from any of several threads, and when they are made again after a
kill.

Each thread runs the model over a block, then permutes, checks, writes and flushes it. On a CPU each
has one core and modules of its own over the same weights, which on busy cores is twice as fast as
products that are spread over them. Beside a GPU the threads take turns at the model.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import cycle
from queue import SimpleQueue

import torch
from torch import Tensor, nn

from sagsae.activations.commits import read_commits
from sagsae.activations.cpu_products import threads_of_torch
from sagsae.activations.hookpoints import Hookpoint, capture, run_captured
from sagsae.activations.layout import (
    CALIBRATION,
    Root,
    StoreConfig,
    committed_blocks,
    store_path,
)
from sagsae.activations.reading import (
    BlockMemory,
    BlockReader,
    DumpSettings,
    contexts_per_block,
    load_calibration,
    median_norms,
    save_calibration,
)
from sagsae.activations.storage import Storage
from sagsae.activations.tokens import TokenStore
from sagsae.activations.writer import StoreWriter
from sagsae.files import digest

# One reads a block with a GPU while the others write. No GPU has shown how many it takes: this
# follows from times of writing. On a CPU the model takes thirty times as long as the writing.
GPU_THREADS = 7


@dataclass(frozen=True)
class DumpProgress:
    """Where a dump stands: what the progress callback gets after every block."""

    blocks_done: int
    """Blocks of the store that are written."""
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
    own = dict(vars(settings))
    per_block = contexts_per_block(own["rows_per_block"], tokens.context_length, own["slack"])
    dump = {key: own.pop(key) for key in ("max_norm_ratio", "slack", "batch_contexts")}
    dump |= {
        "drop_first_position": True,
        "context_length": tokens.context_length,
        "modules": {name: point.path for name, point in hookpoints.items()},
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
    threads: int | None = None,
    seal: bool = True,
    progress: Callable[[DumpProgress], None] | None = None,
) -> Root:
    """Fill the store of this configuration, or what is missing of it, or add blocks to it.

    The model is put in evaluation mode on `device` and reads each context once, up to its last
    hookpoint. Of every context the first position is dropped, and every token whose norm exceeds
    `max_norm_ratio` medians in any hookpoint; rows beyond S at the end of a block are dropped too.
    Every commit counts them as `first_position`, `norm` and `surplus`. A block stops reading once
    it is full; its cursor says how many contexts it read.

    Memory of the host, pinned if the device is a GPU: `threads` blocks with every position of their
    contexts, about 1.03 S rows of all hookpoints each, and a chunk or two.

    Args:
        model: a causal language model of Transformers; its dtype stays what it is.
        tokens: at least n_blocks * `contexts_per_block` contexts.
        calibration_tokens: [n, L] integers, contexts for the median norms.
        hookpoints: what to record, by name.
        root: folder of stores, or a `Storage` of them.
        name: readable part of the store's name, for example `<model>-<split>`.
        settings: the rest.
        device: where the model runs.
        threads: each has a block at a time; `GPU_THREADS` at most beside a GPU, else as many as
            PyTorch has.
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
    on_gpu = torch.device(device).type == "cuda"
    cores = torch.get_num_threads()
    most = threads or (min(GPU_THREADS, os.cpu_count() or 1) if on_gpu else cores)
    count = min(most, config.n_blocks)
    with (
        StoreWriter(where, config) as writer,
        threads_of_torch(cores if on_gpu else max(1, cores // count)),
    ):
        storage = writer.storage
        if not storage.exists(CALIBRATION):
            batch = settings.batch_contexts
            found = median_norms(model, hookpoints, calibration_tokens, batch, device)
            save_calibration(storage, found)
        medians = load_calibration(storage)
        _check_blocks(storage, config, tokens, per_block)
        if writer.pending_blocks():
            readers = [
                BlockReader(own, tokens, hookpoints, medians, config, settings, device)
                for own in ([model] if on_gpu else _copies(model, count))
            ]
            _write_blocks(writer, readers, count, progress)
        if seal:
            writer.seal()
    return where


def _copies(model: nn.Module, count: int) -> list[nn.Module]:
    """The model and others of the same weights: hooks of one do not see what another one reads."""
    weights = {id(x): x for x in [*model.parameters(), *model.buffers()]}
    return [model, *(copy.deepcopy(model, dict(weights)) for _ in range(1, count))]


def _check_blocks(storage: Storage, config: StoreConfig, tokens: TokenStore, size: int) -> None:
    """Refuse to add blocks of other medians, or of another text or order, to those there are."""
    there = [block for block in committed_blocks(storage) if block < config.n_blocks]
    commits = read_commits(storage, config, there)
    for block, commit in commits.items():
        contexts = slice(block * size, (block + 1) * size)
        if commit.cursor.get("tokens_sha256") != tokens.digest(contexts):
            raise ValueError(
                f"{storage}: block {block} was made from other contexts than {contexts.start} to "
                f"{contexts.stop - 1} of these tokens; dump them into another folder or under "
                "another provenance, or delete the store"
            )


class _StoppedError(Exception):
    """Another thread of the dump has failed."""


def _write_blocks(
    writer: StoreWriter,
    readers: Sequence[BlockReader],
    count: int,
    progress: Callable[[DumpProgress], None] | None,
) -> None:
    """Read and write what is missing, in threads that share the readers."""
    blocks, began = writer.pending_blocks(), time.perf_counter()
    free, failed = SimpleQueue[tuple[BlockReader, BlockMemory]](), threading.Event()
    for _, reader in zip(blocks[:count], cycle(readers), strict=False):
        free.put((reader, reader.memory()))

    def check() -> None:
        if failed.is_set():
            raise _StoppedError

    def make(block: int) -> None:
        reader, memory = free.get()
        try:
            with reader.turn:
                dropped = reader.read(block, memory, check)
            writer.write_block(block, **reader.arguments(block, memory, dropped))
        except _StoppedError:
            return  # the thread that failed says why
        except BaseException:
            failed.set()
            raise
        finally:
            free.put((reader, memory))

    first = writer.config.n_blocks - len(blocks) + 1
    with ThreadPoolExecutor(count, thread_name_prefix="dump") as threads:
        running = [threads.submit(make, block) for block in blocks]
        try:
            for done, future in enumerate(as_completed(running), first):
                future.result()
                if progress is not None:
                    tokens = sum(reader.tokens_read for reader in readers)
                    progress(DumpProgress(done, tokens, time.perf_counter() - began))
        finally:
            failed.set()
            threads.shutdown(wait=False, cancel_futures=True)
