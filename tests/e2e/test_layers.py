"""A small study of two layers, up to its report and to all that looks into its cells."""

from __future__ import annotations

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study
from tests.e2e.test_looks import SMALL
from tests.helpers.workflow import workflow_of
from tests.pipeline.cells.browser.test_collect import given

pytestmark = pytest.mark.long

MODEL = {key: value for key, value in SMALL["models"][0].items() if key != "layer"}
LAYERED = SMALL | {"models": [MODEL | {"layers": [0, 1]}], "signs": {"hookpoints": ["l1.resid"]}}


def test_every_layer_reaches_tables_figures_and_browser(tmp_path):
    workflow = workflow_of(tmp_path, LAYERED)
    looks = ("dial", "probe", "signs", "browser")
    done = workflow.run("all", *looks)
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(workflow.config)
    cells = read_table(tmp_path / study.table("cells.csv"))
    assert set(zip(cells["hookpoint"], cells["layer"], strict=True)) == {
        ("l0.resid", 0),
        ("l1.resid", 1),
    }
    assert "target" not in cells
    manifest = read_json(tmp_path / study.manifest("m", "train"))
    assert list(manifest["hookpoints"]) == ["l0.resid", "l1.resid"]
    assert list(study.looks["signs"]) == ["m/l1.resid"]
    assert list(study.looks["dial"]) == ["m/l0.resid/seed0", "m/l1.resid/seed0"]
    for name in ("figure_depth", "figure_r2", "figure_dial"):
        assert (tmp_path / study.figure(name)).stat().st_size > 5_000
    page = tmp_path / study.browser_page
    shown = given(page.with_name("catalog.js"))["cells"]
    assert {cell["hookpoint"] for cell in shown} == {"l0.resid", "l1.resid"}
    assert workflow.planned("all", *looks) == {}
