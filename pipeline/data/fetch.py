"""Stage: fetch one language model, or the text, into the cache, and record it for the study.

In the cache the JSON file is written last, so where it exists, what it describes is whole.

    python -m pipeline fetch --spec JSON --cache cache --out .../assets/<model>/asset.json
    python -m pipeline fetch --spec JSON --cache cache --out .../assets/text/documents.json
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.data.documents import make_documents
from pipeline.data.model_folders import GGUF, describe_model, make_model_folder
from pipeline.data.wheels import AssetError
from pipeline.jobs.cache import DIGESTS, MODELS, TEXTS, Entry, entry_folder, write_record
from pipeline.jobs.json_files import digest, expect_fields, json_argument, read_json, write_json
from pipeline.jobs.progress import say
from pipeline.study.sources import FileDigests, content_of, terms_of
from pipeline.study.specs import AssetSpec, TextSpec


def make_model(spec: AssetSpec, source: dict[str, Any], out: Path) -> dict[str, Any]:
    """Make a model's folder beside ``out`` and describe it in ``out``.

    Args:
        spec: ``Study.asset_spec``.
        source: dump of the model's source.
        out: the asset.json to write.

    Returns:
        Its content: digest of the spec; ``folder`` of the model, relative to ``out`` unless it was
        given as an absolute path; model_type, d_model, n_layers, vocab_size; digests of weights and
        tokenizer; commit of a hub model; terms; ``place``, a folder of the user's own as the
        configuration names it.

    Raises:
        AssetError: the model cannot be had or cannot be loaded.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # it fills logs
    folder, commit = make_model_folder(source, out.parent / "model")
    asset = {
        "spec": digest(spec),
        "folder": _recorded(folder, out.parent),
        "resolved_revision": commit,
        "terms": source.get("terms", ""),
        **({"place": source["path"]} if source["kind"] == "path" else {}),
        **describe_model(folder),
    }
    write_json(out, asset)
    (out.parent / GGUF).unlink(missing_ok=True)
    return asset


def _recorded(folder: Path, start: Path) -> str:
    """An absolute path of the configuration as it was given, any other relative to asset.json."""
    if folder.is_absolute() and folder.parent != start:
        return str(folder)
    return os.path.relpath(folder, start)


def model_folder(asset: str | Path) -> Path:
    """The folder, written by ``save_pretrained``, that an asset.json describes."""
    record = read_json(asset)
    with expect_fields(asset):
        return entry_folder(Path(asset), record) / record["folder"]


def make_text(spec: TextSpec, source: dict[str, Any], out: Path) -> dict[str, Any]:
    """Store the documents beside ``out`` and describe them in ``out``.

    Args:
        spec: ``Study.text_spec``.
        source: dump of the text's source.
        out: the documents.json to write.

    Raises:
        AssetError: the text cannot be had.
    """
    documents = {"spec": digest(spec), **make_documents(source, out.parent)}
    write_json(out, documents)
    return documents


def _spec(text: str) -> AssetSpec | TextSpec:
    return (AssetSpec if "model" in json_argument(text) else TextSpec).argument(text)


def _is_whole(made_file: Path, source: dict[str, Any]) -> bool:
    """Whether the cache has it; a folder of the user's own is found again where it lies now."""
    if not made_file.exists():
        return False
    return source["kind"] != "path" or read_json(made_file)["place"] == source["path"]


def main(
    spec: Annotated[AssetSpec | TextSpec, _spec],
    source: Annotated[Any, json_argument],
    cache: Path,
    out: Path,
) -> None:
    """Make what the specification describes, unless the cache has it.

    Args:
        spec: AssetSpec or TextSpec as JSON
        source: of the model or of the text, as the configuration has it, as JSON or @FILE
        cache: folder of the cache
        out: record to write
    """
    make: Callable[[Any, dict[str, Any], Path], dict[str, Any]] = make_text
    kind, field = TEXTS, "text"
    if isinstance(spec, AssetSpec):
        kind, make, field = MODELS, make_model, "model"
    given = getattr(type(spec).model_validate({"revision": spec.revision, field: source}), field)
    entry = Entry(cache, kind, digest(spec))
    made_file = entry.folder / out.name
    with entry.used(), entry.making():
        if not _is_whole(made_file, source):
            if terms := terms_of(given):
                say(f"terms of what is downloaded now: {terms}")
            if content_of(given, FileDigests(cache / DIGESTS)) != getattr(spec, field):
                raise AssetError(f"{out}: local files changed after the plan: run snakemake again")
            make(spec, source, made_file)
        made = read_json(made_file)
        write_record(out, made, entry.folder)
    named = ("model_type", "d_model", "documents", "repo")
    say(f"{out}: { ({key: made[key] for key in named if key in made}) }")


if TYPE_CHECKING:
    import torch


def load_asset(asset: Path, dtype: str, device: torch.device) -> Any:
    """The language model of an ``asset.json``."""
    import torch

    from sagsae.activations.language_models import load_language_model

    return load_language_model(model_folder(asset), getattr(torch, dtype), device)
