"""The figure of all frontiers, from made-up metrics of several families."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.figures import draw as figures
from pipeline.figures.frontiers import space_by_unexplained
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import title_and_caption
from pipeline.text.csv_files import read_table
from sagsae.autoencoders.registry import VARIANTS, sides, stem
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


def test_a_colour_is_a_family_and_dashes_are_two_sides(drawn):
    figure, numbers = drawn
    lines = {}
    for line in figure.axes[0].lines:
        if len(line.get_xdata()) == 3:
            lines[round(float(line.get_ydata()[0]), 9)] = line
    here = numbers[(numbers["model"] == "large") & (numbers["hookpoint"] == "mlp_out")]
    for variant, rows in here.groupby("variant"):
        line = lines[round(rows.sort_values("l0")["r2"].iloc[0], 9)]
        assert line.get_color() == VARIANTS[stem(variant)].colour
        assert line.get_linestyle() == ("--" if sides(variant) == 2 else "-")
    faces = [
        line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == ">"
    ]
    assert set(faces) == {"white"}
    solid = [line for line in figure.axes[0].lines if line.get_marker() in ("<", "o")]
    assert {line.get_markerfacecolor() for line in solid} == {
        VARIANTS[name].colour for name in ("gated", "topk", "batchtopk")
    }


def test_r2_is_spaced_by_the_logarithm_of_what_is_left(drawn):
    figure, numbers = drawn
    for panel in figure.axes:
        of_r2 = [panel.transData.transform((64, r2))[1] for r2 in (0.2, 0.6, 0.8)]
        assert of_r2[1] - of_r2[0] == pytest.approx(of_r2[2] - of_r2[1])
        model, hookpoint = panel.get_title().split(", ")
        here = numbers[(numbers["model"] == model) & (numbers["hookpoint"] == hookpoint)]
        low, high = panel.get_ylim()
        assert here["r2"].between(low, high).all()
        ticks = [tick for tick in panel.get_yticks() if low <= tick <= high]
        assert len(ticks) >= 3


def test_an_r2_of_one_keeps_an_even_axis():
    panel = Figure().subplots()
    panel.plot([8, 64], [0.5, 1.0])
    space_by_unexplained(panel, pd.Series([0.5, 1.0]))
    assert panel.get_yscale() == "linear"


def test_several_widths_of_a_variant_are_named(tmp_path):
    grid = [
        {"variant": "topk", "expansion": 4, "ks": [32, 64]},
        {"variant": "topk", "expansion": 2, "ks": [32, 64]},
        {"variant": "gated", "expansion": 4, "lambdas": [0.1, 0.2]},
    ]
    made = made_families(tmp_path, grid=grid, comparisons=[], recipes={})
    spec = ComparisonSpec.argument(json.dumps(made.spec))
    figure, _ = figures.draw("figure_frontiers", made.root / "tables", spec)
    assert {text.get_text() for text in figure.axes[0].texts} == {
        *("TopK, 384", "TopK, 192", "Gated"),
    }


def test_equal_tables_give_equal_bytes(made, tmp_path):
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        out = made.figure("figure_frontiers@paper", tmp_path / folder / "figure.png")
        written.append([out.with_suffix(end).read_bytes() for end in (".png", ".svg", ".csv")])
    assert written[0] == written[1]


def test_the_caption_says_what_dashes_are():
    title, caption = title_and_caption("figure_frontiers@matched")
    assert title == "All frontiers, recipe matched"
    assert "dashed lines with open markers latents of two" in caption
    assert "shaded" not in caption
