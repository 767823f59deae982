"""What each kind of entry of the cache is in a few words, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.activations.baselines import read_baselines
from pipeline.assets.documents import open_documents
from pipeline.assets.model_folders import check_model
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
from sagsae.activations import StoreConfig, StoreError, verify_store
from sagsae.activations.commits import read_seal
from sagsae.activations.tokens import load_tokens
from sagsae.storage import Location, storage_at


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
    rows = len(read_seal(storage_at(store), config)) * config.rows_per_block
    return f"{rows:,} rows of {', '.join(config.hookpoints)}"


def _baselines(folder: Path) -> str:
    return f"{read_json(folder / LOSSES)['loss']:.3f} nats per token"


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
    MODELS: lambda folder: check_model(folder / ASSET),
    TEXTS: _check_text,
    TOKENS: lambda folder: load_tokens(folder / CONTEXTS),
    BASELINES: lambda folder: read_baselines(folder / LOSSES),
}
"""What raises where an entry is not sound. A store is read by ``verify_store``."""


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
        for problem in verify_store(folder):
            yield Fault(folder, problem)
        return
    yield Checked(kind, size_of(folder))
    try:
        CHECKS[kind](folder)
    except FileNotFoundError:
        return  # not finished
    except Exception as error:  # readers raise many kinds; each means that nobody can use it
        yield Fault(folder, error)
