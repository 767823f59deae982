"""One renderer: what Markdown, LaTeX and HTML must not break on."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest

from pipeline.analysis.columns import SHARED, Column
from pipeline.analysis.numbers import signed
from pipeline.analysis.page import grid, html, latex, main, markdown, markdown_page, parts_of
from pipeline.analysis.table import Table, table_of

TABLE = pd.DataFrame(
    {
        "name": ["a|b", "50 % & <i>"],
        "min_gap": [0.25, math.nan],
        "min_gap_se": [0.125, math.nan],
        "wins": pd.array([True, None], dtype="boolean"),
        "none": [math.nan, math.nan],
    }
)
COLUMNS = [
    Column("name"),
    Column("min_gap", "Δ", signed),
    *map(Column, ("wins", "none", "absent")),
]


def test_columns_are_those_that_the_table_fills_and_errors_follow_values():
    found = grid(TABLE, COLUMNS, "T")
    assert list(found.texts) == ["Name", "Δ", "Wins"]
    assert found.texts.to_numpy().tolist() == [
        ["a|b", "+0.250 ± 0.125", "yes"],
        ["50 % & <i>", "", ""],
    ]


def test_a_k_is_a_whole_number():
    """A column has it as a fraction where other sweeps have none."""
    found = grid(pd.DataFrame({"k": [32, math.nan]}), [SHARED["k"]], "T")
    assert found.texts["k"].tolist() == ["32", ""]


@pytest.mark.parametrize("name", ["contrasts.csv", "ranking_summary.csv"])
def test_a_table_without_rows_is_a_sentence(built_study, name):
    parts = parts_of(table_of(name), pd.DataFrame(columns=["kind", "model"]), built_study.scope)
    assert [type(part) for part in parts] == [str]


def test_columns_that_are_not_declared_have_their_names_in_words(built_study):
    table = Table("any", "Any", columns=["width", "..."], by=["model"])
    rows = pd.DataFrame({"b_c": [1], "width": [8], "model": ["small"], "b_c_se": [0.5]})
    (found,) = parts_of(table, rows, built_study.scope)
    assert (found.title, list(found.texts)) == ("Any: small", ["H", "B c"])


def test_special_characters_survive_every_format():
    found = grid(TABLE, COLUMNS, "50 % of T_1")
    assert r"a\|b" in markdown(found)
    assert "### 50 % of T_1" in markdown_page("Page", ["Read.", found])
    tex = latex(found)
    assert r"50 \% \& <i>" in tex
    assert r"\caption{50 \% of T\_1}" in tex
    assert r"$\pm$" in tex
    page = html(found)
    assert "&lt;i&gt;" in page
    assert "<i>" not in page


@pytest.mark.parametrize("end", ["md", "tex", "html"])
@pytest.mark.parametrize("name", ["comparison", "latents", "points", "calibration"])
def test_every_table_has_a_page_of_every_kind(built_study, name, end):
    page = built_study.page(name, end)
    assert "large" in page
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)


def test_matched_values_stand_in_the_page_of_comparisons(built_study):
    page = built_study.page("comparison")
    table = pd.read_csv(built_study.root / "tables" / "comparison.csv")
    value = table["l0_30_r2_candidate"].dropna().iloc[0]
    assert "R² at 30, candidate" in page
    assert f"{value:.3f}" in page
    assert "No value at 900" in page


def test_parquet_has_all_columns_with_their_types(built_study):
    table = built_study.root / "tables" / "points.csv"
    out = table.with_suffix(".parquet")

    main(built_study.root / "measures", table, out)
    found = pd.read_parquet(out)
    assert list(found) == list(pd.read_csv(table))
    assert found["seeds"].dtype.kind == "i"
