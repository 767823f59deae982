"""Checks of models, text and tokens on disk, see ``pipeline.jobs.findings``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.assets.documents import open_documents
from pipeline.assets.model_folders import folder_digests
from pipeline.assets.tokenise import open_tokens
from pipeline.config.specs import AssetSpec, TextSpec, TokenSpec
from pipeline.jobs.cache import CONTEXTS, entry_folder
from pipeline.jobs.findings import (
    Checked,
    Fault,
    Findings,
    Note,
    read_record,
    size_of,
)
from pipeline.jobs.json_files import sha256_of


def model_faults(file: Path, spec: AssetSpec) -> Findings:
    """Check a model's description, and its folder against the digests in it."""
    reading = read_record(file, "spec", "folder", spec=spec, kind="models")
    if (asset := (yield from reading)) is None:
        return
    entry, remedy = entry_folder(file, asset), "{}"
    folder, delete = entry / asset["folder"], [entry]
    if spec.model.kind == "path":
        remedy, delete = "restore the folder; if its change is meant: {}", []
    if not folder.is_dir():
        problem = f"no such folder, and {file} describes a model there"
        yield Fault(folder, problem, file, tuple(delete), remedy)
        return
    for key, found in folder_digests(folder).items():
        if found != asset.get(key):
            problem = f"{key} is {found}, {file} has {asset.get(key)}"
            yield Fault(folder, problem, file, tuple(delete), remedy)
    yield Checked("", size_of(folder))


def text_faults(file: Path, spec: TextSpec) -> Findings:
    """Check the text against its digest; text of the hub is not on disk."""
    if (descriptor := (yield from read_record(file, "spec", "kind", spec=spec))) is None:
        return
    if descriptor["kind"] == "hub":
        yield Note(f"{file}: the text is streamed from the hub, there is none to check")
        return
    entry = entry_folder(file, descriptor)
    text = entry / descriptor["file"]
    yield Checked("texts", size_of(text))
    if not text.exists():
        yield Fault(text, f"missing, but {file} is there", file, (entry,))
    elif (found := sha256_of(text)) != descriptor.get("file_sha256"):
        problem = f"its sha256 is {found}, {file} was written beside another"
        yield Fault(text, problem, file, (entry,))
    else:
        try:
            open_documents(descriptor, entry)
        except Exception as error:  # readers of Parquet raise many kinds; each means unusable text
            yield Fault(text, error, file, (entry,))


def token_faults(file: Path, spec: TokenSpec) -> Findings:
    """Check a token store against its own digest, and against what a study recorded of it."""
    keys = ("spec", "contexts", "sha256")
    if (record := (yield from read_record(file, *keys, spec=spec))) is None:
        return
    entry = entry_folder(file, record)
    path = entry / CONTEXTS
    yield Checked("token stores", size_of(path))
    try:
        open_tokens(file)
    except (OSError, ValueError) as error:
        yield Fault(path, str(error).removeprefix(f"{path} "), file, (entry,))


def faults(
    models: Mapping[str, AssetSpec], text: tuple[str, TextSpec], tokens: Mapping[str, TokenSpec]
) -> Findings:
    """Check every model, the text and every token store, by file and specification."""
    for file, spec in models.items():
        yield from model_faults(Path(file), spec)
    yield from text_faults(Path(text[0]), text[1])
    for file, contexts in tokens.items():
        yield from token_faults(Path(file), contexts)
