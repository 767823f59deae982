"""Files of every kind: how a sound one is made, how it is read, what reading it may raise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from pipeline.activations.baselines import BaselineError, read_baselines
from pipeline.activations.manifests import open_store
from pipeline.assets import fetch as assets
from pipeline.assets.documents import open_documents
from pipeline.assets.wheels import AssetError
from pipeline.config.study_config import ConfigError
from pipeline.jobs.cache import write_record
from pipeline.jobs.json_files import read_json, sha256_of, write_json
from pipeline.study.cell import Cell
from pipeline.study.metrics import MetricsError, read_metrics
from pipeline.study.study import Study
from sagsae.activations import Store, StoreError, TokenStore, load_tokens, save_tokens
from sagsae.activations.calibration import load_calibration
from sagsae.autoencoders import storage
from sagsae.training.checkpoint import load_checkpoint, save_checkpoint
from tests.e2e.conftest import ROOT
from tests.faults import small_stores
from tests.pipeline.assets.small_assets import text_spec
from tests.pipeline.conftest import metrics_of

CELL = Cell(model="m", hookpoint="attn", variant="gated", width=8, lam=0.1, seed=0)


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        make: Writes a sound one, and what it needs, below a folder; returns where it is.
        read: Reads it, and returns what it says in a form that can be compared.
        errors: What reading may raise, by documentation.
        other: What a message may say instead of the file's name, where the fault lies elsewhere.
        exact: Whether what is accepted must be what was written. Otherwise the file does not sign
            its content, and ``read`` checks that it is of use.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = (ValueError,)
    other: str = ""
    exact: bool = True


def make_config(folder: Path) -> Path:
    (folder / "config.yaml").write_bytes((ROOT / "workflow/configs/smoke.yaml").read_bytes())
    return folder / "config.yaml"


def read_config(path: Path) -> None:
    study = Study.load(path)
    assert study.cells
    assert all(Cell.from_path(cell.path) == cell for cell in study.cells)


def make_autoencoder(folder: Path) -> Path:
    sae = storage.build("sagsae_tied", 5, 7, 0.5)
    sae.initialise(torch.zeros(5), seed=0)
    sae.save(folder / "sae.safetensors")
    return folder / "sae.safetensors"


def read_autoencoder(path: Path) -> None:
    sae = storage.load(path)
    codes = sae.encode(torch.ones(3, sae.d))
    assert codes.shape == (3, sae.width)
    assert sae.decode(codes).shape == (3, sae.d)
    assert all(bool(value.isfinite().all()) for value in sae.params.values())
    assert 0 < sae.scale < float("inf")


def make_checkpoint(folder: Path) -> Path:
    tensors = {"w": torch.arange(12.0).reshape(3, 4), "n": torch.ones(5, dtype=torch.int64)}
    save_checkpoint(folder / "checkpoint.safetensors", tensors, {"step": 3, "loss": [0.5]})
    return folder / "checkpoint.safetensors"


def read_checkpoint(path: Path) -> Any:
    tensors, state = load_checkpoint(path)
    return {name: value.tolist() for name, value in tensors.items()}, state


def make_tokens(folder: Path) -> Path:
    ids = np.arange(24, dtype=np.int32).reshape(3, 8)
    save_tokens(folder / "tokens.safetensors", TokenStore(ids, ids // 5, {"vocab_size": 30}))
    return folder / "tokens.safetensors"


def read_tokens(path: Path) -> Any:
    tokens = load_tokens(path)
    return tokens.input_ids.tolist(), tokens.doc_id.tolist(), tokens.metadata


def make_metrics(folder: Path) -> Path:
    path = folder / CELL.path / "metrics.json"
    write_json(path, metrics_of(CELL, 16, l0=3.0, r2=0.5, dead=1))
    return path


def make_manifest(folder: Path) -> Path:
    small_stores.dump(folder / "store", small_stores.config(n_blocks=2), seal=True)
    store = Store.open(folder / "store")
    manifest = {"split": "train", "rows": store.n_rows, "sha256": store.digest(), "spec": "d"}
    write_record(folder / "manifests" / "m.json", manifest, store.path)
    return folder / "manifests" / "m.json"


def make_baselines(folder: Path) -> Path:
    beside = folder / "m.safetensors"
    ids = torch.ones(2, 8, dtype=torch.int32)
    save_file({"input_ids": ids, "kept": ids.bool()}, beside)
    sums = {"tokens": 14, "sum_clean": 1.0, "sum_zero": 2.0, "sum_mean": 1.5}
    record = {
        "blocks": "model.layers",
        "layer": 1,
        "dtype": "float32",
        "hookpoints": {"attn": {"module": "model.layers.1.self_attn", **sums}},
        "tensors": {"file": beside.name, "sha256": sha256_of(beside)},
    }
    write_json(folder / "m.json", record)
    return folder / "m.json"


def make_baseline_tensors(folder: Path) -> Path:
    return make_baselines(folder).with_suffix(".safetensors")


def make_asset(folder: Path) -> Path:
    write_json(folder / "asset.json", {"folder": "model", "d_model": 16, "spec": "d"})
    return folder / "asset.json"


def store_file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        small_stores.dump(folder / "store", small_stores.config(n_blocks=2), seal=True)
        return folder / "store" / name

    return make


def read_store(path: Path) -> Any:
    root = next(parent for parent in path.parents if parent.name == "store")
    store = Store.open(root)
    rows = {h: store.read_chunk(h, 1).tolist() for h in store.config.hookpoints}
    tokens = {name: value.tolist() for name, value in store.read_tokens(1).items()}
    found = [fault.file for fault in store.verify()]
    return rows, tokens, load_calibration(root), store.dropped, found


def make_documents(folder: Path) -> Path:
    source = {"kind": "random", "documents": 30, "words": 9, "vocabulary": 50, "seed": 0}
    assets.make_text(text_spec(source), folder / "documents.json")
    return folder / "documents.parquet"


def read_documents(path: Path) -> Any:
    return list(open_documents(read_json(path.with_name("documents.json")), path.parent)["text"])


def make_lines(folder: Path) -> Path:
    lines = [json.dumps({"text": f"document {number} é"}) for number in range(9)]
    (folder / "text.jsonl").write_text("\n".join(lines))
    return folder / "text.jsonl"


def read_lines(path: Path) -> None:
    source = {"kind": "files", "paths": [str(path)], "column": "text"}
    made = assets.make_text(text_spec(source), path.parent / "documents.json")
    assert made["documents"] == len(open_documents(made, path.parent)) > 0


STORE = (StoreError,)
KINDS = {
    "configuration": Kind(make_config, read_config, (ConfigError,), exact=False),
    "autoencoder": Kind(make_autoencoder, read_autoencoder, exact=False),
    "checkpoint": Kind(make_checkpoint, read_checkpoint),
    "tokens": Kind(make_tokens, read_tokens),
    "metrics": Kind(make_metrics, lambda path: read_metrics(path, CELL), (MetricsError,)),
    "manifest": Kind(
        make_manifest,
        lambda path: open_store(path, "d").n_rows,
        (ValueError, StoreError),
        other="activation store ",
    ),
    "baselines": Kind(make_baselines, lambda path: read_baselines(path).ablations),
    "tensors of baselines": Kind(
        make_baseline_tensors,
        lambda path: read_baselines(path.with_suffix(".json")).contexts.input_ids.tolist(),
        (BaselineError,),
    ),
    "asset": Kind(make_asset, assets.model_folder),
    "run.json": Kind(store_file("run.json"), read_store, STORE),
    "commit": Kind(store_file("commits/000001.json"), read_store, STORE),
    "seal": Kind(store_file("SEALED.json"), read_store, STORE),
    "calibration": Kind(store_file("calibration.json"), read_store, STORE),
    "array metadata": Kind(store_file("data.zarr/attn/zarr.json"), read_store, STORE),
    "documents": Kind(make_documents, read_documents, (AssetError,)),
    "lines of text": Kind(make_lines, read_lines, (AssetError,), exact=False),
}


def outcome(kind: Kind, path: Path, sound: Any) -> str:
    """What is wrong with how a file was met; empty if nothing is."""
    try:
        found = kind.read(path)
    except kind.errors as error:
        named = path.name in str(error) or (kind.other and kind.other in str(error))
        return "" if named else f"{error!r} does not name the file"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"read as {found!r}" if kind.exact and found != sound else ""
