"""What readers get of a store, and the remedies that its messages name."""

from __future__ import annotations

import re
from pathlib import Path

from sagsae.activations.layout import StoreError
from sagsae.activations.store import Store

CHUNKS = "data.zarr/*/c.*"


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
