"""Stage: a folder for a repository of the Hugging Face hub, with some cells of a study.

    python -m pipeline hub-folder --config @FILE --out results/<study>/hub/README.md

Each cell has a folder: its weights for this library, its weights and configuration for SAELens, and
its metrics. The model card is written last. `hf upload` sends the folder to the hub.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch

from pipeline.analysis.numbers import format_number, variant_label
from pipeline.analysis.page import template
from pipeline.cells.looks import MeasuredCells
from pipeline.jobs.json_files import json_argument, read_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import link_or_copy, locked
from pipeline.study.cell import Cell
from pipeline.study.hub import hub, hub_cells
from pipeline.study.metrics import CellMetrics
from pipeline.study.outputs import METRICS, WEIGHTS
from pipeline.study.specs import ExportSpec
from pipeline.study.study import Study
from pipeline.tools.hub.export import metadata, repository, text_sources
from sagsae import __version__
from sagsae.exchange.saelens import export_saelens
from sagsae.exchange.transcoders import NoEqualError
from sagsae.files import write_atomic

TAGS = ["sparse-autoencoder", "saelens", "sagsae", "mechanistic-interpretability"]


class Shown(NamedTuple):
    """What the card says of one cell."""

    spec: ExportSpec
    metrics: CellMetrics
    # Of SAELens, also where the cell has no folder for it.
    metadata: dict[str, Any]
    # Terms of use of the language model.
    terms: str
    # Why there is no folder for SAELens; empty where there is one.
    why_not: str

    @property
    def place(self) -> tuple[str, str]:
        """Language model and hookpoint."""
        return self.spec.cell.model, self.spec.cell.hookpoint


def card(study: Study, shown: list[Shown], documents: dict[str, Any], figure: str | None) -> str:
    """The text of README.md, its metadata first.

    Args:
        study: Names the repository and the licence.
        shown: Every cell of the folder.
        documents: Content of documents.json.
        figure: File name of the figure of the sweeps.
    """
    from huggingface_hub import ModelCardData

    section, text = hub(study), study.config.text.whole
    kinds = [text] if text.kind != "mixed" else [part.source for part in text.sources]
    data = ModelCardData(
        library_name="saelens",
        tags=TAGS,
        license=section.license or None,
        base_model=sorted({repository(cell.spec) for cell in shown} - {""}) or None,
        datasets=sorted({source.repo for source in kinds if source.kind == "hub"}) or None,
    )
    return template(Path(__file__).with_name("card.md.j2")).render(
        data=data.to_yaml(),
        study=study.config,
        section=section,
        shown=shown,
        texts=text_sources(text, documents),
        figure=figure,
        version=__version__,
        number=format_number,
        label=variant_label,
    )


def fill(
    study: Study, cells: Sequence[Cell], folder: Path, documents: dict[str, Any]
) -> list[Shown]:
    """Make the folders of some finished cells; what the model card says of each.

    Raises:
        MetricsError: a cell is not finished.
        EvaluationError: its metrics are of other weights.
    """
    measured, shown = MeasuredCells(Path(study.cells_root), cells, torch.device("cpu")), []
    for cell in cells:
        sae, place, spec = measured.autoencoder(cell), folder / cell.path, study.export_spec(cell)
        known, why_not = metadata(spec, read_json(study.asset(cell.model)), documents), ""
        place.mkdir(parents=True)
        try:
            export_saelens(sae, place, **known)
        except NoEqualError as error:
            why_not = str(error)
        link_or_copy(Path(study.cell_file(cell, WEIGHTS)), place / WEIGHTS)
        shutil.copyfile(study.metrics(cell), place / METRICS)
        terms = getattr(spec.source, "terms", "")
        shown.append(Shown(spec, measured.metrics[cell], known, terms, why_not))
    return shown


def main(config: Annotated[Any, json_argument], out: Path, figure: Path | None = None) -> None:
    """Run the stage.

    Args:
        config: the study's configuration as JSON, or @FILE that holds it
        out: the model card to write; its folder is replaced
        figure: figure of the sweeps, if there is one
    """
    study, folder = Study.from_dict(config), out.parent
    partial = folder.with_name(f".{folder.name}.partial")
    with locked(folder.parent, folder.name):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        documents = read_json(study.documents)
        shown = fill(study, hub_cells(study), partial, documents)
        if figure is not None:
            shutil.copyfile(figure, partial / figure.name)
        text = card(study, shown, documents, figure.name if figure else None)
        write_atomic(partial / out.name, text.encode())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    say(f"{folder}: {len(shown)} cells; to publish: hf upload {hub(study).repo} {folder}")
