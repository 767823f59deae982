"""The model card of a folder for the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.analysis.numbers import BLANK, format_number, variant_label
from pipeline.study.hub import hub
from pipeline.study.metrics import CellMetrics
from pipeline.study.specs import ExportSpec
from pipeline.study.study import Study
from pipeline.tools.hub.export import TextSource, metadata, model_name, text_sources
from sagsae import __version__

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
        "Loss Recovered": f"{recovered} (noise)" if found.lr_noisy else recovered,
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
    models = {model_name(one.spec) for one in shown if one.spec.source.kind == "hub"}
    data = ModelCardData(
        library_name="saelens",
        tags=TAGS,
        license=section.license or None,
        base_model=sorted(models) or None,
        datasets=sorted({one.repo for one in sources if one.kind == "hub"}) or None,
    )
    renderer = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    first = shown[0].spec
    return renderer.get_template("card.md.j2").render(
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
