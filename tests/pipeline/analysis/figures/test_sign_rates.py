"""Figures of what a sign is worth, from made-up metrics with one more width."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.analysis.csv_files import read_table, write_tables
from pipeline.analysis.figures.sign_rates import with_data
from pipeline.analysis.tables.sign_rates import SIGN_RATES
from tests.pipeline.made_families import PLAIN, families_config, made_families

WIDE = {"variant": "batchtopk", "expansion": 2, "ks": [16, 64, 128], "recipes": ["matched"]}
# A recipe that comes first, at one place alone.
FIRST = {"variant": "relu", "expansion": 4, "lambdas": [0.1], "recipes": ["early"]}
FIRST |= {"models": ["small"], "hookpoints": ["resid"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    grid = [*families_config(folder)["grid"], WIDE, FIRST]
    return made_families(folder, grid=grid, recipes=PLAIN | {"early": {}})


def test_the_rates_that_are_drawn_are_those_of_the_table(made):
    figure, numbers = made.draw("figure_sign_rates")
    table = read_table(made.root / "tables" / "sign_rates.csv")
    assert set(table["measure"]) == {"r2", "loss_added"}
    assert set(table["recipe"]) == {"matched"}  # under the other there is one width
    expected = table.query("measure == 'r2' and l0 == 48")
    assert numbers["rate"].tolist() == expected["rate"].tolist()
    # A width of 2d does as well as one of 4d, and two sides better at all places but one.
    assert set(numbers["bound"]) == {"above", "below"}
    panels = {panel.get_title(): panel for panel in figure.axes}
    drawn = [bars.lines[0].get_ydata().tolist() for bars in panels["small, resid"].containers]
    own = numbers.query("model == 'small' and hookpoint == 'resid'")
    assert sorted(rate for rates in drawn for rate in rates) == sorted(own["rate"])


def test_epochs_add_training_tokens_and_unique_tokens_do_not():
    levels = {"once": {"tokens": "3000000"}, "thrice": {"tokens": "3e6", "unique_rows": "1e6"}}
    rows = pd.DataFrame({"recipe": ["once", "thrice", "silent"]})
    data = with_data(rows, levels)[["tokens", "epochs"]]
    assert data.to_numpy().tolist() == [[3, 1], [3, 3], [1, 1]]


def test_a_rate_that_is_no_bound_is_drawn_too_and_all_recipes_stand_in_one_figure(made):
    tables = made.root / "tables"
    table = read_table(tables / "sign_rates.csv")
    files = [tables / name for name in ("sign_rates.csv", "ranking.sha256")]
    whole = [file.read_bytes() for file in files]
    other = {SIGN_RATES: table.assign(bound="", rate=1.5)}
    write_tables(made.root, SIGN_RATES.source, made.scope, other)
    figure, numbers = made.draw("figure_sign_rates")
    for file, content in zip(files, whole, strict=True):
        file.write_bytes(content)
    drawn = [bars.lines[0].get_ydata() for panel in figure.axes for bars in panel.containers]
    assert sum(map(len, drawn)) == len(numbers) > 0
    assert figure.get_suptitle() == ""
    assert len(figure.axes) == 2 * 2


def test_quality_is_drawn_against_width(made):
    figure, numbers = made.draw("figure_widths@matched")
    own = numbers.query("model == 'small' and hookpoint == 'resid' and variant == 'batchtopk'")
    assert own.sort_values("width")["multiple"].tolist() == [2.0, 4.0]
    (panel,) = (one for one in figure.axes if one.get_title() == "small, resid")
    lines = [bars.lines[0] for bars in panel.containers]
    assert [2.0, 4.0] in [line.get_xdata().tolist() for line in lines]
