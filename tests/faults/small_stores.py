"""Small real stores without a language model, and what the dump does with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sagsae.activations import Store, StoreConfig, StoreError, StoreWriter
from sagsae.activations.calibration import save_calibration
from sagsae.activations.layout import CALIBRATION, SEALED
from sagsae.activations.verify import check_calibration
from sagsae.storage import storage_at

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
        check_calibration(storage_at(path), config)
        for block in writer.pending_blocks():
            writer.write_block(block, **_block(config, block))
        if seal and not (path / SEALED).exists():
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


def is_refused(path: Path, *, sealed: bool) -> bool:
    """Whether a reader that opens the store and reads all of it gets an error."""
    try:
        store = Store.open(path, require_sealed=sealed)
        for hookpoint in store.config.hookpoints:
            for chunk in range(store.n_chunks(hookpoint)):
                store.read_chunk(hookpoint, chunk)
        for block in store.blocks:
            store.read_tokens(block)
    except StoreError:
        return True
    return False


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
