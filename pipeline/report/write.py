"""The report of a study: one HTML file that opens without a network.

python -m pipeline report --spec JSON --tables DIR --figures DIR --out report.html
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.claims import matrix_text
from pipeline.claims.limits import limits
from pipeline.claims.page import criteria, judged
from pipeline.config.recipes import DEFAULT_RECIPE, Recipe
from pipeline.jobs.json_files import read_json
from pipeline.report.environment import installed
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import SPECIFICATION_FIGURES, title_and_caption
from pipeline.study.outputs import (
    BY_SOURCE,
    CELLS,
    CLAIMS,
    CLAIMS_MATRIX,
    COMPARISON,
    CONTRASTS,
    DIAL,
    LATENTS,
    MAIN_EFFECTS,
    PARAMETERS,
    SOURCES,
)
from pipeline.tables.comparison_text import views
from pipeline.tables.dial_text import READS, dial_grid
from pipeline.tables.effect_text import main_effect_parts
from pipeline.tables.latent_text import contrast_grids, latent_grid, parameter_grid
from pipeline.tables.sources import share_grid, source_comparisons, source_grids
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import BLANK, Grid, format_number, span, variant_label
from sagsae.files import write_atomic

TEMPLATES = Path(__file__).parent
NAME_COLUMNS = ("model", "hookpoint", "variant", "recipe", "width", "lam", "seed")


def figure_sources(images: Sequence[Path]) -> list[dict[str, str]]:
    """Figures, PNG files named after them, as data URIs with their captions."""
    result = []
    for path in images:
        image = base64.b64encode(path.read_bytes()).decode()
        title, caption = title_and_caption(path.stem)
        source = f"data:image/png;base64,{image}"
        result.append({"title": title, "source": source, "caption": caption})
    return result


def baseline_grid(cells: pd.DataFrame) -> Grid:
    """Cross entropies of the language model itself; cells that disagree show a range."""
    columns = ["ce_clean", "ce_mean", "ce_zero"]
    rows = []
    for (model, hookpoint), group in cells.groupby(["model", "hookpoint"], sort=False):
        gap = group["ce_zero"] - group["ce_clean"]
        values = [
            span(series, "{:.4f}".format) for series in (*(group[name] for name in columns), gap)
        ]
        noisy = "noise" if group["lr_noisy"].any() else "usable"
        tokens = span(group["ce_tokens"], "{:,}".format)
        rows.append((str(model), str(hookpoint), *values, noisy, tokens))
    heads = ("Model", "Hookpoint", "Clean", "Mean-ablated", "Zero-ablated", "Zero - clean")
    return Grid(
        title="Next-token cross entropy (nats)",
        columns=(*heads, "Loss Recovered is", "Tokens"),
        rows=tuple(rows),
    )


def recipe_grid(spec: ComparisonSpec) -> Grid:
    """The recipes that the study's cells have, and the level of each factor in them."""
    factors = list(dict.fromkeys(factor for found in spec.levels.values() for factor in found))
    rows = []
    for name in spec.trained:
        recipe, levels = spec.recipes.get(name, Recipe()), spec.levels.get(name, {})
        concerned = ", ".join(map(variant_label, recipe.variants or [])) or "all"
        shown = (levels.get(factor, BLANK) for factor in factors)
        rows.append((name or DEFAULT_RECIPE, concerned, *shown, recipe.note))
    columns = ("Recipe", "Variants", *factors, "Note")
    return Grid(title="Recipes", columns=columns, rows=tuple(rows))


def collapsed_grid(cells: pd.DataFrame) -> Grid:
    """Every collapsed cell and why."""
    fallen = cells[cells["collapsed"] != ""]
    names = [name for name in NAME_COLUMNS if name in cells]
    shown = dict.fromkeys(names, str) | {"l0": format_number, "r2": format_number}
    rows = fallen.transform(shown).assign(why=fallen["collapsed"]).itertuples(index=False)
    columns = (*map(str.capitalize, names), "L0", "R2", "Why")
    return Grid(title="Collapsed cells", columns=columns, rows=tuple(rows))


def cell_grid(cells: pd.DataFrame) -> Grid:
    """cells.csv, rounded for reading."""
    rows = (
        tuple(_shown(name, value) for name, value in zip(cells.columns, row, strict=True))
        for row in cells.itertuples(index=False, name=None)
    )
    return Grid(title="Every cell", columns=tuple(cells.columns), rows=tuple(rows))


def _shown(name: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if name.endswith("_sha256"):
        return str(value)[:16]
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def by_source(tables: Path, cells: pd.DataFrame, several: bool) -> list[Grid]:
    """Shares of the sources of text, the comparisons on each, and how results spread over them."""
    table = read_table(tables / SOURCES)
    compared = read_table(tables / BY_SOURCE)
    grids = [*source_comparisons(compared, several), *source_grids(table, cells, several)]
    return [share_grid(table), *grids]


def verdicts_side_by_side(tables: Path, spec: ComparisonSpec) -> list[str | Grid]:
    """The matrix of the claims under all settings, with what must be known beside it."""
    return matrix_text.parts(read_table(tables / CLAIMS_MATRIX), spec)


def provenance(cells: pd.DataFrame, spec: ComparisonSpec) -> list[tuple[str, str]]:
    """What the numbers were made with and from."""
    hours = cells["training_seconds"].sum() / 3600
    facts = [
        ("Study", spec.study or "unnamed"),
        ("Cells", str(len(cells))),
        ("Seeds", _listed(cells["seed"])),
        ("Variants", ", ".join(variant_label(name) for name in cells["variant"].unique())),
        ("λ", _listed(cells["lam"])),
        ("Training tokens a cell", _listed(cells["training_tokens"], "{:,}")),
        ("Optimiser steps a cell", _listed(cells["training_steps"], "{:,}")),
        ("Evaluation tokens", _listed(cells["eval_tokens"], "{:,}")),
        ("Training time, all cells", f"{hours:.2f} h"),
        ("Devices", _listed(cells["training_device"])),
        ("Matrix products", _listed(cells["training_matmul_dtype"])),
    ]
    for model, group in cells.groupby("model", sort=False):
        facts.append((f"Activation store, {model}", _listed(group["made_from_store"])))
    return facts


def _listed(values: pd.Series, form: str = "{}") -> str:
    return ", ".join(form.format(value) for value in sorted(values.unique()))


def main(
    spec: ComparisonSpec,
    tables: Path,
    figures: Path,
    out: Path,
    synthetic: Sequence[Path] = (),
    environment: Path | None = None,
) -> None:
    """Write the HTML file whole.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        tables: folder of the tables
        figures: folder of the figures
        out: the HTML file
        synthetic: figures of the synthetic protocols
        environment: what a published study was made with, if one
    """
    versions = read_json(environment)["versions"] if environment else installed()
    cells, claims = read_table(tables / CELLS), read_table(tables / CLAIMS)
    order = {name: i for i, name in enumerate([*spec.models, *spec.hookpoints])}
    ordered = cells.sort_values(["model", "hookpoint"], key=lambda c: c.map(order), kind="stable")
    renderer = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    curves = [name for name in spec.figures if name in SPECIFICATION_FIGURES]
    others = [name for name in spec.figures if name not in curves]
    seeds = cells.groupby(list(NAME_COLUMNS[:-1]))["seed"].nunique()
    if not spec.several:
        ordered = ordered.drop(columns="recipe")
    html = renderer.get_template("report.html.j2").render(
        study=spec.study or "unnamed",
        note=spec.note,
        models=spec.models,
        hookpoints=spec.hookpoints,
        cell_count=len(cells),
        variants=[variant_label(name) for name in cells["variant"].unique()],
        seeds=int(seeds.min()),
        views=views(read_table(tables / COMPARISON), spec),
        recipes=recipe_grid(spec) if spec.several else None,
        words=3 + spec.several,
        judged=judged(claims, spec),
        criteria=criteria(claims),
        limits=limits(spec, cells),
        sources=by_source(tables, cells, spec.several) if spec.sources else [],
        contrasts=contrast_grids(read_table(tables / CONTRASTS), spec),
        latents=latent_grid(read_table(tables / LATENTS), spec.several),
        parameters=parameter_grid(read_table(tables / PARAMETERS), spec.several),
        verdicts=verdicts_side_by_side(tables, spec) if spec.several_settings else [],
        curves=figure_sources([(figures / name).with_suffix(".png") for name in curves]),
        moves=main_effect_parts(read_table(tables / MAIN_EFFECTS)) if spec.has_effects else [],
        dial=dial_grid(read_table(tables / DIAL), spec.several) if spec.dial else None,
        dial_reads=READS,
        figures=figure_sources([(figures / name).with_suffix(".png") for name in others]),
        synthetic=figure_sources(synthetic),
        baselines=baseline_grid(ordered),
        collapsed=collapsed_grid(ordered),
        cells=cell_grid(ordered),
        provenance=provenance(ordered, spec),
        versions=sorted(versions.items()),
    )
    write_atomic(out, html.encode())
