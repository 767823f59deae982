"""Runs a language model over the contexts of a block and brings its activations to the host.

Every position that the model reads is copied as it is, and so is the mask of those that are kept.
The rows are selected when the block is permuted. So nothing between two forward passes depends on
how many rows are kept, and the host need not wait for the device.

Neither the first position of a context is kept, nor any with a massive norm. The first position of
a context, and a few others, carry norms a hundred times the usual ones. If they stayed, they would
make up most of the variance that reconstructions are measured against. Medians are computed once,
from calibration contexts, and kept with the store. So every block and every later splice uses the
very same numbers.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sagsae.activations.hookpoints import Hookpoint, capture, run_captured
from sagsae.activations.layout import CALIBRATION, Layout, StoreConfig, StoreError
from sagsae.activations.storage import Location, storage_at
from sagsae.activations.tokens import TokenStore
from sagsae.activations.transfers import SideStream
from sagsae.files import checked_json, signed_json

# Forward passes that a GPU may have before it while their activations are not on the host yet. The
# host waits for the newest only when the block may be full.
PASSES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class DumpSettings(Layout):
    """How a dump is made. All of it goes into run.json and so into the store's name."""

    max_norm_ratio: float = 10.0
    """Tokens beyond this many median norms, in any hookpoint, are dropped."""
    slack: float = 0.02
    """Share of the tokens that the norm rule may drop before a block falls short."""
    batch_contexts: int = 32
    """Contexts of one forward pass; rounding in the model may depend on it."""


def contexts_per_block(rows_per_block: int, context_length: int, slack: float = 0.02) -> int:
    """Contexts that make one block: each gives L - 1 rows, less what the norm rule drops."""
    return math.ceil(rows_per_block / ((context_length - 1) * (1 - slack)))


@dataclass(frozen=True)
class BlockMemory:
    """Memory of the host for all positions of a block's contexts; used again for other blocks."""

    rows: Mapping[str, Tensor]
    """[contexts * L, d] of every hookpoint, in the store's dtype."""
    kept: Tensor
    """[contexts, L] bool: which positions are stored."""


class BlockReader:
    """Reads blocks of one dump.

    Args:
        model: on `device`, in evaluation mode.
        tokens: what it reads.
        hookpoints: what to record.
        medians: for the norm rule, see `kept_mask`.
        config: of the store.
        settings: of the dump.
        device: where the model is.

    Attributes:
        tokens_read: by the model, so far.
        turn: held by the thread that reads.
    """

    def __init__(
        self,
        model: nn.Module,
        tokens: TokenStore,
        hookpoints: Mapping[str, Hookpoint],
        medians: Mapping[str, float],
        config: StoreConfig,
        settings: DumpSettings,
        device: torch.device | str,
    ) -> None:
        self.model, self.tokens, self.hookpoints, self.medians = model, tokens, hookpoints, medians
        self.config, self.settings = config, settings
        self.length, self.tokens_read = tokens.context_length, 0
        self.turn = threading.Lock()
        self.contexts = contexts_per_block(config.rows_per_block, self.length, settings.slack)
        self._copies = SideStream(device)

    def memory(self) -> BlockMemory:
        """Memory for one block."""
        reserve, positions = self._copies.host_memory, self.contexts * self.length
        dtype = getattr(torch, self.config.dtype)
        rows = {n: reserve((positions, d), dtype) for n, d in self.config.hookpoints.items()}
        return BlockMemory(rows, reserve((self.contexts, self.length), torch.bool))

    def read(
        self, block: int, memory: BlockMemory, check: Callable[[], None] = lambda: None
    ) -> dict[str, int]:
        """Run the model over as many contexts of a block as fill it.

        Args:
            block: its number.
            memory: where its activations go.
            check: called before every forward pass; what it raises ends the reading.

        Returns:
            How many tokens each rule dropped; of the first positions, one for each context read.

        Raises:
            ValueError: the contexts keep fewer than S rows.
        """
        size, coming = self.config.rows_per_block, deque[Callable[[], None]]()
        needed = min(math.ceil(size / (self.length - 1)), self.contexts)
        start = filled = 0
        with capture(self.model, self.hookpoints) as captured:
            while start < self.contexts and filled < size:
                check()
                stop = min(start + self.settings.batch_contexts, self.contexts)
                coming.append(self._run(captured, block, start, stop, memory))
                start = stop
                while len(coming) > (PASSES_AHEAD if start < needed else 0):
                    coming.popleft()()
                if start >= needed:  # before, no block can be full
                    filled = self._filled(memory, start)
        dropped = {
            "first_position": start,
            "norm": start * (self.length - 1) - filled,
            "surplus": filled - size,
        }
        if filled < size:
            raise ValueError(self._shortage(block, filled, dropped))
        return dropped

    def arguments(
        self, block: int, memory: BlockMemory, dropped: Mapping[str, int]
    ) -> dict[str, Any]:
        """The arguments of `StoreWriter.write_block` for a block that was read, but its number."""
        tokens, size = self.tokens, self.config.rows_per_block
        first, contexts_read = block * self.contexts, dropped["first_position"]
        places = np.flatnonzero(memory.kept[:contexts_read].numpy())[:size]
        source = first * self.length + places  # context * L + position of every kept row
        return {
            "activations": memory.rows,
            "places": places,
            "token_id": tokens.input_ids.reshape(-1)[source],
            "doc_id": tokens.doc_id.reshape(-1)[source],
            "position": (source % self.length).astype(np.int32),
            "cursor": {
                "first_context": first,
                "contexts": self.contexts,
                "tokens_sha256": tokens.digest(slice(first, first + self.contexts)),
                "contexts_read": contexts_read,
            },
            "dropped": dropped,
        }

    def _run(
        self, captured: dict[str, Tensor], block: int, start: int, stop: int, memory: BlockMemory
    ) -> Callable[[], None]:
        """Run contexts [start, stop) of a block and send home what they give."""
        first, length = block * self.contexts, self.length
        ids = torch.from_numpy(self.tokens.input_ids[first + start : first + stop])
        run_captured(self.model, self._copies.send(ids).long())
        self.tokens_read += ids.numel()
        kept = kept_mask(captured, self.medians, self.settings.max_norm_ratio)
        places = slice(start * length, stop * length)
        copies = [(memory.kept[start:stop], kept)]
        for name, x in captured.items():
            copies.append((memory.rows[name][places], x.flatten(0, 1)))
        return self._copies.fetch(copies)

    def _filled(self, memory: BlockMemory, contexts: int) -> int:
        """Kept rows of the first contexts, whose copies have arrived."""
        return int(memory.kept[:contexts].sum())

    def _shortage(self, block: int, filled: int, dropped: Mapping[str, int]) -> str:
        contexts, length = self.contexts, self.length
        return (
            f"block {block} keeps {filled} rows of the {self.config.rows_per_block} it needs: "
            f"{contexts} contexts of {length} tokens lost {dropped['first_position']} first "
            f"positions and {dropped['norm']} tokens to the norm rule (max_norm_ratio "
            f"{self.settings.max_norm_ratio}); raise slack above {self.settings.slack}, to at "
            f"least {1 - filled / (contexts * (length - 1)) + 0.005:.3f}"
        )


def kept_mask(
    activations: Mapping[str, Tensor], medians: Mapping[str, float], ratio: float
) -> Tensor:
    """Positions that are stored, trained on, spliced and evaluated.

    A position is dropped when it is the first of its context, or when its norm exceeds `ratio`
    times the median in any hookpoint: rows are shared by all hookpoints.

    Args:
        activations: [batch, ctx, d] of every hookpoint.
        medians: median norm of every hookpoint, see `median_norms`.
        ratio: the largest norm kept, over the median.

    Returns:
        [batch, ctx] bool. Rows that are not finite are kept, so that the store refuses them:
        dropping them would hide a broken model.
    """
    norms = {name: _norms(x) for name, x in activations.items()}
    massive = torch.stack([norm > ratio * medians[name] for name, norm in norms.items()]).any(0)
    finite = torch.stack([torch.isfinite(norm) for norm in norms.values()]).all(0)
    kept = ~(massive & finite)
    kept[:, 0] = False
    return kept


def median_norms(
    model: nn.Module,
    hookpoints: Mapping[str, Hookpoint],
    contexts: Tensor,
    batch_contexts: int,
    device: torch.device | str,
) -> dict[str, float]:
    """Median norm of every hookpoint over `contexts` [n, L], first positions left out."""
    norms: dict[str, list[Tensor]] = {name: [] for name in hookpoints}
    with capture(model, hookpoints) as captured:
        for batch in torch.split(contexts, batch_contexts):
            run_captured(model, batch.to(device, torch.long))
            for name, x in captured.items():
                norms[name].append(_norms(x[:, 1:]).flatten())
    found = {name: torch.cat(parts).cpu().numpy() for name, parts in norms.items()}
    medians = {name: float(np.median(values)) for name, values in found.items()}
    for name, median in medians.items():
        if not np.isfinite(median) or median <= 0:
            raise ValueError(
                f"median norm of hookpoint {name!r} over {len(contexts)} calibration contexts is "
                f"{median}; check the model's weights and dtype"
            )
    return medians


def save_calibration(where: Location, medians: Mapping[str, float]) -> None:
    """Keep the medians with a store."""
    storage_at(where).write(CALIBRATION, signed_json({"median_norms": dict(medians)}))


def load_calibration(where: Location) -> dict[str, float]:
    """Median norm of every hookpoint of a store.

    Raises:
        StoreError: the file is absent or was edited.
    """
    try:
        return dict(checked_json(storage_at(where).read(CALIBRATION))["median_norms"])
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise StoreError(
            f"{where}/{CALIBRATION} cannot be used ({error}); delete it and dump again, which "
            "computes it"
        ) from error


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
    return norms
