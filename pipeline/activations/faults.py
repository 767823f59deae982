"""Checks of activation stores and baselines on disk, see ``pipeline.jobs.findings``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.activations.baselines import read_baselines
from pipeline.jobs.findings import (
    Checked,
    Fault,
    Findings,
    Note,
    amount,
    made_for,
    read_record,
    size_of,
)
from pipeline.jobs.json_files import sha256_of
from pipeline.jobs.progress import Progress
from sagsae.activations.errors import StoreError, StoreFaultsError
from sagsae.activations.layout import SEALED, StoreConfig
from sagsae.activations.verify import verify_store
from sagsae.memory import needs_memory

Key = tuple[str, str]
"""Model and split."""


def faults(
    manifests: Mapping[Key, tuple[str, str]],
    baselines: Mapping[str, tuple[str, str]],
    acts_root: Path,
) -> Findings:
    """Check every store chunk by chunk, the others in their folder, then the baselines.

    Args:
        manifests: File and expected digest of each store's manifest.
        baselines: The same of each model's baselines.
        acts_root: The folder of the stores.
    """
    seals: dict[Key, str] = {}
    named: set[Path] = set()
    for key, (manifest, spec) in manifests.items():
        reading = read_record(manifest, "spec", "seal", "store", spec=spec, kind="manifests")
        if (found := (yield from reading)) is None:
            continue
        seals[key] = found["seal"]
        store = Path(os.path.normpath(Path(manifest).parent / found["store"]))
        named.add(store.resolve())
        if not store.is_dir():
            yield Fault(manifest, f"its store {found['store']} is gone")
        else:
            yield from _store_faults(store, manifest, found["seal"])
    unnamed = {spec: key for key, (_, spec) in manifests.items() if key not in seals}
    for store in sorted(acts_root.iterdir()) if acts_root.is_dir() else ():
        if not store.is_dir() or store.resolve() in named:
            continue
        if (owner := _owner(store, unnamed)) is None:
            yield Note(f"{store}: not used by this study, {amount(size_of(store))}")
        else:
            yield from _store_faults(store, manifests[owner][0])
    for model, (file, spec) in baselines.items():
        yield from _baseline_faults(model, Path(file), spec, seals)


def _store_faults(store: Path, manifest: str, seal: str | None = None) -> Findings:
    """Read every chunk of a store; then compare its seal with the manifest's, if there is one."""
    with needs_memory("chunks of activations"):
        found = verify_store(store, _reporter(f"verify {store.name}"))
    yield Checked("stores", found.size)
    yield Checked("chunks", count=found.chunks)
    for fault in found.faults:
        delete = tuple(store if name == "." else store / name for name in fault.delete)
        remedy = f"{{}}  # {fault.outcome}"
        yield Fault(store / fault.file, fault.problem, manifest, delete, remedy)
    if found.faults:
        return
    if not found.sealed:
        yield Note(f"{store}: not finished, {len(found.commits)} blocks are there and sound")
    if seal is None:
        return
    if not (store / SEALED).exists():
        yield Fault(store / SEALED, f"missing, but {manifest} is there", manifest)
    elif (of_store := sha256_of(store / SEALED)) != seal:
        yield Fault(manifest, f"its seal is {seal}, that of the store {of_store}")


def _reporter(label: str) -> Callable[[int, int], None]:
    progress = Progress(label, 1, "chunks")

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return report


def _owner(store: Path, unnamed: Mapping[str, Key]) -> Key | None:
    """The model and split that a store was dumped for, of those without a sound manifest."""
    try:
        return unnamed.get(StoreConfig.read(store).provenance.get("spec", ""))
    except StoreFaultsError:
        name = store.name.rpartition("-")[0]
        return next((key for key in unnamed.values() if "-".join(key) == name), None)
    except StoreError:
        return None


def _baseline_faults(model: str, file: Path, spec: str, seals: Mapping[Key, str]) -> Findings:
    """Check one model's baselines: their specification, the stores they are of, their tensors."""
    tensors = file.with_suffix(".safetensors")
    reading = read_record(file, "made_from", "hookpoints", kind="baselines", beside=(tensors,))
    if (found := (yield from reading)) is None:
        return
    made_from = found["made_from"]
    yield from made_for(file, "specification", made_from.get("baselines"), spec)
    for split in ("train", "heldout"):
        if (seal := made_from.get(split)) != seals.get((model, split), seal):
            yield Fault(file, f"computed on another {split} store, seal {seal}")
    try:
        read_baselines(file)
    except Exception as error:  # whatever it is, cells cannot use them
        yield Fault(tensors, error, file)
