"""The figure of training curves: which cells, how they look, what its CSV holds."""

from __future__ import annotations

import pytest

from pipeline.analysis.figures.curves import MOST
from pipeline.study.cell import Cell
from tests.helpers.made_study import MadeStudy

CURVES = "figure_curves"


@pytest.fixture
def curved(made_study: MadeStudy) -> MadeStudy:
    """Every cell of the first seed has a curve."""
    made_study.spec["curves"] = [path for path in made_study.cells if path.endswith("seed0")]
    for path in made_study.spec["curves"]:
        made_study.curve(Cell.from_path(path))
    made_study.tables()
    return made_study


def drawn(study: MadeStudy):
    study.measure()
    return study.draw(CURVES)


def test_a_long_curve_is_thinned_and_keeps_its_ends(curved):
    cell = Cell.from_path("large/resid/gated/w384_lam0.1_seed0")
    curved.curve(cell, range(0, 50 * 1234, 50))
    _, table = drawn(curved)
    steps = table.query("model == 'large' and hookpoint == 'resid' and variant == 'gated'")["step"]
    assert (len(steps), steps.iloc[0], steps.iloc[-1]) == (MOST, 0, 50 * 1233)
    assert steps.is_monotonic_increasing
    assert steps.diff().max() <= 2 * steps.diff().min()
