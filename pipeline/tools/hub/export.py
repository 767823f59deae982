"""Stage: one cell as a folder that SAELens loads.

    python -m pipeline export --spec JSON --weights sae.safetensors --asset JSON --documents JSON
        --out saelens/<model>/<hookpoint>/<variant>/w<H>_lam<lambda>_seed<s>/cfg.json

SAELens has a Gated SAE that equals each autoencoder with a gate, see docs/saelens.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pipeline.cells.looks import read_autoencoder
from pipeline.data.manifests import hookpoints_of
from pipeline.data.random_sources import SEED
from pipeline.jobs.json_files import read_json
from pipeline.jobs.stage import locked
from pipeline.study.sources import AnyText
from pipeline.study.specs import ExportSpec
from sagsae.exchange.saelens import export_saelens, hook_metadata, position_metadata


class TextSource(NamedTuple):
    """One source of text: what it is called, which version of it was read, its terms of use."""

    name: str
    revision: str
    terms: str


def text_sources(text: AnyText, documents: dict[str, Any]) -> list[TextSource]:
    """The sources of a text.

    Args:
        text: As the configuration describes it.
        documents: Content of documents.json, which has the commit of a text of the hub.
    """
    if text.kind != "mixed":
        return [_described(text, documents.get("resolved_revision") or documents.get("sha256", ""))]
    return [_described(part.source, getattr(part.source, "revision", "")) for part in text.sources]


def _described(source: Any, revision: str) -> TextSource:
    match source.kind:
        case "hub":
            return TextSource(source.repo, revision, "")
        case "wheels":
            wheels = source.wheels
            names = ", ".join(f"{wheel.package} {wheel.version} (PyPI)" for wheel in wheels)
            return TextSource(names, f"sha256 {source.sha256}", source.terms)
        case "files":
            return TextSource(", ".join(source.paths), f"sha256 {revision}", "")
        case _:
            return TextSource("random words", f"seed {SEED}", "")


def repository(spec: ExportSpec) -> str:
    """The language model's repository on the hub; empty where it is another one, or a null."""
    source = spec.source
    null = spec.model.like or (source.kind == "hub" and source.randomise)
    return source.repo if source.kind == "hub" and not null else ""


def metadata(spec: ExportSpec, asset: dict[str, Any], documents: dict[str, Any]) -> dict[str, Any]:
    """What SAELens's metadata say of a cell.

    Args:
        spec: Of the cell.
        asset: Content of the model's asset.json.
        documents: Content of documents.json.
    """
    place, model = spec.cell.place, spec.model
    point = hookpoints_of(model, [place.reads], asset["model_type"])[place.reads]
    texts = text_sources(spec.text, documents)
    return {
        "model_name": repository(spec) or spec.model.name,
        "model_revision": asset["resolved_revision"],
        "model_weights_sha256": asset["weights_sha256"],
        **hook_metadata(place.source, point.path, model.depth(place), asset["model_type"]),
        **position_metadata(spec.context_length, spec.max_norm_ratio),
        "prepend_bos": spec.start_token == "bos",
        "start_token": spec.start_token,
        "dataset_path": "; ".join(text.name for text in texts),
        "dataset_revision": "; ".join(text.revision for text in texts),
        "cell": spec.cell.path,
    }


def main(spec: ExportSpec, weights: Path, asset: Path, documents: Path, out: Path) -> None:
    """Run the stage.

    Args:
        spec: ExportSpec as JSON
        weights: the cell's autoencoder
        asset: asset.json of the model
        documents: documents.json of the text
        out: cfg.json to write; the weights lie beside it

    Raises:
        NoEqualError: SAELens has no equal of the cell's autoencoder.
        EvaluationError: the weights are of another cell.
    """
    with locked(out.parent):
        known = metadata(spec, read_json(asset), read_json(documents))
        export_saelens(read_autoencoder(weights, spec.cell), out.parent, **known)
