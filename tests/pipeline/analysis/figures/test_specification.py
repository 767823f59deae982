"""Specification curves: crosses, and a curve without points."""

from __future__ import annotations

import pytest

from tests.helpers.made_studies import made_settings
from tests.helpers.made_study import MadeStudy


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = made_settings(tmp_path_factory.mktemp("curves"))
    made.tables()
    return made


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
