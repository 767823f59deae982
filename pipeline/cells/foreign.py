"""Weights that another library has trained, in the place of a training."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.cells.train import Trained, record_of
from pipeline.data.wheels import hub_errors
from pipeline.jobs.json_files import sha256_of
from pipeline.study.grid import ForeignSource
from pipeline.study.specs import TrainSpec
from sagsae.exchange import FORMATS
from sagsae.exchange.loading import ForeignError, read_peer

ELSEWHERE = "elsewhere"
COSTS = ("seconds", "tokens_per_second", "data_wait_seconds", "peak_memory_mb")
NOT_TRAINED: dict[str, Any] = {"steps": 0, "tokens": 0, **dict.fromkeys(COSTS, 0.0), "threads": 1}
NOT_TRAINED |= dict.fromkeys(("device", "matmul_dtype"), ELSEWHERE)


def located(source: ForeignSource) -> Path:
    """The folder that holds the files; those of the hub are fetched into its cache.

    Raises:
        AssetError: the hub cannot be reached, or has no such repository or revision.
    """
    if source.path:
        return Path(source.path, source.folder)
    from huggingface_hub import snapshot_download

    assert source.repo is not None
    folder = source.folder.strip("/")
    wanted = [PurePosixPath(folder, name).as_posix() for name in FORMATS[source.kind]]
    with hub_errors(f"{source.repo} at revision {source.revision}", "grid"):
        cached = snapshot_download(source.repo, revision=source.revision, allow_patterns=wanted)
    return Path(cached, folder)


def take_cell(spec: TrainSpec, manifest: Path) -> Trained:
    """Read the weights of a cell; the record says that nothing was trained.

    Args:
        spec: ``Study.train_spec`` of the cell, with a source.
        manifest: Of the training store.

    Raises:
        ForeignError: the files cannot be read, or are of other widths than the cell.
        AssetError: they cannot be had.
    """
    source, cell = spec.source, spec.cell
    assert source is not None
    folder = located(source)
    sae = read_peer(folder, source.kind)
    if (sae.d, sae.width) != (spec.d_model, cell.width):
        raise ForeignError(
            f"{folder}: has {sae.width} latents of activations of width {sae.d}; the grid says "
            f"{cell.width} latents, and {cell.model} has activations of width {spec.d_model}"
        )
    files = {name: sha256_of(folder / name) for name in FORMATS[source.kind]}
    known = {"variant": cell.variant, "source": source.model_dump(), "sha256": files}
    sae.provenance = {
        "model": cell.model,
        "hookpoint": cell.hookpoint,
        "foreign": sae.provenance["foreign"] | known,
    }
    course = {"history": [], "latents_reset": 0, "diverged": ""}
    return sae, record_of(spec, manifest, NOT_TRAINED, course)
