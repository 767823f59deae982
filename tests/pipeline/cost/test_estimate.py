"""Estimates: the arithmetic of a study counted by hand, and where rates come from."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.config.study_config import load_yaml
from pipeline.cost.estimate import RATES, Rates, measured, stages
from pipeline.cost.reading import readings, total
from pipeline.cost.speed import tokens_per_second
from pipeline.jobs.json_files import read_json, write_json
from pipeline.study.study import Study
from sagsae.schedules import Recipe
from sagsae.training.trainer import Trainer
from tests.pipeline.made_grid import make_grid

CONFIGS = Path(__file__).resolve().parents[3] / "workflow" / "configs"


@pytest.fixture(scope="module")
def rates() -> Rates:
    return Rates.model_validate(load_yaml(RATES))


def test_operations_and_bytes_of_the_paper_study_by_hand(rates):
    study = Study.load(CONFIGS / "paper.yaml")
    found = {stage.name: stage for stage in stages(study, rates)}
    full, half = 2048 * 32768, 2048 * 16384
    cells = 2 * 3 * 3 * 6 * 2  # models, hookpoints, seeds, lambdas, recipes
    products = cells * (3 * full + 6 * half)
    assert found["training"].operations == products * 2 * 7 * 209715200
    assert found["training"].tokens == 9 * cells * 209715200
    assert found["training"].disk == products * 2 * 4
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
    tokens = (8 + 2 + 4) * 2 * (4 + 4 * 4) * 128
    assert (found.jobs, found.tokens) == (6, 6 * tokens)
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
    assert (found.jobs, found.tokens) == (1, 4 * rows)
    products = 2 * 64 * (2 * 256 + 2 * 128) * rows
    assert found.operations == pytest.approx(products + 2 * 64 * rows * 200)
    del raw["probe"]["train_rows"], raw["probe"]["test_rows"]
    whole = {stage.name: stage for stage in stages(Study.from_dict(raw), rates)}["probe"]
    assert whole.tokens == 4 * 8192  # no more rows than there are


def test_models_that_no_cell_needs_cost_nothing(rates):
    study = Study.load(CONFIGS / "paper.yaml")
    raw = study.config.model_dump()
    raw |= {
        "cells_per_stream": 1,
        "grid": [raw["grid"][0] | {"models": ["pythia-1b"], "recipes": None}],
    }
    found = {stage.name: stage for stage in stages(Study.from_dict(raw), rates)}
    assert found["activations"].jobs == 2
    assert found["training"].jobs == 54


def with_streams(study: Study, cells: int, **more: object) -> Study:
    return Study.from_dict(study.config.model_dump() | {"cells_per_stream": cells} | more)


@pytest.mark.parametrize(("per_stream", "streams"), [(1, 54), (4, 14), (6, 9), (54, 1)])
def test_what_training_reads_of_the_paper_stores_by_hand(rates, per_stream, streams):
    """A stream is read whole for each of its jobs: a row of 2,048 bfloat16 values per token."""
    study = with_streams(Study.load(CONFIGS / "paper.yaml"), per_stream)
    found = readings(study, rates.devices["h100"])
    assert [reading.store for reading in found] == ["pythia-1b", "smollm3-3b"]
    for reading in found:
        assert reading.cells == 972
        assert reading.streams == 2 * 3 * 3 * streams
        assert reading.bytes == 18 * streams * 209715200 * 4096
        operations = 2 * 9 * 6 * (3 * 32768 + 6 * 16384) * 2048 * 14 * 209715200
        assert reading.seconds == pytest.approx(operations / 300e12)


def test_the_disk_rate_is_that_at_which_no_device_waits(rates):
    paper, device = Study.load(CONFIGS / "paper.yaml"), rates.devices["h100"]
    narrow = 300e12 / (14 * 2048 * 16384) * 4096  # bytes/s of one device
    alone = total(readings(with_streams(paper, 1), device))
    assert alone.bytes == pytest.approx(1670e12, rel=1e-3)
    assert alone.highest == pytest.approx(narrow)
    assert narrow / 2 < alone.bytes / alone.seconds < narrow
    shared = total(readings(with_streams(paper, 4), device))
    assert shared.bytes / alone.bytes == pytest.approx(504 / 1944)
    assert shared.highest < narrow / 2
    assert shared.seconds == pytest.approx(alone.seconds)


def test_a_compressed_store_is_read_as_it_is(rates):
    smoke, device = Study.load(CONFIGS / "smoke.yaml"), rates.devices["cpu-core"]
    raw = smoke.config.model_dump()
    plain = total(readings(smoke, device)).bytes
    disk = raw["dump"] | {"profile": "disk"}
    assert total(readings(with_streams(smoke, 1, dump=disk), device)).bytes < plain


def test_cells_on_one_stream_are_trained_by_one_job_and_evaluated_by_their_own(rates):
    paper = Study.load(CONFIGS / "paper.yaml")
    jobs = {}
    for cells in (1, 4):
        found = stages(with_streams(paper, cells), rates)
        jobs[cells] = [stage.jobs for stage in found if stage.name in ("training", "evaluation")]
    assert jobs == {1: [1944, 0], 4: [504, 1944]}


def test_every_rate_says_where_it_comes_from(rates):
    assert all(
        "assumed" in rate.basis or "measured" in rate.basis for rate in rates.devices.values()
    )
    for name in ("paper", "local", "reference"):
        assert set(Study.load(CONFIGS / f"{name}.yaml").models) <= set(rates.models)


def test_the_page_names_assumptions(capsys, tmp_path):
    main(["cost", "--configfile", str(CONFIGS / "paper.yaml")])
    page = capsys.readouterr().out
    assert "Study paper: 1,944 cells" in page
    assert "GPU-hours" in page
    assert "1,997.2 GB" in page
    assert "assumed, no such card was at hand" in page
    assert "8 devices" not in page
    main(["cost", "--configfile", str(CONFIGS / "paper.yaml"), "--devices", "8"])
    page = capsys.readouterr().out
    assert "8 devices" in page
    assert re.search(r"\| 1 +\| 1,944 +\| 1,669.9 TB +\| 15.7 GB/s +\| 20.9 GB/s", page), page
    assert re.search(r"\| 4 +\| 504 +\| 432.9 TB", page), page
    main(["cost", "--configfile", str(CONFIGS / "smoke.yaml"), "--device", "cpu-core"])
    assert "guessed from d_model and the layer: tiny-gpt-neox" in capsys.readouterr().out


def test_a_published_study_gives_the_rate_of_its_cells(tmp_path):
    study = make_grid(tmp_path, hookpoints=["mlp_out"])
    for cell in study.cells:
        path = Path(study.metrics(cell))
        found = read_json(path)
        found["training"]["tokens_per_second"] = 1e12 / (14 * found["d_model"] * cell.width)
        write_json(path, found)
    rate, basis = measured(Path(study.root))
    assert rate == pytest.approx(1.0)
    assert f"median of {len(study.cells)} cells" in basis
    assert "on cpu" in basis


def test_a_rate_can_be_measured_on_the_spot(capsys):
    main(["cost", "--configfile", str(CONFIGS / "smoke.yaml"), "--device", "cpu-core", "--measure"])
    assert "training measured now: 20 steps of" in capsys.readouterr().out


def test_what_is_compiled_at_the_first_step_is_not_in_a_measured_rate(monkeypatch):
    """Compilation happens once in a process, however many trainers there are."""
    seconds, compiled = 0.05, []

    def advance(trainer: Trainer) -> None:
        time.sleep(seconds if compiled else 60 * seconds)
        compiled.append(trainer)
        step(trainer)

    step = Trainer._advance
    monkeypatch.setattr(Trainer, "_advance", advance)
    study = Study.load(CONFIGS / "smoke.yaml")
    rate, *_ = tokens_per_second(study)
    assert 0.1 * study.config.training.batch_size / seconds < rate
    assert rate <= study.config.training.batch_size / seconds


def test_the_step_that_is_measured_is_that_of_the_recipe(monkeypatch):
    """With a limit on gradients, or free norms, another and slower step is taken."""
    raw = load_yaml(CONFIGS / "smoke.yaml")
    changes = {"clip_gradient_norm": 0.5, "decoder_norm": "free", "beta1": 0.9}
    made = []

    def noted(self: Trainer, sae: object, stream: object, recipe: Recipe, **more: object) -> None:
        made.append(recipe)
        begin(self, sae, stream, recipe, **more)

    begin = Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", noted)
    tokens_per_second(Study.from_dict(raw | {"training": raw["training"] | changes}))
    assert {name: getattr(made[0], name) for name in changes} == changes


@pytest.mark.parametrize("rate", [-549.0, 0.0, math.nan, math.inf])
def test_a_rate_that_cannot_be_is_refused(rate, monkeypatch):
    monkeypatch.setattr(
        "pipeline.cost.speed.tokens_per_second",
        lambda study: (rate, 64, study.cells[0], "20 steps"),
    )
    with pytest.raises(ValueError, match="tokens/s cannot be a rate of training; measure again"):
        main(["cost", "--configfile", str(CONFIGS / "smoke.yaml"), "--measure"])


def test_an_unknown_device_lists_those_there_are():
    with pytest.raises(ValueError, match="known are cpu-core, h100, a100"):
        main(["cost", "--configfile", str(CONFIGS / "smoke.yaml"), "--device", "tpu"])
