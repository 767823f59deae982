"""A small study of known features, up to its report: no text, no language model."""

from __future__ import annotations

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.study.study import Study
from tests.helpers.workflow import workflow_of
from tests.pipeline.data.test_features import CONFIG

pytestmark = pytest.mark.long

GRID = [
    {"variant": variant, "width": width, "ks": [2, 4], "seeds": [0, 1]}
    for variant in ("batchtopk", "absbatchtopk")
    for width in (16, 32)
]
COMPARISON = {
    "candidate": {"variant": "absbatchtopk", "width": 16},
    "baseline": {"variant": "batchtopk", "width": 32},
    "matched_l0": [3],
}


def test_a_truth_reaches_tables_figures_and_report(tmp_path):
    training = {"tokens": 16384, "batch_size": 128, "learning_rate": 3e-3}
    config = CONFIG | {"grid": GRID, "comparisons": [COMPARISON], "training": training, "signs": {}}
    workflow = workflow_of(tmp_path, config)
    done = workflow.run("all", "verify")
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(workflow.config)
    assert not (tmp_path / study.path("assets")).exists()
    rows = read_table(tmp_path / study.table("visible.csv"))
    assert {"r2", "consistency"} <= set(rows["visible"])
    assert rows["correlation"].notna().any()
    rates = read_table(tmp_path / study.table("sign_rates.csv"))
    assert {"f1", "mcc"} <= set(rates["measure"])
    assert read_table(tmp_path / study.table("ranking.csv"))["f1"].notna().any()
    assert (tmp_path / study.figure("figure_sign_rates")).stat().st_size > 5_000
    assert "F1" in (tmp_path / study.report).read_text()
    assert workflow.planned("all") == {}
    other = workflow.changed(dump={"heldout_rows": 2 * config["dump"]["heldout_rows"]})
    held_out = f"results/{study.config.study}/manifests/{study.config.models[0].name}-heldout.json"
    done = other.run(held_out)
    assert done.returncode == 0, done.stdout[-4000:]
    assert other.planned("all")["cell"] == len(study.cells), "measured on another store"
