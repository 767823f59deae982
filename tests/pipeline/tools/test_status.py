"""What a study is doing, told from files that stages write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import Progress
from pipeline.study.study import Study
from pipeline.tools import status
from pipeline.tools.status import cell_job, holder, lines, pace
from sagsae.files import FileLock
from tests.pipeline.made_grid import configuration

TRAINS = "train small/mlp_out: 1,024/4,096 tokens, 8,181/s, ETA 3 min, loss 0.0834, L0 283.2\n"


@pytest.fixture
def study(tmp_path) -> Study:
    grid = [{"variant": "gated", "expansion": 2, "lambdas": [0.05, 0.1, 0.2, 0.3]}]
    raw = configuration(results=str(tmp_path), grid=grid, hookpoints=["resid"], comparisons=[])
    return Study.from_dict(raw | {"cache": str(tmp_path / "cache"), "models": raw["models"][:1]})


def written(path: str | Path, text: str = "{}", at: float | None = None) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if at is not None:
        os.utime(path, (at, at))
    return path


def log(study: Study, number: int, text: str, at: float | None = None) -> Path:
    return written(study.log("cells", study.cells[number].path), text, at)


def finish(study: Study, number: int, at: float | None = None, lam: float | None = None) -> None:
    """Write metrics of a cell as it is configured, or as if it had another lambda."""
    cell = study.cells[number]
    measured = cell if lam is None else replace(cell, lam=lam)
    write_json(study.metrics(cell), {"made_from": study.cell_made_for(measured)})
    if at is not None:
        os.utime(study.metrics(cell), (at, at))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    lock = FileLock(written(path, ""))
    lock.acquire()
    yield
    lock.release()


def cell_lock(study: Study, number: int) -> Path:
    return Path(study.metrics(study.cells[number])).with_name(".lock")


def text_of(study: Study, now: float | None = None) -> str:
    return "\n".join(lines(study, time.time() if now is None else now))


def job(study: Study):
    return cell_job(study, study.cells[0])


class TestJob:
    def test_it_is_finished_once_its_metrics_are_there(self, study):
        log(study, 0, "error: of an earlier try\n")
        finish(study, 0, at=1000.0)
        assert (job(study).state, job(study).at) == ("finished", 1000.0)

    def test_metrics_of_another_configuration_do_not_finish_it(self, study):
        finish(study, 0, at=1000.0, lam=0.77)
        assert job(study).state == "waiting"

    def test_it_runs_while_somebody_holds_its_lock(self, study):
        log(study, 0, TRAINS, at=1000.0)
        with locked(cell_lock(study, 0)):
            found = job(study)
        assert (found.state, found.said) == ("running", TRAINS.strip())
        assert job(study).state == "waiting"

    def test_it_failed_where_its_log_ends_in_an_error(self, study):
        log(study, 0, TRAINS + "error: the disk is full;\n  delete something\n")
        assert (job(study).state, job(study).said) == (
            "failed",
            "the disk is full; delete something",
        )

    def test_progress_is_what_stages_print(self, study, capsys):
        Progress("train small/x, spliced", 4000, "tokens", every=0.0).update(500, "loss 0.2")
        printed = capsys.readouterr().err
        log(study, 0, printed)
        assert job(study).said == printed.strip()


class TestStudy:
    def test_the_pace_is_that_since_the_first_cell_of_this_run(self, study):
        """One of four equal cells took 200 s since the first; two are left."""
        with locked(Path(study.run_lock)):
            start = Path(study.run_lock).stat().st_mtime
            finish(study, 0, at=start + 100)
            finish(study, 1, at=start + 200)
            jobs = [cell_job(study, cell) for cell in study.cells]
            assert pace(study, jobs, start, start + 300) == pytest.approx((3600 / 200, 2 * 200))
            assert "run:     process " in text_of(study)
            assert holder(Path(study.run_lock)).startswith(f"process {os.getpid()} on ")

    def test_jobs_of_other_stages_are_told(self, study):
        now = time.time()
        dump = "dump small-train: 8,192/81,920 rows, 4,100/s, ETA 18 s, 5,100 model tokens/s\n"
        written(study.log("dump", "small-train"), dump)
        written(study.log("tokens", "small-train"), "error: no text\n")
        written(study.log("dump", "small-heldout"), dump, at=now - 500)
        text = text_of(study, now)
        assert f"running:\n  dump/small-train\n    {dump}" in text
        assert "failed:\n  tokens/small-train\n    no text\n" in text
        assert "heldout" not in text

    def test_what_failed_is_listed_with_its_log(self, study):
        failed = log(study, 0, "error: too hot\n", at=time.time() - 700)
        text = text_of(study)
        assert "0 of 4 cells finished, 0 running, 1 failed, 3 waiting" in text
        assert f"{study.cells[0].path}\n    too hot\n    {failed} (written 11 min ago)" in text


def test_a_finished_study_says_so(study, tmp_path, monkeypatch, capsys):
    for number in range(4):
        finish(study, number)
    monkeypatch.setattr(Study, "load", lambda path: study)
    status.main(tmp_path / "any.yaml")
    assert "4 of 4 cells finished" in (said := capsys.readouterr().out)
    assert "none; every cell is finished" in said
