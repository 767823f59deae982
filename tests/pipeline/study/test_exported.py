"""Which cells leave a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.study.cell import Cell
from pipeline.study.hub import hub_cells, read_by_hub
from pipeline.study.outputs import WEIGHTS
from pipeline.study.sections import CellNameError
from pipeline.study.study import Study
from tests.helpers.made_studies import configuration
from tests.pipeline.data.test_features import CONFIG


def study(tmp_path: Path, *cells: str) -> Study:
    hub = {"hub": {"cells": list(cells)}} if cells else {}
    return Study.from_dict(configuration(results=str(tmp_path)) | hub)


@pytest.fixture
def cell(tmp_path) -> Cell:
    return study(tmp_path).cells[0]


def test_cells_by_name_and_by_pattern(tmp_path, cell):
    assert hub_cells(study(tmp_path, cell.path)) == [cell]
    found = hub_cells(study(tmp_path, f"*/{cell.variant}/*", cell.path))
    assert cell in found
    assert found == sorted(set(found))
    assert {one.variant for one in found} == {cell.variant}
    assert found == [one for one in study(tmp_path).cells if one.variant == cell.variant]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*/relu/*", r"no cell of study .* is called '\*/relu/\*'"),
        ("resid", "'resid' is not <model>/<hookpoint>/"),
        ("nobody/resid/gated/w8_lam0.1_seed0", "unknown model 'nobody'"),
    ],
)
def test_other_names_are_refused(tmp_path, name, message):
    with pytest.raises(CellNameError, match=message):
        hub_cells(study(tmp_path, name))


def test_the_figure_is_read_where_the_whole_grid_is_exported(tmp_path, cell):
    figure = study(tmp_path).figure("figure_r2")
    assert read_by_hub(study(tmp_path))["figure"] == figure
    Path(figure).parent.mkdir(parents=True)
    Path(figure).touch()
    some = study(tmp_path, cell.path)
    found = read_by_hub(some)
    assert "figure" not in found
    assert found["metrics"] == [some.metrics(cell)]
    assert found["weights"] == [some.cell_file(cell, WEIGHTS)]
    assert found["assets"] == [some.asset(cell.model)]


def test_known_features_have_no_folder_for_the_hub():
    known = Study.from_dict(CONFIG)
    with pytest.raises(CellNameError, match="has no language model"):
        read_by_hub(known)
