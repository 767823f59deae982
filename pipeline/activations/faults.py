"""Checks of activation stores and baselines on disk, see ``pipeline.jobs.findings``."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.activations.baselines import read_baselines
from pipeline.activations.manifests import open_store
from pipeline.activations.stores import is_there, recorded_store
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.cluster import reporter
from pipeline.jobs.findings import (
    Absent,
    Checked,
    Fault,
    Findings,
    Note,
    made_for,
    read_record,
    size_of,
)
from pipeline.jobs.json_files import read_json
from sagsae.activations.errors import StoreError
from sagsae.activations.verify import verify_store
from sagsae.memory import needs_memory
from sagsae.storage import Storage

Key = tuple[str, str]
"""Model and split."""


def faults(
    manifests: Mapping[Key, tuple[str, str]], baselines: Mapping[str, tuple[str, str]]
) -> Findings:
    """Check every store of a study chunk by chunk, then its baselines.

    Args:
        manifests: File and expected digest of each store's manifest.
        baselines: The same of each model's baselines.
    """
    recorded: dict[Key, str] = {}
    for key, (manifest, spec) in manifests.items():
        reading = read_record(manifest, "spec", "sha256", "rows", spec=spec, kind="manifests")
        if (found := (yield from reading)) is None:
            continue
        recorded[key] = found["sha256"]
        store = recorded_store(Path(manifest), found)
        if not is_there(store):
            yield Fault(manifest, f"its store {store} is gone")
            continue
        if (yield from store_faults(store, manifest)) and not rows_agree(Path(manifest)):
            yield Fault(manifest, f"its rows are not the first {found['rows']} of {store}")
    for model, (file, spec) in baselines.items():
        yield from _baseline_faults(model, Path(file), spec, recorded)


def size_of_stores(manifests: Iterable[Path]) -> int:
    """About how many bytes the stores of some manifests have; those that cannot be read aside."""
    size = 0
    for manifest in manifests:
        with suppress(OSError, ValueError, LookupError, TypeError):
            found = read_json(manifest)
            size += 2 * found["rows"] * sum(point["d"] for point in found["hookpoints"].values())
    return size


def rows_agree(manifest: Path) -> bool:
    """Whether a sound store has the rows that a manifest names."""
    try:
        open_store(manifest)
    except (StoreError, ValueError):
        return False
    return True


def store_faults(
    store: Storage, manifest: str | None = None
) -> Generator[Fault | Checked | Absent | Note, None, bool]:
    """Read every chunk of a store; return whether it is sound.

    Args:
        store: Its folder, or its place in a bucket.
        manifest: What Snakemake has to make again where it is not.
    """
    with needs_memory("chunks of activations"):
        found = verify_store(store, reporter(f"verify {store.name}"))
    yield Checked("stores", found.size)
    yield Checked("chunks", count=found.chunks)
    for fault in found.faults:
        delete = tuple(str(store if name == "." else store / name) for name in fault.delete)
        remedy = f"{{}}  # {fault.outcome}"
        yield Fault(str(store / fault.file), fault.problem, manifest, delete, remedy)
    if not found.faults and not found.sealed:
        yield Note(f"{store}: not finished, {len(found.commits)} blocks are there and sound")
    return not found.faults


def _baseline_faults(model: str, file: Path, spec: str, stores: Mapping[Key, str]) -> Findings:
    """Check one model's baselines: their specification, the stores they are of, their tensors."""
    reading = read_record(file, "made_from", "hookpoints", kind="baselines")
    if (found := (yield from reading)) is None:
        return
    entry = entry_folder(file, found)
    yield Checked("", size_of(entry))
    made_from = found["made_from"]
    yield from made_for(file, "specification", made_from.get("baselines"), spec)
    for split in ("train", "heldout"):
        if (store := made_from.get(split)) != stores.get((model, split), store):
            yield Fault(file, f"computed on another {split} store, {store}")
    try:
        read_baselines(file)
    except Exception as error:  # whatever it is, cells cannot use them
        yield Fault(entry, error, file, (entry,))
