"""Stage: a folder for a repository of the Hugging Face hub, with some cells of a study.

    python -m pipeline hub-folder --config @FILE --out results/<study>/hub/README.md

Each cell has a folder: its weights for this library, its weights and configuration for SAELens, and
its metrics. The model card is written last. `hf upload` sends the folder to the hub.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pipeline.jobs.json_files import json_argument, read_json, sha256_of
from pipeline.jobs.progress import say
from pipeline.jobs.stage import link_or_copy, locked
from pipeline.study.cell import Cell
from pipeline.study.hub import hub, hub_cells
from pipeline.study.metrics import MetricsError, read_metrics
from pipeline.study.outputs import METRICS, WEIGHTS
from pipeline.study.study import Study
from pipeline.tools.hub.card import Shown, card
from pipeline.tools.hub.export import export_cell
from sagsae.exchange.equal import NoEqualError
from sagsae.files import write_atomic


def fill(study: Study, cells: Iterable[Cell], folder: Path) -> list[Shown]:
    """Make the folders of some cells.

    Args:
        study: Its paths are relative to the working directory.
        cells: Finished ones.
        folder: Empty, or not there.

    Returns:
        What the model card says of each cell.

    Raises:
        MetricsError: a cell is not finished, or its metrics are of other weights.
    """
    shown, documents = [], Path(study.documents)
    for cell in cells:
        metrics, weights = Path(study.metrics(cell)), Path(study.cell_file(cell, WEIGHTS))
        found, place = read_metrics(metrics, cell), folder / cell.path
        if not weights.exists() or sha256_of(weights) != found.made_from.weights_sha256:
            raise MetricsError(
                f"{weights}: not there, or not the weights that the cell's metrics were measured "
                f"on: run snakemake --force {metrics}"
            )
        place.mkdir(parents=True)
        spec, asset = study.export_spec(cell), Path(study.asset(cell.model))
        try:
            export_cell(spec, weights, asset, documents, place)
            why_not = ""
        except NoEqualError as error:
            why_not = str(error)
        link_or_copy(weights, place / WEIGHTS)
        shutil.copyfile(metrics, place / METRICS)
        shown.append(Shown(spec=spec, metrics=found, asset=read_json(asset), why_not=why_not))
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
        shown = fill(study, hub_cells(study), partial)
        if figure is not None:
            shutil.copyfile(figure, partial / figure.name)
        text = card(study, shown, read_json(study.documents), figure.name if figure else None)
        write_atomic(partial / out.name, text.encode())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    say(f"{folder}: {len(shown)} cells; to publish: hf upload {hub(study).repo} {folder}")
