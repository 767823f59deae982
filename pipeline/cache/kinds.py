"""What each kind of entry of the cache is in a few words, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.activations.baselines import read_baselines
from pipeline.activations.faults import store_faults
from pipeline.assets.documents import open_documents
from pipeline.assets.fetch import model_folder
from pipeline.assets.model_folders import folder_digests
from pipeline.jobs.cache import (
    ASSET,
    BASELINES,
    CONTEXTS,
    DOCUMENTS,
    LOSSES,
    MODELS,
    STORES,
    TEXTS,
    TOKENS,
)
from pipeline.jobs.findings import Checked, Fault, Findings, size_of
from pipeline.jobs.json_files import read_json
from sagsae.activations.errors import StoreError
from sagsae.activations.layout import StoreConfig
from sagsae.activations.seal import sealed_rows
from sagsae.activations.tokens import load_tokens
from sagsae.storage import Folder, Location


def _model(folder: Path) -> str:
    found = read_json(folder / ASSET)
    return f"{found['model_type']}, {found['n_layers']} blocks, d {found['d_model']}"


def _text(folder: Path) -> str:
    found = read_json(folder / DOCUMENTS)
    return f"{found['documents']:,} documents" if "documents" in found else "streamed from the hub"


def _tokens(folder: Path) -> str:
    found = load_tokens(folder / CONTEXTS)
    return f"{found.n_contexts:,} contexts of {found.context_length}"


def store_words(store: Location) -> str:
    config = StoreConfig.read(store)
    return f"{sealed_rows(store):,} rows of {', '.join(config.hookpoints)}"


def _baselines(folder: Path) -> str:
    return f"{read_json(folder / LOSSES)['loss']:.3f} nats per token"


def _check_model(folder: Path) -> None:
    asset = read_json(folder / ASSET)
    for key, found in folder_digests(model_folder(folder / ASSET)).items():
        if found != asset.get(key):
            raise ValueError(f"{key} is {found}, asset.json has {asset.get(key)}")


def _check_text(folder: Path) -> None:
    found = read_json(folder / DOCUMENTS)
    if found["kind"] != "hub":
        open_documents(found, folder)


DESCRIPTIONS: dict[str, Callable[[Path], str]] = {
    MODELS: _model,
    TEXTS: _text,
    TOKENS: _tokens,
    STORES: store_words,
    BASELINES: _baselines,
}
CHECKS: dict[str, Callable[[Path], object]] = {
    MODELS: _check_model,
    TEXTS: _check_text,
    TOKENS: lambda folder: load_tokens(folder / CONTEXTS),
    BASELINES: lambda folder: read_baselines(folder / LOSSES),
}
"""What raises where an entry is not sound. Of a store more is known, see ``store_faults``."""


def describe(kind: str, folder: Path) -> str:
    """A few words on an entry; what is wrong with it where it cannot be read."""
    try:
        return DESCRIPTIONS[kind](folder)
    except FileNotFoundError:
        return "not finished"
    except (OSError, ValueError, LookupError, StoreError):
        return "damaged: see `cache verify`"


def faults(kind: str, folder: Path) -> Findings:
    """Check an entry, reading all of it."""
    if kind == STORES:
        yield from store_faults(Folder(folder))
        return
    yield Checked(kind, size_of(folder))
    try:
        CHECKS[kind](folder)
    except FileNotFoundError:
        return  # not finished
    except Exception as error:  # readers raise many kinds; each means that nobody can use it
        yield Fault(folder, error)
