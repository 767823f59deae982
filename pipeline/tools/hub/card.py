"""The model card of a folder for the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.analysis.numbers import BLANK, format_number, variant_label
from pipeline.analysis.pages import Grid, markdown
from pipeline.study.hub import hub
from pipeline.study.metrics import CellMetrics
from pipeline.study.specs import ExportSpec
from pipeline.study.study import Study
from pipeline.tools.hub.origin import TextSource, metadata, model_name, text_sources
from sagsae import __version__

TAGS = ["sparse-autoencoder", "saelens", "sagsae", "mechanistic-interpretability"]
COLUMNS = ("Cell", "Variant", "Latents", "In SAELens", "L0", "R2", "Dead", "Loss Recovered")


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


def metric_grid(shown: list[Shown]) -> Grid:
    """A row per cell."""
    return Grid(title="Metrics", columns=COLUMNS, rows=tuple(_row(one) for one in shown))


def _row(one: Shown) -> tuple[str, ...]:
    found, cell = one.metrics, one.spec.cell
    two_sided = found.break_even_share is not None
    there = BLANK if one.why_not else str(cell.width * (1 + two_sided))
    recovered = format_number(found.loss_recovered) if found.loss_recovered is not None else BLANK
    return (
        f"`{one.name}`",
        variant_label(cell.variant),
        str(cell.width),
        there,
        format_number(found.l0),
        format_number(found.r2),
        format_number(found.dead_fraction),
        f"{recovered} (noise)" if found.lr_noisy and recovered != BLANK else recovered,
    )


def model_grid(shown: list[Shown], documents: dict[str, Any]) -> Grid:
    """A row per place of a language model."""
    rows = {}
    for one in shown:
        known, asset = metadata(one.spec, one.asset, documents), one.asset
        version = asset["resolved_revision"] or f"weights sha256 {asset['weights_sha256'][:16]}"
        place = (known["model_name"], version, one.spec.cell.hookpoint)
        hooks = (f"`{known['hf_hook_name']}`", f"`{known['hook_name']}`")
        rows[place] = (*place[:2], *hooks, getattr(one.spec.source, "terms", "") or "see the model")
    columns = ("Language model", "Version", "Module", "In TransformerLens", "Terms")
    return Grid(title="Language models", columns=columns, rows=tuple(rows.values()))


def text_grid(texts: list[TextSource]) -> Grid:
    """A row per source of text."""
    rows = tuple((text.name, text.revision, text.terms or "see the source") for text in texts)
    return Grid(title="Text", columns=("Text", "Version", "Terms"), rows=rows)


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
        metrics=markdown(metric_grid(shown)),
        models=markdown(model_grid(shown, documents)),
        texts=markdown(text_grid(texts)),
        why_not=sorted({one.why_not for one in shown if one.why_not}),
        two_sided=any(one.metrics.break_even_share is not None for one in shown),
        eval_tokens=max(one.metrics.eval_tokens for one in shown),
        context_length=first.context_length,
        max_norm_ratio=f"{first.max_norm_ratio:g}",
        figure=figure,
        version=__version__,
    )
