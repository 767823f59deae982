"""One pass of a language model fills one store with all its hookpoints.

Block b is made from contexts [b * C, (b + 1) * C) alone, with C = `contexts_per_block`. So blocks
come out the same in any order, from any rank, and when they are made again after a kill.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sagsae.activations.calibration import (
    kept_mask,
    load_calibration,
    median_norms,
    save_calibration,
)
from sagsae.activations.hookpoints import Hookpoint, capture, run_captured
from sagsae.activations.layout import CALIBRATION, SEALED, Layout, StoreConfig, store_path
from sagsae.activations.tokens import TokenStore
from sagsae.activations.verify import check_calibration
from sagsae.activations.writer import StoreWriter
from sagsae.files import digest
from sagsae.memory import needs_memory


@dataclass(frozen=True, kw_only=True)
class DumpSettings(Layout):
    """How a dump is made. All of it goes into run.json and so into the store's name."""

    profile: Literal["plain", "disk"] = "plain"
    """`disk` compresses, as profile `disk-2` of `StoreConfig` says."""
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
    """Of this rank, submitted ones included."""
    blocks_total: int
    """Of this rank."""
    tokens: int
    """Tokens the model has read in this call."""
    seconds: float
    """Since this call began its first block."""

    @property
    def tokens_per_second(self) -> float:
        """Speed of this call so far."""
        return self.tokens / self.seconds if self.seconds else 0.0


def contexts_per_block(rows_per_block: int, context_length: int, slack: float = 0.02) -> int:
    """Contexts that make one block: each gives L - 1 rows, less what the norm rule drops."""
    return math.ceil(rows_per_block / ((context_length - 1) * (1 - slack)))


def dump_config(
    model: nn.Module,
    tokens: TokenStore,
    calibration_tokens: Tensor,
    hookpoints: Mapping[str, Hookpoint],
    settings: DumpSettings,
) -> StoreConfig:
    """The store configuration of a dump, with the sha256 of its tokens in the provenance.

    Widths come from one forward pass over two tokens.
    """
    device = next(model.parameters()).device
    with capture(model, hookpoints) as captured:
        run_captured(model, torch.from_numpy(tokens.input_ids[:1, :2]).to(device, torch.long))
        widths = {name: x.shape[-1] for name, x in captured.items()}
    if absent := hookpoints.keys() - widths.keys():
        raise ValueError(f"hookpoints {sorted(absent)} never ran in a forward pass; name others")
    own = {field.name: getattr(settings, field.name) for field in fields(settings)}
    dump = {key: own.pop(key) for key in ("max_norm_ratio", "slack", "batch_contexts")}
    dump |= {
        "drop_first_position": True,
        "context_length": tokens.context_length,
        "modules": {name: point.module for name, point in hookpoints.items()},
        "tokens_sha256": tokens.digest(),
        "calibration_sha256": digest(calibration_tokens.to(torch.int32).numpy().tobytes()),
    }
    own["provenance"] = {**settings.provenance, "dump": dump}
    own["profile"] = "disk-2" if settings.profile == "disk" else settings.profile
    return StoreConfig(hookpoints=widths, **own)


@needs_memory("a block of activations")
def dump_activations(
    model: nn.Module,
    tokens: TokenStore,
    calibration_tokens: Tensor,
    hookpoints: Mapping[str, Hookpoint],
    root: Path,
    name: str,
    settings: DumpSettings,
    *,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world: int = 1,
    progress: Callable[[DumpProgress], None] | None = None,
) -> Path:
    """Fill the store of this configuration, or what is missing of it.

    The model is put in evaluation mode on `device` and reads each context once, up to its last
    hookpoint. Of every context the first position is dropped, and every token whose norm exceeds
    `max_norm_ratio` medians in any hookpoint; rows beyond S at the end of a block are dropped too.
    Every commit counts them as `first_position`, `norm` and `surplus`. A block stops reading once
    it is full; its cursor says how many contexts it read.

    A single writer (world 1) seals the store. Ranks leave that to a later call with world 1, which
    finds all blocks committed.

    Args:
        model: a causal language model of Transformers; its dtype stays what it is.
        tokens: at least n_blocks * `contexts_per_block` contexts.
        calibration_tokens: [n, L] integers, contexts for the median norms.
        hookpoints: what to record, by name.
        root: folder of stores.
        name: readable part of the store's name, for example `<model>-<split>`.
        settings: the rest.
        device: where the model runs.
        rank: of this process, see `StoreWriter`.
        world: processes that share this dump.
        progress: called after every block.

    Returns:
        The store's folder.

    Raises:
        ValueError: too few contexts, or a block that keeps fewer than S rows.
        NonFiniteActivationError: the model gives NaN or infinity.
        StoreError: the folder is locked, damaged or of another configuration.
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
    path = store_path(root, name, config)
    with StoreWriter(path, config, rank, world) as writer:
        pending = writer.pending_blocks()
        if pending or not (path / CALIBRATION).exists():
            if not (path / CALIBRATION).exists():
                batch = settings.batch_contexts
                found = median_norms(model, hookpoints, calibration_tokens, batch, device)
                save_calibration(path, found)
            medians = load_calibration(path)
            check_calibration(path, config)
        if pending:
            reader = _BlockReader(model, tokens, hookpoints, medians, settings, config, device)
            done = len(range(rank, config.n_blocks, world)) - len(pending)
            _write_blocks(writer, reader, pending, done, progress)
        if world == 1 and not (path / SEALED).exists():
            writer.seal()
    return path


def _write_blocks(
    writer: StoreWriter,
    reader: _BlockReader,
    pending: list[int],
    done: int,
    progress: Callable[[DumpProgress], None] | None,
) -> None:
    """Read one block while a thread writes the one before."""
    total, began = done + len(pending), time.perf_counter()
    before: Future[None] = Future()
    before.set_result(None)
    with ThreadPoolExecutor(1, thread_name_prefix="store-writer") as thread:
        for count, block in enumerate(pending, start=1):
            arguments = reader.read(block)
            before.result()
            before = thread.submit(writer.write_block, block, **arguments)
            if progress is not None:
                seconds = time.perf_counter() - began
                progress(DumpProgress(done + count, total, reader.tokens_read, seconds))
        before.result()


@dataclass
class _BlockReader:
    """Runs the model over the contexts of a block and keeps the rows to store."""

    model: nn.Module
    tokens: TokenStore
    hookpoints: Mapping[str, Hookpoint]
    medians: Mapping[str, float]
    settings: DumpSettings
    config: StoreConfig
    device: torch.device | str
    tokens_read: int = 0

    def read(self, block: int) -> dict[str, Any]:
        """The arguments of `StoreWriter.write_block`, without the block's number."""
        size, length = self.config.rows_per_block, self.tokens.context_length
        contexts = contexts_per_block(size, length, self.settings.slack)
        first, end = block * contexts, (block + 1) * contexts
        dtype = getattr(torch, self.config.dtype)
        rows = {n: torch.empty(size, d, dtype=dtype) for n, d in self.config.hookpoints.items()}
        source = np.empty(size, np.int64)  # context * L + position of every kept row
        dropped = {"first_position": 0, "norm": 0, "surplus": 0}
        filled, start = 0, first
        with capture(self.model, self.hookpoints) as captured:
            while filled < size and start < end:
                stop = min(start + self.settings.batch_contexts, end)
                kept = self._run(captured, start, stop, dropped)
                places = start * length + kept.flatten().nonzero()[:, 0].cpu().numpy()
                take = min(len(places), size - filled)
                source[filled : filled + take] = places[:take]
                for name, x in captured.items():
                    rows[name][filled : filled + take] = x[kept][:take].to(dtype)
                dropped["surplus"] += len(places) - take
                filled, start = filled + take, stop
        if filled < size:
            raise ValueError(self._shortage(block, filled, contexts, dropped))
        cursor = {"first_context": first, "contexts_read": start - first, "contexts": contexts}
        return {"activations": rows, "cursor": cursor, "dropped": dropped} | self._labels(source)

    def _run(
        self, captured: dict[str, Tensor], start: int, stop: int, dropped: dict[str, int]
    ) -> Tensor:
        """Fill `captured` from contexts [start, stop) and tell which positions are kept."""
        ids = torch.from_numpy(self.tokens.input_ids[start:stop]).to(self.device, torch.long)
        run_captured(self.model, ids)
        self.tokens_read += ids.numel()
        kept = kept_mask(captured, self.medians, self.settings.max_norm_ratio)
        dropped["first_position"] += stop - start
        dropped["norm"] += int((~kept[:, 1:]).sum())
        return kept

    def _labels(self, source: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "token_id": self.tokens.input_ids.reshape(-1)[source],
            "doc_id": self.tokens.doc_id.reshape(-1)[source],
            "position": (source % self.tokens.context_length).astype(np.int32),
        }

    def _shortage(self, block: int, filled: int, contexts: int, dropped: dict[str, int]) -> str:
        size, length = self.config.rows_per_block, self.tokens.context_length
        return (
            f"block {block} keeps {filled} rows of the {size} it needs: {contexts} contexts of "
            f"{length} tokens lost {dropped['first_position']} first positions and "
            f"{dropped['norm']} tokens to the norm rule (max_norm_ratio "
            f"{self.settings.max_norm_ratio}); raise slack above {self.settings.slack}, to at "
            f"least {1 - filled / (contexts * (length - 1)) + 0.005:.3f}"
        )
