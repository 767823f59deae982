"""Small real stores without a language model, and what the dump does with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sagsae.activations import Store, StoreConfig, StoreError, StoreWriter
from sagsae.activations.calibration import save_calibration
from sagsae.activations.commits import read_commits
from sagsae.activations.layout import CALIBRATION, committed_blocks

CHUNKS = "data.zarr/*/c.*"


def config(*, profile: Any = "plain", n_blocks: int = 4, **changes: Any) -> StoreConfig:
    """Two hookpoints in blocks of 64 rows in 4 chunks."""
    return StoreConfig(
        hookpoints={"attn": 8, "resid": 12},
        rows_per_chunk=16,
        rows_per_block=64,
        n_blocks=n_blocks,
        profile=profile,
        **{"seed": 7, **changes},
    )


def dump(path: Path, config: StoreConfig, *, seal: bool) -> None:
    """Make what is missing of a store, as `dump_activations` does."""
    with StoreWriter(path, config) as writer:
        if not (path / CALIBRATION).exists():
            save_calibration(path, {"attn": 2.5, "resid": 3.25 + config.seed})
        read_commits(writer.storage, config, committed_blocks(writer.storage))
        for block in writer.pending_blocks():
            writer.write_block(block, **_block(config, block))
        if seal:
            writer.seal()


def _block(config: StoreConfig, block: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(config.seed * 1000 + block)
    size = config.rows_per_block
    rows = np.arange(block * size, (block + 1) * size, dtype=np.int32)
    return {
        "activations": {
            name: torch.randn(size, d, generator=generator) for name, d in config.hookpoints.items()
        },
        "token_id": rows * 7 % 50,
        "doc_id": rows // 10,
        "position": rows % 10,
        "cursor": {"first_context": block},
        "dropped": {"first_position": 3, "norm": block},
    }


def rows_of(path: Path, *, sealed: bool) -> dict[str, bytes] | None:
    """All that a reader gets of a store; None if it is refused."""
    try:
        store = Store.open(path, require_sealed=sealed)
        rows = {
            f"{name} {i}": store.read_chunk(name, i).tobytes()
            for name in store.config.hookpoints
            for i in range(store.n_chunks(name))
        }
        for block in store.blocks:
            tokens = store.read_tokens(block).items()
            rows |= {f"{name} {block}": values.tobytes() for name, values in tokens}
    except StoreError:
        return None
    return rows


def mend(path: Path, messages: list[str]) -> None:
    """Delete the files of a store that messages say are to be deleted."""
    for message in messages:
        names = re.findall(
            r"commits/\d+\.json(?= and SEALED)|SEALED\.json(?= of the store)", message
        )
        if "delete this file" in message or "delete it" in message:
            names = re.findall(r"(?:run|SEALED|calibration)\.json", message)[:1]
        for name in names:
            (path / name).unlink(missing_ok=True)
