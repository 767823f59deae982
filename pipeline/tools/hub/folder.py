"""Stage: a folder for a repository of the Hugging Face hub, with some cells of a study.

    python -m pipeline hub-folder --config @FILE --out results/<study>/hub/README.md

Each cell has a folder: its weights for this library, its weights and configuration for SAELens, and
its metrics. The model card is written last. `hf upload` sends the folder to the hub.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch

from pipeline.analysis.numbers import BLANK, format_number, variant_label
from pipeline.analysis.page import template
from pipeline.cells.evaluate import MeasuredCells
from pipeline.jobs.json_files import json_argument, read_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import link_or_copy, locked
from pipeline.study.cell import Cell
from pipeline.study.hub import hub, hub_cells
from pipeline.study.metrics import CellMetrics
from pipeline.study.outputs import METRICS, WEIGHTS
from pipeline.study.specs import ExportSpec
from pipeline.study.study import Study
from pipeline.tools.hub.export import TextSource, metadata, repository, text_sources
from sagsae import __version__
from sagsae.exchange.equal import NoEqualError
from sagsae.exchange.saelens import export_saelens
from sagsae.files import write_atomic

TAGS = ["sparse-autoencoder", "saelens", "sagsae", "mechanistic-interpretability"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the card says of one cell.

    Attributes:
        spec: Its export's.
        metrics: As evaluation wrote them.
        asset: Content of its language model's asset.json.
        why_not: Why it has no folder for SAELens; empty where it has one.
    """

    spec: ExportSpec
    metrics: CellMetrics
    asset: dict[str, Any]
    why_not: str

    @property
    def name(self) -> str:
        return self.spec.cell.path


def metric_row(one: Shown) -> dict[str, str]:
    """What the table of metrics says of a cell."""
    found, cell = one.metrics, one.spec.cell
    sides = 1 if found.break_even_share is None else 2
    recovered = BLANK if found.loss_recovered is None else format_number(found.loss_recovered)
    return {
        "Cell": f"`{one.name}`",
        "Variant": variant_label(cell.variant),
        "Latents": str(cell.width),
        "In SAELens": BLANK if one.why_not else str(cell.width * sides),
        "L0": format_number(found.l0),
        "R2": format_number(found.r2),
        "Dead": format_number(found.dead_fraction),
        "Loss Recovered": recovered,
    }


def model_row(one: Shown, documents: dict[str, Any]) -> dict[str, str]:
    """What the table of language models says of a cell's."""
    known, asset = metadata(one.spec, one.asset, documents), one.asset
    weights = f"weights sha256 {asset['weights_sha256'][:16]}"
    return {
        "Language model": known["model_name"],
        "Version": asset["resolved_revision"] or weights,
        "Module": f"`{known['hf_hook_name']}`",
        "In TransformerLens": f"`{known['hook_name']}`",
        "Terms": getattr(one.spec.source, "terms", "") or "see the model",
    }


def text_row(text: TextSource) -> dict[str, str]:
    """What the table of texts says of a source."""
    return {"Text": text.name, "Version": text.revision, "Terms": text.terms or "see the source"}


def _markdown(rows: list[dict[str, str]]) -> str:
    table = pd.DataFrame(rows).drop_duplicates()
    return str(table.to_markdown(index=False, disable_numparse=True))


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
    texts = text_sources(text, documents)
    sources = [text] if text.kind != "mixed" else [part.source for part in text.sources]
    models = {repository(one.spec) for one in shown} - {""}
    data = ModelCardData(
        library_name="saelens",
        tags=TAGS,
        license=section.license or None,
        base_model=sorted(models) or None,
        datasets=sorted({one.repo for one in sources if one.kind == "hub"}) or None,
    )
    first = shown[0].spec
    return template(Path(__file__).with_name("card.md.j2")).render(
        data=data.to_yaml(),
        study=study.config.study,
        note=study.config.note.strip(),
        repo=section.repo,
        license=section.license,
        example=next((one for one in shown if not one.why_not), None),
        first=shown[0].name,
        metrics=_markdown(list(map(metric_row, shown))),
        models=_markdown([model_row(one, documents) for one in shown]),
        texts=_markdown(list(map(text_row, texts))),
        why_not=sorted({one.why_not for one in shown if one.why_not}),
        two_sided=any(one.metrics.break_even_share is not None for one in shown),
        eval_tokens=max(one.metrics.eval_tokens for one in shown),
        context_length=first.context_length,
        max_norm_ratio=f"{first.max_norm_ratio:g}",
        figure=figure,
        version=__version__,
    )


def fill(study: Study, cells: Sequence[Cell], folder: Path) -> list[Shown]:
    """Make the folders of some cells.

    Args:
        study: Its paths are relative to the working directory.
        cells: Finished ones.
        folder: Empty, or not there.

    Returns:
        What the model card says of each cell.

    Raises:
        MetricsError: a cell is not finished.
        EvaluationError: its metrics are of other weights.
    """
    measured = MeasuredCells(Path(study.cells_root), cells, torch.device("cpu"))
    shown, documents = [], read_json(study.documents)
    for cell in cells:
        sae, place = measured.autoencoder(cell), folder / cell.path
        place.mkdir(parents=True)
        spec, asset = study.export_spec(cell), read_json(study.asset(cell.model))
        try:
            export_saelens(sae, place, **metadata(spec, asset, documents))
            why_not = ""
        except NoEqualError as error:
            why_not = str(error)
        link_or_copy(Path(study.cell_file(cell, WEIGHTS)), place / WEIGHTS)
        shutil.copyfile(study.metrics(cell), place / METRICS)
        found = measured.metrics[cell]
        shown.append(Shown(spec=spec, metrics=found, asset=asset, why_not=why_not))
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
