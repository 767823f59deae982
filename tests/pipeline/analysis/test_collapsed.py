"""A study whose cells all collapsed has its tables, figures and report all the same."""

from __future__ import annotations

import pytest

from pipeline.analysis.figure import figures_of
from tests.helpers.made_studies import make_study
from tests.helpers.made_study import MadeStudy


@pytest.fixture(params=["every cell", "one side"])
def collapsed(request, tmp_path) -> MadeStudy:
    study = make_study(tmp_path)
    for cell in study.cells:
        if request.param == "every cell" or "/gated/" in cell:
            study.change(cell, r2=-9.0, collapsed=["R2 below 0.2"])
    return study


def test_a_study_of_collapsed_cells_has_a_report(collapsed):
    collapsed.tables()
    collapsed.make("claims")
    for name in figures_of(collapsed.scope):
        collapsed.figure(name)
    page = collapsed.report()
    for cell in collapsed.cells:
        if "/gated/" in cell:
            assert cell in page, "a collapsed cell is named"
