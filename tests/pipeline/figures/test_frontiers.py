"""The figure of all frontiers, from made-up metrics of several families."""

from __future__ import annotations

import json

import pytest

from pipeline.figures import draw as figures
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.text.csv_files import read_table
from sagsae.autoencoders.registry import VARIANTS, stem
from tests.pipeline.made_families import made_families


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_families(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
def drawn(made):
    spec = ComparisonSpec.argument(json.dumps(made.spec))
    return figures.draw("figure_frontiers@matched", made.root / "tables", spec)


def test_every_sweep_is_in_every_panel(drawn, made):
    figure, numbers = drawn
    assert [panel.get_title() for panel in figure.axes] == [
        *("large, mlp_out", "large, resid", "small, mlp_out", "small, resid"),
    ]
    points = read_table(made.root / "tables" / "points.csv")
    points = points[points["recipe"] == "matched"]
    assert len(numbers) == len(points) == 4 * 6 * 3
    assert numbers["r2"].tolist() == points["r2"].tolist()
    assert numbers["family"].tolist() == [stem(name) for name in points["variant"]]
    assert (numbers["lam"].isna() ^ numbers["k"].isna()).all()
    names = {VARIANTS[name].label for name in points["variant"]}
    for panel in figure.axes:
        assert {text.get_text() for text in panel.texts} == names
    assert not figure.legends
