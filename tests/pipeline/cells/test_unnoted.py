"""Cells of a scheduler's jobs: what is finished is not trained again, what is demanded is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cells.run import main as run_cell
from pipeline.cells.unnoted import mark_unnoted
from pipeline.jobs.json_files import read_json, write_json
from pipeline.jobs.stage import SUBMITTED, locked
from pipeline.study.outputs import LATENT_TENSORS, TRAINING, WEIGHTS
from tests.pipeline.whole_study import CELL, CONFIG, WholeStudy, make_whole_study, without_costs

RUN = "process 7 on head: /somewhere/.run.lock"
ANOTHER = "process 8 on head: /somewhere/.run.lock"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WholeStudy:
    """A study with one cell."""
    grid = [CONFIG["grid"][0] | {"lambdas": [0.1]}]
    return make_whole_study(tmp_path_factory.mktemp("whole"), hookpoints=["resid"], grid=grid)


@pytest.fixture
def made(whole: WholeStudy, monkeypatch: pytest.MonkeyPatch) -> WholeStudy:
    """The study again, whose cell a job of ``RUN`` has finished anew."""
    monkeypatch.setenv(SUBMITTED, RUN)
    whole.make(whole.study.metrics(CELL))
    return whole


def record(made: WholeStudy) -> dict:
    return read_json(made.cell() / ".state" / "trained.json")


def lose_outputs(made: WholeStudy) -> None:
    """What Snakemake does where a job of a submission fails, and before each job."""
    for name in ("metrics.json", WEIGHTS, TRAINING, LATENT_TENSORS):
        (made.cell() / name).unlink(missing_ok=True)


def said(made: WholeStudy, capsys: pytest.CaptureFixture[str]) -> str:
    """What the job of the cell says when it is asked for, its outputs gone."""
    lose_outputs(made)
    capsys.readouterr()
    run_cell(**made._cell_arguments(Path(made.study.metrics(CELL))))
    return capsys.readouterr().err


def test_a_second_attempt_of_one_run_evaluates_and_trains_nothing(made, capsys):
    before = without_costs(made.cell())
    text = said(made, capsys)
    assert "evaluate m/resid" in text
    assert "train m/resid" not in text
    assert without_costs(made.cell()) == before
    assert record(made)["submitted_by"] == RUN


@pytest.mark.parametrize("run", [ANOTHER, ""])
def test_another_run_that_asks_wants_it_trained(made, capsys, monkeypatch, run):
    monkeypatch.setenv(SUBMITTED, run)
    assert "train m/resid" in said(made, capsys)
    assert record(made).get("submitted_by", "") == run


def test_a_local_run_leaves_no_trace_of_a_submission(made, monkeypatch):
    monkeypatch.delenv(SUBMITTED)
    made.make(made.study.metrics(CELL))
    assert "submitted_by" not in record(made)


def test_a_cell_without_its_outputs_is_marked_and_not_trained(made, capsys, monkeypatch):
    """A job beside it failed, and Snakemake removed what its submission had made."""
    lose_outputs(made)
    assert mark_unnoted(made.study, [CELL], []) == [CELL]
    monkeypatch.setenv(SUBMITTED, ANOTHER)
    assert "train m/resid" not in said(made, capsys)
    assert not record(made)["orphaned"]


def test_a_cell_that_is_only_known_to_have_begun_is_marked(made, capsys, monkeypatch):
    """Snakemake was killed before it heard of the end."""
    metrics = made.study.metrics(CELL)
    assert mark_unnoted(made.study, [CELL], []) == []
    assert mark_unnoted(made.study, [CELL], [metrics]) == [CELL]
    assert mark_unnoted(made.study, [CELL], [metrics]) == []
    monkeypatch.setenv(SUBMITTED, ANOTHER)
    assert "train m/resid" not in said(made, capsys)
    monkeypatch.setenv(SUBMITTED, "process 9 on head: /somewhere/.run.lock")
    assert "train m/resid" in said(made, capsys)  # once noted, who asks wants it trained


def test_a_cell_that_is_at_work_or_was_never_trained_is_left(made):
    lose_outputs(made)
    with locked(made.cell() / ".state"):
        assert mark_unnoted(made.study, [CELL], []) == []
    assert "orphaned" in record(made)
    (made.cell() / ".state" / "trained.json").write_text("damaged")
    assert mark_unnoted(made.study, [CELL], []) == []
    (made.cell() / ".state" / "trained.json").unlink()
    assert mark_unnoted(made.study, [CELL], []) == []


def test_trained_weights_that_were_never_evaluated_need_no_mark(made):
    """Their job evaluates them anyway."""
    lose_outputs(made)
    path = made.cell() / ".state" / "trained.json"
    write_json(path, {k: v for k, v in record(made).items() if k not in ("evaluated", "orphaned")})
    assert mark_unnoted(made.study, [CELL], []) == []
