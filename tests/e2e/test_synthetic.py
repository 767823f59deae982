"""The synthetic protocols as targets of the workflow."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.study.synthetic import PROTOCOLS
from tests.helpers.workflow import ROOT, Workflow

pytestmark = pytest.mark.long


def test_the_protocols_need_no_language_model(elsewhere):
    smoke = Workflow(elsewhere.folder, ROOT / "workflow/configs/smoke.yaml")
    planned = smoke.planned("synthetic")
    assert planned["synthetic_run"] == 2 * len(PROTOCOLS)
    assert {"draw", "draw_synthetic", "draw_synthetic_synthetic"} <= planned.keys()
    assert not {"cell", "asset", "dump"} & set(planned)
    assert "synthetic_run" not in smoke.planned()


def test_a_figure_by_name_makes_what_it_draws(elsewhere):
    workflow = Workflow(elsewhere.folder, ROOT / "workflow/configs/smoke.yaml")
    planned = workflow.planned("figure_6")
    runs = {"synthetic_run": 2 * len(PROTOCOLS), "measures": 1, "scope": 1, "synthetic_tables": 1}
    drawn = {"figure_6": 1, "draw_synthetic_synthetic": 1}
    assert planned == {**runs, **drawn, "total": 2 * len(PROTOCOLS) + 5}
    done = workflow.run("figure_6", "figure_1")
    assert done.returncode == 0, done.stdout
    figures = workflow.folder / "results/smoke/figures"
    made = {f"figure_{i}.{end}" for i in (1, 6, 7) for end in ("png", "csv")}
    assert {path.name for path in figures.iterdir()} == made
    table = pd.read_csv(workflow.folder / "results/smoke/synthetic/geometry.csv")
    assert table["seed_count"].eq(2).all()
    assert workflow.planned("figure_6") == {}
    changed = workflow.changed(synthetic={"seeds": [0, 1, 2]})
    assert changed.planned("figure_6")["synthetic_run"] == len(PROTOCOLS)
