"""Which curves are drawn, and of which cells none is waited for."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.curve_files import (
    curves_of,
    drawn_cells,
)
from pipeline.study.study import Study
from tests.pipeline.made_curves import make_curve
from tests.pipeline.made_grid import LAMBDAS, configuration, make_grid


def test_the_main_comparison_is_drawn_with_its_lowest_seed():
    study = Study.from_dict(configuration())
    cells = drawn_cells(study)
    assert {(cell.variant, cell.width // study.models[cell.model].d_model) for cell in cells} == {
        ("sagsae_tied", 2),
        ("gated", 4),
    }
    assert {cell.seed for cell in cells} == {0}
    assert len(cells) == 2 * 3 * 2 * len(LAMBDAS)


def test_a_curve_is_there_or_will_be(tmp_path):
    study = make_grid(tmp_path, hookpoints=["resid"])
    root = Path(study.cells_root)
    assert curves_of(study, "") == []
    there = make_curve(root, drawn_cells(study)[0])
    assert curves_of(study, "") == [str(there)]
    untrained = drawn_cells(study)[-1]
    Path(study.metrics(untrained)).unlink()
    assert curves_of(study, "") == [
        str(there),
        study.cell_file(untrained, "curve.parquet"),
    ]
