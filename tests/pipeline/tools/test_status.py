"""What a study is doing, told from files that stages write."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import Progress
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from pipeline.tools import status
from pipeline.tools.status import cell_job, lines, pace
from sagsae.files import FileLock
from tests.helpers.made_studies import configuration

TRAINS = "train small/mlp_out: 1,024/4,096 tokens, 8,181/s, ETA 3 min, loss 0.0834, L0 283.2"
FAILS = "error: the disk is full;\n  delete something"


@pytest.fixture
def study(tmp_path) -> Study:
    grid = [{"variant": "gated", "expansion": 2, "lambdas": [0.05, 0.1, 0.2, 0.3]}]
    raw = configuration(results=str(tmp_path), grid=grid, hookpoints=["resid"], comparisons=[])
    return Study.from_dict(raw | {"cache": str(tmp_path / "cache"), "models": raw["models"][:1]})


def log(study: Study, *name: str, text: str, ago: float = 0.0) -> None:
    path = Path(study.log(*name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    os.utime(path, (time.time() - ago,) * 2)


def finish(study: Study, number: int, at: float | None = None, lam: float | None = None) -> None:
    """Write metrics of a cell as it is configured, or as if it had another lambda."""
    cell = study.cells[number]
    measured = cell if lam is None else replace(cell, lam=lam)
    write_json(study.metrics(cell), {"made_from": study.cell_made_for(measured)})
    if at is not None:
        os.utime(study.metrics(cell), (at, at))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire()
    yield
    lock.release()


@pytest.mark.parametrize(
    ("text", "lam", "held", "expected"),
    [
        (FAILS, 0.05, False, ("finished", "")),
        (TRAINS, 0.77, False, ("waiting", TRAINS)),
        (TRAINS, None, True, ("running", TRAINS)),
        (TRAINS, None, False, ("waiting", TRAINS)),
        (f"{TRAINS}\n{FAILS}", None, False, ("failed", "the disk is full; delete something")),
        ("Traceback (most):\n  x\nKeyError: 3", None, False, ("failed", "KeyError: 3")),
    ],
)
def test_a_cell_by_its_log_its_metrics_and_its_lock(study, text, lam, held, expected):
    """Metrics of another lambda are of another configuration."""
    cell = study.cells[0]
    log(study, "cells", cell.path, text=text)
    if lam:
        finish(study, 0, lam=lam)
    lock = Path(study.metrics(cell)).with_name(".lock" if held else ".other")
    with locked(lock):
        job = cell_job(study, cell)
    assert (job.state, job.said) == expected


def test_progress_is_what_stages_print(study, capsys):
    Progress("train small/x, spliced", 4000, "tokens", every=0.0).update(500, "loss 0.2")
    printed = capsys.readouterr().err.strip()
    log(study, "cells", study.cells[0].path, text=printed)
    assert cell_job(study, study.cells[0]).said == printed


def test_the_pace_is_that_since_the_first_cell_of_this_run(study):
    """One of four equal cells took 200 s since the first; two are left."""
    with locked(Path(study.run_lock)):
        start = Path(study.run_lock).stat().st_mtime
        finish(study, 0, at=start + 100)
        finish(study, 1, at=start + 200)
        jobs = [cell_job(study, cell) for cell in study.cells]
        assert pace(study, jobs, start, start + 300) == pytest.approx((3600 / 200, 2 * 200))
        assert f"run:     process {os.getpid()} on " in "\n".join(lines(study, start + 300))


def test_what_runs_and_what_failed_is_listed_with_its_log(study):
    dump = "dump small-train: 8,192/81,920 rows, 4,100/s, ETA 18 s, 5,100 model tokens/s"
    log(study, "dump", "small-train", text=dump)
    log(study, "dump", "small-heldout", text=dump, ago=500)
    log(study, "tokens", "small-train", text="error: no text")
    name = study.cells[0].path
    log(study, "cells", name, text="error: too hot", ago=700)
    text = "\n".join(lines(study, time.time()))
    assert "0 of 4 cells finished, 0 running, 1 failed, 3 waiting" in text
    assert f"running:\n  dump/small-train\n    {dump}" in text
    shown = f"{name}\n    too hot\n    {study.log('cells', name)} (written 11 min ago)"
    assert f"failed:\n  {shown}\n  tokens/small-train\n    no text\n" in text
    assert "heldout" not in text


def test_a_finished_study_says_so(study, tmp_path, monkeypatch, capsys):
    for number in range(4):
        finish(study, number)
    monkeypatch.setattr(Study, "load", lambda *_: study)
    status.main(tmp_path / "any.yaml")
    assert "4 of 4 cells finished" in (said := capsys.readouterr().out)
    assert "none; every cell is finished" in said


def test_a_study_elsewhere_is_found_by_what_snakemake_was_given(study, tmp_path, capsys):
    """As ``snakemake --config results=FOLDER``."""
    for cell in study.cells:
        write_json(study.metrics(cell), {"made_from": study.cell_made_for(cell)})
    (tmp_path / "mine.yaml").write_text(json.dumps(study.config.model_dump()))
    given = ["--configfile", str(tmp_path / "mine.yaml")]
    main(["cells", *given, "--missing"])
    assert capsys.readouterr().out.split() == [cell.path for cell in study.cells]
    main(["cells", *given, "--missing", "--config", f"results={tmp_path}"])
    assert capsys.readouterr().out.split() == []
    with pytest.raises(ConfigError, match="lambdaz: unknown key"):
        main(["status", *given, "--config", "lambdaz=3"])
