"""Contrasts in words, from made-up metrics of known numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.metrics import read_all
from pipeline.tables.contrasts import contrast_table
from pipeline.tables.latent_text import contrast_grids
from pipeline.text.numbers import Grid
from tests.pipeline.made_grid import make_grid


def width_grid(results: Path, expansions: list[int]) -> Grid:
    """What the page says of ``sagsae_tied`` at these widths against twice these."""
    grid = [
        {"variant": "sagsae_tied", "expansion": expansion, "lambdas": [0.1, 0.2]}
        for expansion in expansions
    ]
    study = make_grid(results, grid=grid, comparisons=[], hookpoints=["resid"])
    spec = ComparisonSpec.model_validate(study.comparison_spec())
    found = contrast_table(read_all(Path(study.cells_root), study.cells), spec)
    return next(one for one in contrast_grids(found, spec) if one.title.startswith("Width: "))


@pytest.mark.parametrize("expansions", [[2, 4], [2, 4, 8]])
def test_widths_stand_in_the_rows_where_a_place_has_several(tmp_path, expansions):
    grid = width_grid(tmp_path, expansions)
    several = len(expansions) > 2
    assert ("Widths" in grid.columns) == several
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    named = [row[:3] if several else row[:2] for row in grid.rows]
    if several:
        assert sorted(named) == [
            ("large", "resid", "192 against 384"),
            ("large", "resid", "384 against 768"),
            ("small", "resid", "128 against 256"),
            ("small", "resid", "256 against 512"),
        ]
    else:
        assert sorted(named) == [("large", "resid"), ("small", "resid")]
    # of two lambdas one has collapsed at 4d, see made_grid
    fallen = [row[grid.columns.index("Collapsed")] for row in grid.rows]
    assert fallen == ["0 against 1", "1 against 0"] * 2 if several else ["0 against 1"] * 2
