"""Figures: what is drawn is what the tables say, and the same input gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import pandas as pd
import pytest

from pipeline.figures import draw as figures
from pipeline.figures import sweep as sweep_figure
from pipeline.figures.series import styles
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.metrics import read_all
from pipeline.study.series import with_series
from pipeline.tables.write import write_tables
from pipeline.text.csv_files import read_table
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_grid import make_grid


def inputs(study: MadeStudy) -> tuple[pd.DataFrame, pd.DataFrame, ComparisonSpec]:
    folder, spec = study.root / "tables", ComparisonSpec.argument(json.dumps(study.spec))
    points = with_series(read_table(folder / "points.csv"), spec)
    return points, read_table(folder / "comparison.csv"), spec


def drawn_figure(study: MadeStudy, name: str):
    _, _, spec = inputs(study)
    with mpl.rc_context(figures.STYLE):
        return figures.draw(name, study.root / "tables", spec)[0]


def drawn_sweeps(points: pd.DataFrame, overlaps: pd.DataFrame, metric: str, spec: ComparisonSpec):
    tables = {"rows": lambda name: points, "overlaps": overlaps, "spec": spec, "placed": spec}
    shown = SimpleNamespace(**tables, series=styles(points, spec))
    with mpl.rc_context(figures.STYLE):
        return sweep_figure.against_l0(shown, metric)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["figure_r2", "figure_11"])
def test_the_same_input_gives_the_same_bytes(built_study, tmp_path: Path, name):
    again = built_study.figure(name, tmp_path / f"{name}.png")
    for suffix in (".png", ".svg", ".csv"):
        first = (built_study.root / "figures" / f"{name}{suffix}").read_bytes()
        assert again.with_suffix(suffix).read_bytes() == first


def test_csv_holds_every_point_and_every_overlap(built_study):
    table = pd.read_csv(built_study.root / "figures" / "figure_2.csv")
    points = pd.read_csv(built_study.root / "tables" / "points.csv")
    assert (table["kind"] == "point").sum() == len(points)
    assert (table["kind"] == "overlap").sum() == 4
    assert table["value"].dropna().tolist() == points["dead_fraction"].tolist()
    assert set(table["series"].dropna()) == {
        "Gated, H = 256 / 384",
        "SA-GSAE tied, H = 128 / 192",
    }


def test_a_panel_for_each_model_and_hookpoint_on_a_log_axis(built_study):
    axes = drawn_figure(built_study, "figure_r2").axes
    titles = [panel.get_title() for panel in axes]
    assert titles == ["small, mlp_out", "small, resid", "large, mlp_out", "large, resid"]
    assert {panel.get_xscale() for panel in axes} == {"log"}
    points, _, _ = inputs(built_study)
    here = points.query("model == 'large' and hookpoint == 'mlp_out' and variant == 'gated'")
    curve = next(line for line in axes[2].lines if len(line.get_xdata()) == 3)
    assert sorted(curve.get_xdata()) == pytest.approx(sorted(here["l0"]))


def test_zero_dead_latents_are_drawn_at_zero_inside_the_axis(built_study):
    points, overlaps, spec = inputs(built_study)
    points.loc[points["variant"] == "sagsae_tied", "dead_fraction"] = 0.0
    for dead in (points, points.assign(dead_fraction=0.0)):
        panel = drawn_sweeps(dead, overlaps, "dead_fraction", spec).axes[0]
        low, high = panel.get_ylim()
        assert low < 0 < high
        assert 0.0 in panel.get_yticks()


def test_slopes_are_drawn_by_sign_as_the_metrics_have_them(built_study):
    table = pd.read_csv(built_study.root / "figures" / "figure_11.csv")
    assert len(table) == 2 * 2 * 2 * 2 * 51
    assert set(table["sign"]) == {"positive", "negative"}
    medians = table.loc[table["percent_of_latents"] == 50, "slope"]
    assert medians.tolist() == pytest.approx([1.0] * 16)
    assert set(table["lam"]) == {0.1}
    axes = drawn_figure(built_study, "figure_11").axes
    assert [panel.get_title() for panel in axes][:2] == ["small, mlp_out", "small, resid"]
    steps = next(line for line in axes[0].lines if len(line.get_xdata()) == 51)
    assert (steps.get_ydata()[0], steps.get_ydata()[-1]) == (0, 1)


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> tuple[Path, ComparisonSpec]:
    study = make_grid(tmp_path_factory.mktemp("grid"), hookpoints=["mlp_out"])
    spec = ComparisonSpec.model_validate(study.report_spec())
    root = Path(study.root)
    write_tables(read_all(root / "cells", study.cells), spec, root / "tables")
    return root / "tables", spec


def test_the_main_figure_has_the_main_comparison_and_the_other_one_everything(grid):
    tables, spec = grid
    series = {
        name: set(figures.draw(name, tables, spec)[1]["series"].dropna())
        for name in ("figure_2", "figure_2_variants", "figure_11", "figure_11_variants")
    }
    assert series["figure_2"] == {"Gated, H = 256 / 384", "SA-GSAE tied, H = 128 / 192"}
    assert len(series["figure_2_variants"]) == 8
    assert series["figure_11"] == series["figure_2"]
    assert series["figure_11_variants"] == series["figure_2_variants"]
