"""The report of a study: one HTML file that opens without a network.

python -m pipeline report --spec JSON --tables DIR --figures DIR --out report.html
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.claims import matrix_text
from pipeline.claims.limits import limits
from pipeline.claims.page import criteria, judged
from pipeline.jobs.json_files import read_json
from pipeline.report.environment import installed
from pipeline.report.families import all_against_all
from pipeline.report.front import front
from pipeline.report.grids import (
    NAME_COLUMNS,
    baseline_grid,
    cell_grid,
    collapsed_grid,
    provenance,
    recipe_grid,
)
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import title_and_caption
from pipeline.study.outputs import (
    ABSORPTION,
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
    PROBING,
    SOURCES,
)
from pipeline.tables.comparison_text import views
from pipeline.tables.dial_text import READS, dial_grid
from pipeline.tables.effect_text import main_effect_parts
from pipeline.tables.latent_text import contrast_grids, latent_grid, parameter_grid
from pipeline.tables.probing_text import probing_parts
from pipeline.tables.sources import share_grid, source_comparisons, source_grids
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import Grid, variant_label
from sagsae.files import write_atomic

TEMPLATES = Path(__file__).parent


def figure_sources(images: Sequence[Path]) -> list[dict[str, str]]:
    """Figures, PNG files named after them, as data URIs with their captions."""
    result = []
    for path in images:
        image = base64.b64encode(path.read_bytes()).decode()
        title, caption = title_and_caption(path.stem)
        source = f"data:image/png;base64,{image}"
        result.append({"title": title, "source": source, "caption": caption})
    return result


def embedded(folder: Path, names: Sequence[str]) -> list[dict[str, str]]:
    """Figures of a folder by their names."""
    return figure_sources([(folder / name).with_suffix(".png") for name in names])


def by_source(tables: Path, cells: pd.DataFrame, several: bool) -> list[Grid]:
    """Shares of the sources of text, the comparisons on each, and how results spread over them."""
    table = read_table(tables / SOURCES)
    compared = read_table(tables / BY_SOURCE)
    grids = [*source_comparisons(compared, several), *source_grids(table, cells, several)]
    return [share_grid(table), *grids]


def main(
    spec: ComparisonSpec,
    tables: Path,
    figures: Path,
    out: Path,
    synthetic: Sequence[Path] = (),
    environment: Path | None = None,
    browser: str | None = None,
    curves: Sequence[Path] = (),
) -> None:
    """Write the HTML file whole.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        tables: folder of the tables
        figures: folder of the figures
        out: the HTML file
        synthetic: figures of the synthetic protocols
        environment: what a published study was made with, if one
        browser: address of the latent browser, as seen from the report, if the study has one
        curves: figures of training curves, if there are some
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
    first = front(tables, spec)
    others = [name for name in spec.figures if name not in first.figures]
    point = [name for name in NAME_COLUMNS[:-1] if name in cells]
    seeds = cells.groupby(point, dropna=False)["seed"].nunique()  # lambda or k is empty
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
        more_seeds=seeds.min() < seeds.max(),
        front=first,
        front_figures=embedded(figures, first.figures),
        views=views(read_table(tables / COMPARISON), spec),
        recipes=recipe_grid(spec) if spec.several else None,
        words=3 + spec.several,
        families=all_against_all(tables, spec),
        judged=judged(claims, spec),
        criteria=criteria(claims),
        limits=limits(spec, cells),
        sources=by_source(tables, cells, spec.several) if spec.sources else [],
        contrasts=contrast_grids(read_table(tables / CONTRASTS), spec),
        latents=latent_grid(read_table(tables / LATENTS), spec.several),
        parameters=parameter_grid(read_table(tables / PARAMETERS), spec.several),
        verdicts=(
            matrix_text.parts(read_table(tables / CLAIMS_MATRIX), spec)
            if spec.several_settings
            else []
        ),
        moves=main_effect_parts(read_table(tables / MAIN_EFFECTS)) if spec.has_effects else [],
        dial=dial_grid(read_table(tables / DIAL), spec.several) if spec.dial else None,
        dial_reads=READS,
        probing=(
            probing_parts(read_table(tables / PROBING), read_table(tables / ABSORPTION), spec)
            if spec.probe
            else []
        ),
        browser=browser,
        figures=embedded(figures, others),
        synthetic=figure_sources(synthetic),
        curves=figure_sources(curves),
        baselines=baseline_grid(ordered),
        collapsed=collapsed_grid(ordered),
        cells=cell_grid(ordered),
        provenance=provenance(ordered, spec),
        versions=sorted(versions.items()),
    )
    write_atomic(out, html.encode())
