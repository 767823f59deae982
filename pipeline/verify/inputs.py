"""Checks of everything that cells are made from: assets, documents, tokens, stores, baselines."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.activations.baselines import read_baselines
from pipeline.assets.documents import open_documents
from pipeline.assets.model_folders import folder_digests
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study.study import SPLITS
from pipeline.verify.audit import Audit, amount, size_of
from sagsae.activations.errors import StoreError, StoreFaultsError
from sagsae.activations.layout import SEALED, read_config
from sagsae.activations.tokens import load_tokens
from sagsae.activations.verify import verify_store

Seals = dict[tuple[str, str], str]
"""(model, split) -> sha256 of the SEALED.json that its manifest vouches for."""


def check_assets(audit: Audit) -> None:
    """Each model's description, and its folder against the digests in it."""
    for model, entry in audit.study.models.items():
        file = Path(audit.study.asset(model))
        if not audit.there(file) or (asset := audit.read(file, "spec", "folder")) is None:
            continue
        audit.checked["models"] += 1
        audit.same(file, "specification", asset["spec"], digest(audit.study.asset_spec(model)))
        folder, command = file.parent / asset["folder"], audit.command(file)
        if entry.source.kind == "path":
            command = f"restore the folder; if its change is meant: {command}"
        if not folder.is_dir():
            audit.fault(folder, f"no such folder, and {file} describes a model there", command)
            continue
        for key, found in folder_digests(folder).items():
            if found != asset.get(key):
                audit.fault(folder, f"{key} is {found}, {file} has {asset.get(key)}", command)
        audit.size += size_of(folder)


def check_documents(audit: Audit) -> None:
    """The text against its digest; text of the hub is not on disk."""
    file = Path(audit.study.documents)
    if not audit.there(file) or (descriptor := audit.read(file, "spec", "kind")) is None:
        return
    audit.same(file, "specification", descriptor["spec"], digest(audit.study.text_spec()))
    if descriptor["kind"] == "hub":
        audit.notes.append(f"{file}: the text is streamed from the hub, there is none to check")
        return
    audit.checked["texts"] += 1
    text, again = file.parent / descriptor["file"], audit.command(file)
    audit.size += size_of(text)
    if not text.exists():
        audit.fault(text, f"missing, but {file} is there", again)
    elif (found := sha256_of(text)) != descriptor.get("file_sha256"):
        audit.fault(text, f"its sha256 is {found}, {file} was written beside another", again)
    else:
        try:
            open_documents(descriptor, file.parent)
        except Exception as error:  # readers of Parquet raise many kinds; each means unusable text
            audit.fault(text, error, again)


def check_tokens(audit: Audit) -> None:
    """Each token store against its own digest, and its specification."""
    for model, split in _splits(audit):
        file = audit.study.tokens(model, split)
        if not audit.there(file):
            continue
        audit.checked["token stores"] += 1
        try:
            tokens = load_tokens(Path(file))
        except ValueError as error:
            audit.fault(file, str(error).removeprefix(f"{file} "))
            continue
        spec = digest(audit.study.token_spec(model, split))
        audit.same(file, "specification", tokens.metadata.get("spec"), spec)


def check_stores(audit: Audit) -> Seals:
    """Each manifest, its store chunk by chunk, and the other stores in the same folder."""
    seals: Seals = {}
    named: set[Path] = set()
    for model, split in _splits(audit):
        manifest, spec = audit.study.manifest_and_digest(model, split)
        if not audit.there(manifest):
            continue
        if (found := audit.read(manifest, "spec", "seal", "store")) is None:
            continue
        audit.checked["manifests"] += 1
        audit.same(manifest, "specification", found["spec"], spec)
        seals[model, split] = found["seal"]
        store = Path(os.path.normpath(Path(manifest).parent / found["store"]))
        named.add(store.resolve())
        if not store.is_dir():
            audit.fault(manifest, f"its store {found['store']} is gone")
        elif _check_store(audit, store, manifest):
            _check_seal(audit, store, manifest, found["seal"])
    _check_other_stores(audit, named, seals)
    return seals


def _check_store(audit: Audit, store: Path, manifest: str) -> bool:
    """Read every chunk of a store that belongs to the study; whether it is sound."""
    found = verify_store(store, _reporter(f"verify {store.name}"))
    for fault in found.faults:
        delete = [store if name == "." else store / name for name in fault.delete]
        command = f"{audit.command(manifest, delete)}  # {fault.outcome}"
        audit.fault(store / fault.file, fault.problem, command)
    audit.checked["stores"] += 1
    audit.checked["chunks"] += found.chunks
    audit.size += found.size
    if not found.sealed and not found.faults:
        audit.notes.append(f"{store}: not finished, {found.blocks} blocks are there and sound")
    return not found.faults


def _check_seal(audit: Audit, store: Path, manifest: str, expected: str) -> None:
    if not (store / SEALED).exists():
        audit.fault(store / SEALED, f"missing, but {manifest} is there", audit.command(manifest))
    elif (found := sha256_of(store / SEALED)) != expected:
        audit.fault(manifest, f"its seal is {expected}, that of the store {found}")


def _reporter(label: str) -> Callable[[int, int], None]:
    progress = Progress(label, 1, "chunks")

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return report


def _check_other_stores(audit: Audit, named: set[Path], seals: Seals) -> None:
    """Stores that no sound manifest names: dumps in progress, and those of other studies."""
    root = Path(audit.study.acts_root)
    mine = {
        audit.study.manifest_and_digest(*key)[1]: key for key in _splits(audit) if key not in seals
    }
    for store in sorted(root.iterdir()) if root.is_dir() else ():
        if not store.is_dir() or store.resolve() in named:
            continue
        key = _owner(store, mine)
        if key is None:
            audit.notes.append(f"{store}: not used by this study, {amount(size_of(store))}")
        else:
            _check_store(audit, store, audit.study.manifest(*key))


def _owner(store: Path, mine: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """The (model, split) that a store was dumped for, if the study has one without a manifest."""
    try:
        return mine.get(read_config(store).provenance.get("spec", ""))
    except StoreFaultsError:
        name = store.name.rpartition("-")[0]
        return next((key for key in mine.values() if "-".join(key) == name), None)
    except StoreError:
        return None


def check_baselines(audit: Audit, seals: Seals) -> None:
    """Each model's baselines: their specification, the stores they are of, their tensors."""
    for model in audit.study.models:
        file, spec = audit.study.baselines_and_digest(model)
        path = Path(file)
        if not audit.there(file, path.with_suffix(".safetensors")):
            continue
        if (found := audit.read(file, "made_from", "hookpoints")) is None:
            continue
        audit.checked["baselines"] += 1
        made_from: dict[str, Any] = found["made_from"]
        audit.same(file, "specification", made_from.get("baselines"), spec)
        for split in SPLITS:
            if (seal := made_from.get(split)) != seals.get((model, split), seal):
                audit.fault(file, f"computed on another {split} store, seal {seal}")
        try:
            read_baselines(path)
        except Exception as error:  # whatever it is, cells cannot use them
            audit.fault(path.with_suffix(".safetensors"), error, audit.command(file))


def _splits(audit: Audit) -> list[tuple[str, str]]:
    return [(model, split) for model in audit.study.models for split in SPLITS]
