"""Figures: what is drawn is what the tables say, and the same input gives the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.analysis.figures.shown import Shown
from pipeline.analysis.figures.sign_rates import with_data
from pipeline.analysis.figures.sweep import against_l0
from pipeline.analysis.tables.sweeps import with_series
from pipeline.study.measures import Measures
from tests.helpers.made_studies import make_grid
from tests.helpers.made_study import MadeStudy


def points_of(study: MadeStudy) -> pd.DataFrame:
    return with_series(study.table("points"), study.scope)


def first_panel(study: MadeStudy, points: pd.DataFrame, metric: str):
    """The first panel of a metric, of other points than the tables have."""
    shown = Shown(study.root, study.scope, "", True, Measures(study.root / "measures"))
    more = {"rows": lambda name: points, "lines": shown.lines, "panels": shown.panels}
    return against_l0(SimpleNamespace(**more, overlaps=shown.overlaps), metric)[0].axes[0]


def test_a_panel_for_each_model_and_hookpoint_on_a_log_axis(built_study):
    axes = built_study.draw("figure_r2")[0].axes
    titles = [panel.get_title() for panel in axes]
    assert titles == ["large, mlp_out", "large, resid", "small, mlp_out", "small, resid"]
    assert {panel.get_xscale() for panel in axes} == {"log"}


def test_legend_names_series_overlap_and_the_collapsed_point(built_study):
    (legend,) = built_study.draw("figure_r2")[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:2] == ["Gated, H = 256 / 384", "SA-GSAE tied, H = 128 / 192"]
    assert "L0 overlap of the comparison" in labels
    assert labels[-1] == "collapsed (1, named in points.csv)"


def test_zero_dead_latents_are_drawn_at_zero_inside_the_axis(built_study):
    points = points_of(built_study)
    points.loc[points["variant"] == "sagsae_tied", "dead_fraction"] = 0.0
    for dead in (points, points.assign(dead_fraction=0.0)):
        panel = first_panel(built_study, dead, "dead_fraction")
        low, high = panel.get_ylim()
        assert low < 0 < high
        assert 0.0 in panel.get_yticks()


def test_a_sweep_that_collapsed_far_away_does_not_squeeze_the_others(built_study):
    points = points_of(built_study)
    before = first_panel(built_study, points, "r2")
    fallen = points[points["variant"] == "gated"].assign(
        variant="sagsae_noaux", series="fallen", l0=lambda p: p["l0"] / 1e4, r2=0.0, collapsed="L0"
    )
    panel = first_panel(built_study, pd.concat([points, fallen]), "r2")
    assert panel.get_xlim()[0] > before.get_xlim()[0] / 2
    assert panel.get_ylim()[0] > 0
    first = points.iloc[0]
    here = fallen[(fallen["model"] == first["model"]) & (fallen["hookpoint"] == first["hookpoint"])]
    assert panel.get_title().endswith(f"{len(here)} points outside the frame")


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> MadeStudy:
    made = MadeStudy.of(make_grid(tmp_path_factory.mktemp("grid"), hookpoints=["mlp_out"]))
    made.tables()
    return made


def test_the_main_figure_has_the_main_comparison_and_the_other_one_everything(grid):
    series = {
        name: set(grid.draw(name)[1]["series"].dropna())
        for name in ("figure_2", "figure_2_variants", "figure_11", "figure_11_variants")
    }
    assert series["figure_2"] == {"Gated, H = 256 / 384", "SA-GSAE tied, H = 128 / 192"}
    assert len(series["figure_2_variants"]) == 8
    assert series["figure_11"] == series["figure_2"]
    fallen = {"SA-GSAE without auxiliary loss, H = 128 / 192"}  # in every cell
    assert series["figure_11_variants"] == series["figure_2_variants"] - fallen


def test_further_formats_are_the_same_in_every_process(built_study, tmp_path: Path):
    """No day, no version, and names that no hash of this process chose."""
    made = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        command = [sys.executable, "-m", "pipeline", "figure", f"--root={built_study.root}"]
        command += [f"--measures={built_study.root / 'measures'}"]
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"}
        for end in ("svg", "pdf"):
            out = f"--out={folder / f'figure_r2.{end}'}"
            subprocess.run([*command, out], check=True, env=environment)
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == {f"figure_r2.{end}" for end in ("svg", "pdf")}
    pdf = made[0]["figure_r2.pdf"]
    assert pdf.startswith(b"%PDF-")
    assert b"/FontFile2" in pdf  # letters, not outlines
    assert not re.search(rb"/(CreationDate|ModDate|Producer|Creator)", pdf)


def test_epochs_add_training_tokens_and_unique_tokens_do_not():
    levels = {"once": {"tokens": "3000000"}, "thrice": {"tokens": "3e6", "unique_rows": "1e6"}}
    rows = pd.DataFrame({"recipe": ["once", "thrice", "silent"]})
    data = with_data(rows, levels)[["tokens", "epochs"]]
    assert data.to_numpy().tolist() == [[3, 1], [3, 3], [1, 1]]
