"""Specification curves: points in order, their levels below, the paper's numbers, the CSV."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_settings import made_settings


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = made_settings(tmp_path_factory.mktemp("curves"))
    made.tables()
    return made


def markers(panel: Axes) -> list[tuple[float, float, str, str]]:
    """x, y, marker and colour of every single point, in order of x."""
    return sorted(
        (float(x), float(y), line.get_marker(), line.get_color())
        for line in panel.lines
        if line.get_marker() in list("osD^vP*")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    )


def dashed(panel: Axes) -> list[float]:
    return sorted(line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == "--")


@pytest.mark.parametrize(
    ("name", "column", "lines"),
    [
        ("figure_spec_gap", "min_gap", [-0.025]),
        ("figure_spec_dead", "dead_drop", [0.35]),
        ("figure_spec_reduction", "equal_l0_log10", [np.log10(2), 2]),
    ],
)
def test_every_point_is_drawn_once_in_order_of_its_effect(study, name, column, lines):
    figure, table = study.draw(name)
    effects = study.table("effects")
    assert table["value"].tolist() == sorted(effects[column])
    assert table["rank"].tolist() == list(range(1, 29))
    points = markers(figure.axes[0])
    assert [x for x, *_ in points] == table["rank"].tolist()
    assert [y for _, y, *_ in points] == pytest.approx(table["value"].tolist())
    assert dashed(figure.axes[0]) == pytest.approx(lines)
    assert figure.get_suptitle() == "28 comparisons, sorted"  # and no recipe: it is of all


def test_the_strip_has_a_row_per_level_with_a_mark_under_each_point_that_has_it(study):
    figure, table = study.draw("figure_spec_dead")
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


def test_seeds_have_bars_and_collapsed_points_a_cross(study):
    figure, table = study.draw("figure_spec_gap")
    (crosses,) = (line for line in figure.axes[0].lines if line.get_marker() == "x")
    assert crosses.get_xdata().tolist() == table.loc[table["collapsed"] != "", "rank"].tolist()
    bars = [bar for group in figure.axes[0].containers for bar in group[2][0].get_segments()]
    finite = [bar for bar in bars if len(bar) and np.isfinite(bar).all()]
    assert len(finite) == table["value_se"].notna().sum() == 16


def test_a_study_without_any_such_number_has_an_empty_curve(tmp_path):
    made = made_settings(tmp_path)
    for cell in made.cells:
        made.change(cell, dead_fraction=0.0, dead_latents=0)
    made.tables()
    figure, table = made.draw("figure_spec_reduction")
    assert table.empty
    assert figure.get_suptitle() == "0 comparisons, sorted; 28 more have no number here"
    made.figure("figure_spec_reduction")
