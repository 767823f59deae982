"""The synthetic protocols as targets of the workflow."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.config.synthetic import PROTOCOLS
from tests.e2e.conftest import ROOT, Workflow

pytestmark = pytest.mark.long


def test_the_protocols_need_no_language_model(elsewhere):
    smoke = Workflow(elsewhere.folder, ROOT / "workflow/configs/smoke.yaml")
    planned = smoke.planned("synthetic")
    figures = [name for name in planned if name.startswith("figure_")]
    assert sorted(figures) == sorted(f"figure_{i}" for i in (1, 4, 5, 6, 7, 8, 9, 10))
    assert planned["synthetic_run"] == 2 * len(PROTOCOLS)
    assert planned["total"] == planned["synthetic_run"] + len(figures) + len(PROTOCOLS) + 2
    assert "synthetic_run" not in smoke.planned()


def test_a_figure_by_name_makes_its_own_protocol_only(elsewhere):
    workflow = Workflow(elsewhere.folder, ROOT / "workflow/configs/smoke.yaml")
    planned = workflow.planned("figure_6")
    assert planned == {"figure_6": 1, "synthetic_run": 2, "synthetic_table_geometry": 1, "total": 4}
    done = workflow.run("figure_6", "figure_1")
    assert done.returncode == 0, done.stdout
    figures = workflow.folder / "results/smoke/figures"
    made = {f"figure_{i}.{end}" for i in (1, 6) for end in ("png", "svg", "csv")}
    assert {path.name for path in figures.iterdir()} == made
    table = pd.read_csv(workflow.folder / "results/smoke/synthetic/geometry.csv")
    assert table["seed_count"].eq(2).all()
    assert workflow.planned("figure_6") == {}
    changed = workflow.changed(synthetic={"seeds": [0, 1, 2]})
    assert changed.planned("figure_6")["synthetic_run"] == 1
