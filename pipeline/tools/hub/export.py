"""Stage: one cell as a folder that SAELens loads.

    python -m pipeline export --spec JSON --weights sae.safetensors --asset JSON --documents JSON
        --out saelens/<model>/<hookpoint>/<variant>/w<H>_lam<lambda>_seed<s>/cfg.json

SAELens has a Gated SAE that equals each autoencoder with a gate, see docs/saelens.md.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.cells.evaluate import read_autoencoder
from pipeline.jobs.json_files import read_json
from pipeline.jobs.stage import locked
from pipeline.study.specs import ExportSpec
from pipeline.tools.hub.origin import metadata
from sagsae.exchange.saelens import export_saelens


def export_cell(
    spec: ExportSpec, weights: Path, asset: Path, documents: Path, folder: Path
) -> Path:
    """Write the folder of a cell; arguments as of ``main``.

    Raises:
        NoEqualError: SAELens has no equal of the cell's autoencoder.
        EvaluationError: the weights are of another cell.
    """
    known = metadata(spec, read_json(asset), read_json(documents))
    return export_saelens(read_autoencoder(weights, spec.cell), folder, **known)


def main(spec: ExportSpec, weights: Path, asset: Path, documents: Path, out: Path) -> None:
    """Run the stage.

    Args:
        spec: ExportSpec as JSON
        weights: the cell's autoencoder
        asset: asset.json of the model
        documents: documents.json of the text
        out: cfg.json to write; the weights lie beside it
    """
    with locked(out.parent):
        export_cell(spec, weights, asset, documents, out.parent)
