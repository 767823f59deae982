"""Checks of activation stores and baselines on disk, see ``pipeline.jobs.findings``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from pipeline.activations.baselines import read_baselines
from pipeline.activations.manifests import open_store
from pipeline.jobs.cache import entry_folder
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
from pipeline.jobs.progress import Progress
from sagsae.activations.errors import StoreError
from sagsae.activations.verify import verify_store
from sagsae.memory import needs_memory

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
        store = entry_folder(Path(manifest), found)
        if not store.is_dir():
            yield Fault(manifest, f"its store {store} is gone")
            continue
        if (yield from store_faults(store, manifest)) and not rows_agree(Path(manifest)):
            yield Fault(manifest, f"its rows are not the first {found['rows']} of {store}")
    for model, (file, spec) in baselines.items():
        yield from _baseline_faults(model, Path(file), spec, recorded)


def rows_agree(manifest: Path) -> bool:
    """Whether a sound store has the rows that a manifest names."""
    try:
        open_store(manifest)
    except (StoreError, ValueError):
        return False
    return True


def store_faults(
    store: Path, manifest: str | None = None
) -> Generator[Fault | Checked | Absent | Note, None, bool]:
    """Read every chunk of a store; return whether it is sound.

    Args:
        store: Its folder.
        manifest: What Snakemake has to make again where it is not.
    """
    with needs_memory("chunks of activations"):
        found = verify_store(store, _reporter(f"verify {store.name}"))
    yield Checked("stores", found.size)
    yield Checked("chunks", count=found.chunks)
    for fault in found.faults:
        delete = tuple(store if name == "." else store / name for name in fault.delete)
        remedy = f"{{}}  # {fault.outcome}"
        yield Fault(store / fault.file, fault.problem, manifest, delete, remedy)
    if not found.faults and not found.sealed:
        yield Note(f"{store}: not finished, {len(found.commits)} blocks are there and sound")
    return not found.faults


def _reporter(label: str) -> Callable[[int, int], None]:
    progress = Progress(label, 1, "chunks")

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return report


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
