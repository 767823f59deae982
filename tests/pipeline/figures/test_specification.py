"""Specification curves: points in order, their levels below, the paper's numbers, the CSV."""

from __future__ import annotations

import json
import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from pipeline.claims import sweeps
from pipeline.figures import draw as figures
from pipeline.figures import specification
from pipeline.figures.specification import COLOURS, WIDE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import SPECIFICATION_FIGURES
from pipeline.text.csv_files import read_table
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_settings import made_settings


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = made_settings(tmp_path_factory.mktemp("curves"))
    made.tables()
    return made


def drawn(study: MadeStudy, name: str) -> tuple[Figure, pd.DataFrame]:
    spec = ComparisonSpec.argument(json.dumps(study.spec))
    with mpl.rc_context(figures.STYLE):
        return figures.draw(name, study.root / "tables", spec)


def markers(panel: Axes) -> list[tuple[float, float, str, str]]:
    """x, y, marker and colour of every single point, in order of x."""
    found = [
        (
            float(line.get_xdata()[0]),
            float(line.get_ydata()[0]),
            line.get_marker(),
            line.get_color(),
        )
        for line in panel.lines
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("x", "_")
    ]
    return sorted(found)


def dashed(panel: Axes) -> list[float]:
    return sorted(line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == "--")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("figure_spec_gap", "min_gap"),
        ("figure_spec_dead", "dead_drop"),
        ("figure_spec_reduction", "equal_l0_log10"),
    ],
)
def test_every_point_is_drawn_once_in_order_of_its_effect(study, name, column):
    figure, table = drawn(study, name)
    effects = read_table(study.root / "tables" / "effects.csv")
    assert table["value"].tolist() == sorted(effects[column])
    assert table["rank"].tolist() == list(range(1, 29))
    points = markers(figure.axes[0])
    assert [x for x, *_ in points] == table["rank"].tolist()
    assert [y for _, y, *_ in points] == pytest.approx(table["value"].tolist())
    assert figure.get_suptitle() == "28 comparisons, sorted"  # and no recipe: it is of all


def test_colours_are_hookpoints_and_markers_are_models(study):
    figure, table = drawn(study, "figure_spec_gap")
    looks = {
        (row["model"], row["hookpoint"]): (marker, colour)
        for row, (_, _, marker, colour) in zip(
            table.to_dict("records"), markers(figure.axes[0]), strict=True
        )
    }
    assert looks == {
        ("large", "mlp_out"): ("o", COLOURS[0]),
        ("large", "resid"): ("o", COLOURS[1]),
        ("small", "mlp_out"): ("s", COLOURS[0]),
        ("small", "resid"): ("s", COLOURS[1]),
    }
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        *("mlp_out", "resid", "large", "small", "the paper's -0.025", "has collapsed cells")
    ]


def test_the_strip_has_a_row_per_level_with_a_mark_under_each_point_that_has_it(study):
    figure, table = drawn(study, "figure_spec_dead")
    strip = figure.axes[1]
    labels = [text.get_text() for text in strip.get_yticklabels()]
    assert labels == [
        *("learning_rate = 0.0007", "learning_rate = 0.003"),
        *("b_dec_init = mean", "b_dec_init = zero"),
        *("width = 2d vs 4d", "width = 8d vs 16d"),
        *("model = large", "model = small"),
        *("hookpoint = mlp_out", "hookpoint = resid"),
    ]
    rows = dict(zip(labels, strip.collections, strict=True))
    for label, marks in rows.items():
        name, level = label.split(" = ")
        column = name if name in table else f"level_{name}"
        offsets = np.asarray(marks.get_offsets())
        assert offsets[:, 0].tolist() == table.loc[table[column] == level, "rank"].tolist()
        assert set(offsets[:, 1]) == {strip.get_yticks()[labels.index(label)]}
    zero = np.asarray(rows["b_dec_init = zero"].get_offsets())[:, 0]
    assert zero.tolist() == list(range(13, 29))  # it decides: all at one end


def test_lines_stand_at_zero_and_at_the_numbers_of_the_claims(study):
    gap, dead, reduction = (drawn(study, name)[0].axes[0] for name in SPECIFICATION_FIGURES)
    assert dashed(gap) == [-sweeps.rest_within.numbers["within"]]
    assert dashed(dead) == [sweeps.dead_rest.numbers["least"]]
    assert sweeps.dead_matched.numbers["least"] == sweeps.dead_rest.numbers["least"]
    factors = [one.numbers["least"] for one in (sweeps.dead_other, sweeps.dead_mlp)]
    assert dashed(reduction) == pytest.approx(np.log10(factors).tolist())
    for panel in (gap, dead, reduction):
        assert [0, 0] in [list(line.get_ydata()) for line in panel.lines]
    assert "100x" in [text.get_text() for text in reduction.get_yticklabels()]


def test_seeds_have_bars_and_collapsed_points_a_cross(study):
    figure, table = drawn(study, "figure_spec_gap")
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    fallen = table[table["collapsed"] != ""]
    assert sorted(line.get_xdata()[0] for line in crosses) == fallen["rank"].tolist()
    assert len(figure.axes[0].containers) == table["value_se"].notna().sum() == 16


def test_the_most_that_could_be_seen_is_shown_where_gated_has_dead_latents(study):
    figure, table = drawn(study, "figure_spec_reduction")
    assert table["ceiling_log10"].notna().sum() == 16
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() == "_"]
    shown = np.asarray(line.get_ydata(), dtype=float)
    assert shown[~np.isnan(shown)].tolist() == table["ceiling_log10"].dropna().tolist()


def test_points_far_out_stand_at_the_edge_and_points_without_a_number_are_counted(tmp_path):
    made = made_settings(tmp_path)
    for cell in made.spec["cells"]:
        if "large/resid/sagsae_tied@zero-fast/" in cell:
            made.change(cell, r2=-17.0, collapsed=["R2 below 0.2"])
        if "small/resid/gated@zero/w1024" in cell:
            made.change(cell, l0=4000.0)
    made.tables()
    figure, table = drawn(made, "figure_spec_gap")
    panel = figure.axes[0]
    assert table["value"].min() < -16
    low, high = panel.get_ylim()
    assert -0.2 < low < -0.04
    points = markers(panel)
    assert [marker for *_, marker, _ in points[:3]] == ["v", "v", "o"]
    assert all(low < y < high for _, y, *_ in points)
    title = "27 comparisons, sorted; 2 beyond the frame; 1 more has no number here"
    assert figure.get_suptitle() == title


def test_the_longest_title_stands_inside_the_figure(study, monkeypatch):
    title = specification._counted(188, 100, 100)
    monkeypatch.setattr(specification, "_counted", lambda *_: title)
    figure, _ = drawn(study, "figure_spec_gap")
    figure.draw_without_rendering()
    (text,) = [text for text in figure.findobj(Text) if text.get_text() == title]
    found, whole = text.get_window_extent(), figure.bbox
    assert whole.x0 <= found.x0
    assert found.x1 <= whole.x1


def test_a_study_without_any_such_number_has_an_empty_curve(tmp_path):
    made = made_settings(tmp_path)
    for cell in made.spec["cells"]:
        made.change(cell, dead_fraction=0.0, dead_latents=0)
    made.tables()
    figure, table = drawn(made, "figure_spec_reduction")
    assert table.empty
    assert figure.get_suptitle() == "0 comparisons, sorted; 28 more have no number here"
    made.figure("figure_spec_reduction")


def test_what_is_written_is_1200_pixels_wide_and_the_same_each_time(study, tmp_path):
    first = study.figure("figure_spec_gap", tmp_path / "a.png")
    again = study.figure("figure_spec_gap", tmp_path / "b.png")
    assert first.read_bytes() == again.read_bytes()
    assert imread(first).shape[1] == 200 * WIDE == 1200
    table = read_table(first.with_suffix(".csv"))
    assert len(table) == 28
    assert {"level_width", "level_b_dec_init", "value_se", "collapsed"} < set(table)
    assert math.isclose(table["value"].max(), 0.02, rel_tol=1e-9)
