"""Checks of models, text and tokens on disk, see ``pipeline.jobs.findings``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.assets.documents import open_documents
from pipeline.assets.model_folders import folder_digests
from pipeline.config.specs import AssetSpec, TextSpec, TokenSpec
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
from pipeline.jobs.json_files import digest, sha256_of
from sagsae.activations.tokens import load_tokens


def model_faults(file: Path, spec: AssetSpec) -> Findings:
    """Check a model's description, and its folder against the digests in it."""
    reading = read_record(file, "spec", "folder", spec=spec, kind="models")
    if (asset := (yield from reading)) is None:
        return
    folder, remedy = file.parent / asset["folder"], "{}"
    if spec.model.kind == "path":
        remedy = "restore the folder; if its change is meant: {}"
    if not folder.is_dir():
        problem = f"no such folder, and {file} describes a model there"
        yield Fault(folder, problem, file, remedy=remedy)
        return
    for key, found in folder_digests(folder).items():
        if found != asset.get(key):
            problem = f"{key} is {found}, {file} has {asset.get(key)}"
            yield Fault(folder, problem, file, remedy=remedy)
    yield Checked("", size_of(folder))


def text_faults(file: Path, spec: TextSpec) -> Findings:
    """Check the text against its digest; text of the hub is not on disk."""
    if (descriptor := (yield from read_record(file, "spec", "kind", spec=spec))) is None:
        return
    if descriptor["kind"] == "hub":
        yield Note(f"{file}: the text is streamed from the hub, there is none to check")
        return
    text = file.parent / descriptor["file"]
    yield Checked("texts", size_of(text))
    if not text.exists():
        yield Fault(text, f"missing, but {file} is there", file)
    elif (found := sha256_of(text)) != descriptor.get("file_sha256"):
        yield Fault(text, f"its sha256 is {found}, {file} was written beside another", file)
    else:
        try:
            open_documents(descriptor, file.parent)
        except Exception as error:  # readers of Parquet raise many kinds; each means unusable text
            yield Fault(text, error, file)


def token_faults(file: Path, spec: TokenSpec) -> Findings:
    """Check a token store against its own digest, and its specification."""
    if not file.exists():
        yield Absent(file)
        return
    yield Checked("token stores", size_of(file))
    try:
        tokens = load_tokens(file)
    except ValueError as error:
        yield Fault(file, str(error).removeprefix(f"{file} "))
    else:
        yield from made_for(file, "specification", tokens.metadata.get("spec"), digest(spec))


def faults(
    models: Mapping[str, AssetSpec], text: tuple[str, TextSpec], tokens: Mapping[str, TokenSpec]
) -> Findings:
    """Check every model, the text and every token store, by file and specification."""
    for file, spec in models.items():
        yield from model_faults(Path(file), spec)
    yield from text_faults(Path(text[0]), text[1])
    for file, contexts in tokens.items():
        yield from token_faults(Path(file), contexts)
