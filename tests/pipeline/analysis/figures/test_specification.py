"""Specification curves: the levels below the points, crosses, a curve without points."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_settings import made_settings


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = made_settings(tmp_path_factory.mktemp("curves"))
    made.tables()
    return made


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


def test_collapsed_points_have_a_cross(study):
    figure, table = study.draw("figure_spec_gap")
    assert figure.get_suptitle() == "28 comparisons, sorted"  # and no recipe: it is of all
    (crosses,) = (line for line in figure.axes[0].lines if line.get_marker() == "x")
    assert crosses.get_xdata().tolist() == table.loc[table["collapsed"] != "", "rank"].tolist()


def test_a_study_without_any_such_number_has_an_empty_curve(tmp_path):
    made = made_settings(tmp_path)
    for cell in made.cells:
        made.change(cell, dead_fraction=0.0, dead_latents=0)
    made.tables()
    figure, table = made.draw("figure_spec_reduction")
    assert table.empty
    assert figure.get_suptitle() == "0 comparisons, sorted; 28 more have no number here"
    made.figure("figure_spec_reduction")
