"""The figure of all frontiers, from made-up metrics of several families."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.analysis.figures import plot
from pipeline.analysis.figures.shown import Shown
from pipeline.analysis.tables.cells import POINTS
from pipeline.study.measures import Measures
from tests.helpers.made_studies import made_families


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_families(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
def drawn(made):
    return made.draw("figure_frontiers@matched")


def test_a_line_looks_as_in_every_other_figure(made, drawn):
    figure, _ = drawn
    every = Shown(made.root, made.scope, "matched", True, Measures(made.root / "measures"))
    looks = every.lines(every.rows(POINTS))
    assert {line.get_label() for line in figure.legends[0].get_lines()} == looks.keys()
    for line in figure.legends[0].get_lines():
        look = looks[line.get_label()]
        assert (line.get_color(), line.get_linestyle()) == (look["color"], look["ls"])


def test_no_two_lines_of_other_figures_look_alike(made):
    """They have no markers in some: the sides of a family differ in their lines."""
    shown = Shown(made.root, made.scope, "matched", True, Measures(made.root / "measures"))
    looks = shown.lines(shown.rows(POINTS)).values()
    strokes = [(look["color"], look["ls"]) for look in looks]
    assert len({*strokes}) == len(strokes) == 6


@pytest.mark.parametrize("other", [0.999, 0.7, 0.45, 0.1])
def test_ticks_of_l0_are_few_however_near_its_points_are(other):
    points = pd.DataFrame({"l0": [64.0, 64 * other], "value": [0.75, 0.73], "collapsed": ""})
    _, ((panel,),) = plot.canvas((4, 3))
    panel.plot(points["l0"], points["value"])
    plot.dress(panel, points.assign(variant="batchtopk", series="BatchTopK"))
    low, high = panel.get_xlim()
    assert points["l0"].between(low, high).all()
    assert 1 <= sum(low <= tick <= high for tick in panel.get_xticks()) <= 6
