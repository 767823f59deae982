"""Estimates: the arithmetic of a study counted by hand, and where rates come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.study.study import Study
from pipeline.tools.cost import hours_on, stages
from pipeline.tools.work import Rates

CONFIGS = Path(__file__).resolve().parents[3] / "workflow" / "configs"


@pytest.fixture(scope="module")
def rates() -> Rates:
    return Rates.read()


def test_operations_and_bytes_of_the_paper_study_by_hand(rates):
    study = Study.load(CONFIGS / "paper.yaml")
    found = {stage.name: stage for stage in stages(study, rates)}
    full, half = 2048 * 32768, 2048 * 16384
    cells = 2 * 3 * 3 * 6 * 2  # models, hookpoints, seeds, lambdas, recipes
    products = cells * (3 * full + 6 * half)
    assert found["training"].operations == products * 2 * 7 * 209715200
    assert found["training"].tokens == 9 * cells * 209715200
    assert found["training"].disk == products * 2 * 4
    assert found["training"].moved == 9 * cells * 209715200 * 2048 * 2
    rows = 52428800 + 524288
    assert found["activations"].disk == 2 * 3 * 2048 * 2 * rows
    assert found["activations"].tokens == pytest.approx(2 * rows * 1024 / 1023)
    blocks = 9 * (2 * 50331648 + 2 * 1024 * 2048) + 19 * (2 * 78118912 + 2 * 1024 * 2048)
    assert found["activations"].operations == pytest.approx(blocks * rows * 1024 / 1023)


def test_steering_by_hand(rates):
    """Each direction in both senses: on 4 contexts at one size, on 4 others at all four."""
    raw = Study.load(CONFIGS / "local.yaml").config.model_dump()
    raw["dial"] |= {"models": None, "hookpoints": None, "recipes": ["default"]}
    study = Study.from_dict(raw)
    found = {stage.name: stage for stage in stages(study, rates)}["dial"]
    tokens = (4 + 2 + 2) * 2 * (4 + 4 * 4) * 128
    assert (len(found.jobs), found.tokens) == (6, 6 * tokens)
    smollm2 = 15 * (2 * 3538944 + 2 * 128 * 576) + 16 / 128 * 2 * 28311552
    gemma = 9 * (2 * 5570560 + 2 * 128 * 640) + 16 / 128 * 2 * 167772160
    assert found.operations == pytest.approx(3 * tokens * (smollm2 + gemma))
    del raw["dial"]
    names = [stage.name for stage in stages(Study.from_dict(raw), rates)]
    assert names == ["activations", "baselines", "training", "evaluation"]


def test_probing_by_hand(rates):
    """Every cell encodes the rows that 31 labels use; each label has a fit on the activation."""
    raw = Study.load(CONFIGS / "smoke.yaml").config.model_dump()
    raw["probe"] = {"train_rows": 100, "test_rows": 20, "least_rows": 10}
    raw["probe"] |= {"models": ["tiny-smollm3"], "hookpoints": ["mlp_out"]}
    found = {stage.name: stage for stage in stages(Study.from_dict(raw), rates)}["probe"]
    rows = 31 * 120
    assert (len(found.jobs), found.tokens) == (1, 4 * rows)
    products = 2 * 64 * (2 * 256 + 2 * 128) * rows
    assert found.operations == pytest.approx(products + 2 * 64 * rows * 200)
    del raw["probe"]["train_rows"], raw["probe"]["test_rows"]
    whole = {stage.name: stage for stage in stages(Study.from_dict(raw), rates)}["probe"]
    assert whole.tokens == 4 * 8192  # no more rows than there are


def test_signs_by_hand(rates):
    """Every cell encodes the held-out rows; pairs of latents are assigned on the host."""
    raw = Study.load(CONFIGS / "smoke.yaml").config.model_dump()
    raw["signs"] = {"models": ["tiny-smollm3"], "hookpoints": ["mlp_out"]}
    (job,) = {stage.name: stage for stage in stages(Study.from_dict(raw), rates)}["signs"].jobs
    assert job.forward == 2 * 64 * (2 * 256 + 2 * 128) * 8192
    assert job.fixed == pytest.approx(4 + 1.5e-7 * 2 * (256**2 + 128**2))


def test_an_hour_of_a_device_is_work_at_its_rates_and_the_start_of_each_job(rates):
    device = rates.device("h100")
    found = stages(Study.load(CONFIGS / "paper.yaml"), rates)
    (training,) = [stage for stage in found if stage.name == "training"]
    seconds = [max(job.training / 300e12, job.moved / 2e9) + 30 for job in training.jobs]
    assert training.hours(device) == pytest.approx(sum(seconds) / 3600)


def test_devices_take_the_next_job_the_longest_first():
    assert hours_on(1, [3600.0, 7200.0, 3600.0]) == 4
    assert hours_on(2, [3600.0, 7200.0, 3600.0]) == 2
    assert hours_on(2, [3600.0] * 5) == 3
    assert hours_on(8, [3600.0]) == 1
