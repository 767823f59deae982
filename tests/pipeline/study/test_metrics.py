"""metrics.json through the versions: old files are read, newer ones refused, a metric is added."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pandas as pd
import pytest
import torch

from pipeline.activations.baselines import main as run_baselines
from pipeline.cells import evaluate
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study import metrics
from pipeline.study.metrics import SCHEMA_VERSION, CellMetrics, Finite, MetricsError, read_metrics
from pipeline.tables.write import cell_table
from sagsae.autoencoders.storage import build
from sagsae.evaluation.metrics import ReconstructionMetrics
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.tiny_study import HIDDEN, WIDTH, make_tiny_study

CPU = torch.device("cpu")


class WithDummy(CellMetrics):
    """The schema with one more metric."""

    dummy: Finite | None = None


def first(study: MadeStudy) -> str:
    return study.spec["cells"][0]


def test_a_file_without_a_version_is_version_1(made_study):
    path = made_study.metrics_file(first(made_study))
    assert "schema_version" not in read_json(path)
    cell = metrics.Cell.from_path(first(made_study))
    assert read_metrics(path, cell).schema_version == 1


def test_a_newer_version_is_refused_with_what_to_do(made_study):
    made_study.change(first(made_study), schema_version=SCHEMA_VERSION + 1, unheard_of=3.0)
    with pytest.raises(MetricsError) as caught:
        made_study.tables()
    message = str(caught.value)
    assert f"{first(made_study)}/metrics.json: 1 error(s)" in message
    assert f"written by a newer program (version {SCHEMA_VERSION + 1}, here" in message
    assert "update this program, or delete the cell's folder and evaluate it again" in message
    assert "unheard_of" not in message


@pytest.mark.parametrize("version", [0, -1, 1.5, "2", None])
def test_what_is_no_version_is_refused(made_study, version):
    made_study.change(first(made_study), schema_version=version)
    with pytest.raises(MetricsError, match="schema_version"):
        made_study.tables()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> dict[str, Any]:
    """Arguments that evaluate one cell."""
    study = make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox")
    baselines = study.root / "baselines.json"
    run_baselines(**study.baseline_arguments(baselines), device="cpu")
    cell = next(cell for cell in study.study.cells if cell.hookpoint == "resid")
    sae = build("sagsae_tied", HIDDEN, WIDTH)
    sae.initialise(torch.zeros(HIDDEN), seed=0)
    sae.save(study.root / "weights.safetensors")
    training = dict.fromkeys(("steps", "tokens", "threads"), 1)
    training |= dict.fromkeys(("seconds", "tokens_per_second", "data_wait_seconds"), 1.0)
    training |= {"peak_memory_mb": 1.0, "device": "cpu", "matmul_dtype": "float32"}
    return {
        "spec": study.study.evaluate_spec(cell),
        "cell": cell,
        "train_info": {
            "training": training,
            "made_from": {"train": "t" * 16, "store": "s"},
            "course": {"diverged": ""},
        },
        "weights": study.root / "weights.safetensors",
        "heldout_manifest": study.manifest("heldout"),
        "baselines": baselines,
        "asset": study.asset,
        "device": CPU,
    }


def test_a_metric_is_added_by_its_function_and_its_field(evaluated, tmp_path, monkeypatch):
    before, _ = evaluate.evaluate_cell(**evaluated)
    assert before["schema_version"] == SCHEMA_VERSION
    dummy = property(lambda quality: quality.l0 / quality.tokens)
    monkeypatch.setattr(ReconstructionMetrics, "dummy", dummy, raising=False)
    for module in (evaluate, metrics):
        monkeypatch.setattr(module, "CellMetrics", WithDummy)
    after, _ = evaluate.evaluate_cell(**evaluated)
    assert after == before | {"dummy": before["l0"] / before["eval_tokens"]}

    cell = evaluated["cell"]
    older = replace(cell, seed=1)
    for one, values in ((cell, after), (older, before | {"cell": asdict(older)})):
        (tmp_path / one.path).mkdir(parents=True)
        write_json(tmp_path / one.path / "metrics.json", values)
    table = cell_table(metrics.read_all(tmp_path, [cell, older]))
    assert table["dummy"][0] == after["dummy"]
    assert pd.isna(table["dummy"][1])
    assert "dummy" not in cell_table(metrics.read_all(tmp_path, [older]))
    assert "schema_version" not in table
