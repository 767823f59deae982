"""What a study is doing, told from files that stages write."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from pipeline.jobs.json_files import digest, write_json
from pipeline.jobs.progress import Progress as Printed
from pipeline.status import run, screen
from pipeline.status.jobs import Progress, cell_job, reason_of
from pipeline.status.overview import bytes_under, overview
from pipeline.status.words import duration, gigabytes, lines
from pipeline.study.study import Study
from sagsae.files import FileLock
from tests.pipeline.made_grid import configuration
from tests.pipeline.terminal import on_terminal, plain

TRAINS = "train small/mlp_out: 1,024/4,096 tokens, 8,181/s, ETA 3 min, loss 0.0834, L0 283.2\n"


@pytest.fixture
def study(tmp_path) -> Study:
    grid = [{"variant": "gated", "expansion": 2, "lambdas": [0.05, 0.1, 0.2, 0.3]}]
    raw = configuration(results=str(tmp_path), grid=grid, hookpoints=["resid"])
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
    specs = {"train": study.train_spec(measured), "evaluate": study.evaluate_spec(measured)}
    made_from = {name: digest(spec) for name, spec in specs.items()}
    write_json(study.metrics(cell), {"made_from": made_from})
    if at is not None:
        os.utime(study.metrics(cell), (at, at))


def job(study: Study, number: int = 0, now: float | None = None):
    return cell_job(study, study.cells[number], time.time() if now is None else now)


class TestJob:
    def test_it_waits_before_it_has_a_log(self, study):
        assert job(study).state == "waiting"

    def test_it_is_finished_once_its_metrics_are_there(self, study):
        log(study, 0, "error: of an earlier try\n")
        finish(study, 0, at=1000.0)
        assert (job(study).state, job(study).at) == ("finished", 1000.0)

    def test_metrics_of_another_configuration_do_not_finish_it(self, study):
        finish(study, 0, at=1000.0, lam=0.77)
        assert job(study).state == "outdated"
        finish(study, 1)
        found = overview(study, time.time())
        text = "\n".join(lines(found, time.time()))
        assert "1 of 4 cells finished, 1 outdated, 2 waiting" in text

    def test_it_runs_while_somebody_holds_its_lock(self, study):
        log(study, 0, TRAINS, at=1000.0)
        lock = FileLock(written(Path(study.metrics(study.cells[0])).with_name(".lock"), ""))
        assert job(study).state == "stopped"
        lock.acquire()
        found = job(study)
        lock.release()
        assert found.state == "running"
        assert found.progress == Progress(
            "train", 1024, 4096, "tokens", 8181, "3 min", "loss 0.0834, L0 283.2"
        )
        assert job(study).state == "stopped"

    def test_it_runs_before_it_has_a_lock_for_a_moment(self, study):
        log(study, 0, "gpu lease: no GPU\n", at=1000.0)
        assert job(study, now=1029.0).state == "running"
        assert job(study, now=1031.0).state == "stopped"

    def test_it_failed_where_its_log_ends_in_an_error(self, study):
        log(study, 0, TRAINS + "error: the disk is full;\n  delete something\n")
        assert job(study).state == "failed"
        assert job(study).reason == "the disk is full; delete something"

    def test_a_traceback_is_told_by_its_last_line(self):
        trace = ["Traceback (most recent call last):", "  File x", "KeyError: 'clock'"]
        assert reason_of(["before", *trace]) == "KeyError: 'clock'"
        assert reason_of(["error: one", *trace]) == "KeyError: 'clock'"
        assert reason_of(["all is well"]) == ""

    def test_progress_is_what_stages_print(self, capsys):
        printed = Printed("train small/x, spliced", 4000, "tokens", every=0.0)
        printed.update(500, "loss 0.2")
        printed.update(1000, "loss 0.1")
        printed.update(4000)
        first, under_way, over = capsys.readouterr().err.splitlines()
        begun = Progress.last_of([first])
        assert begun is not None
        assert (begun.done, begun.rate, begun.left, begun.more) == (500, 0, "", "loss 0.2")
        found = Progress.last_of([under_way, "a line of something else"])
        assert found is not None
        assert (found.what, found.done, found.total, found.more) == (
            "train",
            1000,
            4000,
            "loss 0.1",
        )
        assert found.left
        ended = Progress.last_of([under_way, over])
        assert ended is not None
        assert (ended.done, ended.left, ended.more) == (4000, "", "")
        assert Progress.last_of(["nothing"]) is None


class TestOverview:
    def test_the_pace_is_that_of_this_run(self, study):
        """Two of four equal cells took 200 s of a run that is 300 s old; a third is half done."""
        lock = FileLock(written(study.run_lock, ""))
        lock.acquire()
        start = Path(study.run_lock).stat().st_mtime
        finish(study, 0, at=start + 100)
        finish(study, 1, at=start + 200)
        log(study, 2, TRAINS.replace("1,024", "2,048"), at=start + 290)
        own = FileLock(written(Path(study.metrics(study.cells[2])).with_name(".lock"), ""))
        own.acquire()
        found = overview(study, start + 300)
        own.release()
        lock.release()
        assert found.run == f"process {os.getpid()} on {os.uname().nodename}"
        assert found.rate == pytest.approx(2 * 3600 / 300)
        assert found.seconds_left == pytest.approx(1.5 * 300 / 2.5)
        assert (found.stores, found.stores_needed) == (0, 2)

    def test_the_pace_leaves_out_what_came_before_the_first_cell(self, study):
        """Three of four equal cells, the first after 1,000 s of dumps, the others 100 s each."""
        lock = FileLock(written(study.run_lock, ""))
        lock.acquire()
        start = Path(study.run_lock).stat().st_mtime
        for number, at in enumerate((1000, 1100, 1200)):
            finish(study, number, at=start + at)
        found = overview(study, start + 1200)
        lock.release()
        assert found.rate == pytest.approx(36)
        assert found.seconds_left == pytest.approx(100)

    def test_without_a_run_there_is_no_pace(self, study):
        finish(study, 0)
        found = overview(study, time.time())
        assert (found.run, found.rate, found.seconds_left) == ("", None, None)
        text = "\n".join(lines(found, time.time()))
        assert "1 of 4 cells finished, 3 waiting" in text
        assert "the same snakemake command continues" in text
        for number in (1, 2, 3):
            finish(study, number)
        text = "\n".join(lines(overview(study, time.time()), time.time()))
        assert "4 of 4 cells finished\nrun:     none; every cell is finished\n" in text

    def test_jobs_of_other_stages_are_told(self, study):
        now = time.time()
        dump = "dump small-train: 8,192/81,920 rows, 4,100/s, ETA 18 s, 5,100 model tokens/s\n"
        written(study.log("dump", "small-train"), dump)
        written(study.log("tokens", "small-train"), "error: no text\n")
        written(study.log("dump", "small-heldout"), dump, at=now - 500)
        text = "\n".join(lines(overview(study, now), now))
        assert "running:\n  dump/small-train\n    dump 10%, 8,192 of 81,920 rows, 4,100/s" in text
        assert "failed:\n  tokens/small-train\n    no text\n" in text
        assert "heldout" not in text

    def test_sizes_count_what_is_on_the_disk(self, tmp_path):
        written(tmp_path / "a" / "b", "x" * 10_000)
        assert 10_000 <= bytes_under(tmp_path) <= 50_000
        assert bytes_under(tmp_path / "none") == 0


def test_what_failed_and_what_stopped_is_listed_with_its_log(study):
    failed = log(study, 0, "error: too hot\n")
    stopped = log(study, 1, TRAINS, at=time.time() - 700)
    text = "\n".join(lines(overview(study, time.time()), time.time()))
    assert "1 failed, 1 stopped, 2 waiting" in text
    assert f"{study.cells[0].path}\n    too hot\n    {failed}" in text
    assert "train 25%, 1,024 of 4,096 tokens, 8,181/s, 3 min left, loss 0.0834, L0 283.2" in text
    assert f"{stopped} (written 11 min ago)" in text


def test_it_is_watched_until_all_are_finished(study, tmp_path, monkeypatch, capsys):
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        for number in range(2 * len(looks)):
            finish(study, number)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(Study, "load", lambda path: study)
    run.main(tmp_path / "any.yaml", watch=True)
    assert looks == [run.EVERY] * 2
    assert "4 of 4 cells finished" in capsys.readouterr().out


def test_times_and_sizes_in_words():
    assert [duration(seconds) for seconds in (4.2, 61, 3600 * 26 + 120)] == [
        "4 s",
        "1 min",
        "26 h 2 min",
    ]
    assert (gigabytes(31_400_000), gigabytes(17_100_000_000)) == ("31 MB", "17.1 GB")


class TestScreen:
    """What a person sees who watches."""

    def text(self, study: Study) -> str:
        console = Console(width=100, record=True, file=io.StringIO())
        now = time.time()
        console.print(screen.drawn(overview(study, now), now))
        return console.export_text()

    def test_a_bar_for_the_cells_and_one_for_each_running_job(self, study):
        finish(study, 0)
        log(study, 1, TRAINS)
        log(study, 2, "")
        log(study, 3, "error: too hot\n")
        own = FileLock(written(Path(study.metrics(study.cells[1])).with_name(".lock"), ""))
        own.acquire()
        text = self.text(study)
        own.release()
        rows = [line.rstrip() for line in text.splitlines()]
        whole = next(line for line in rows if line.startswith("  cells"))
        assert whole.count("━") == screen.WIDE // 4
        assert whole.endswith("1 of 4")
        job = next(line for line in rows if line.startswith(f"  {study.cells[1].path[:20]}"))
        assert "━" in job
        assert "train 25%" in text
        assert "starting" in text
        assert "failed:" in rows
        assert "    too hot" in rows

    def test_without_cells_that_run_there_is_no_job(self, study):
        assert "running:" not in self.text(study)


def test_watching_on_a_terminal_draws_until_all_are_finished(study, tmp_path):
    config = tmp_path / "study.yaml"
    raw = study.config.model_dump() | {"results": str(tmp_path), "cache": str(tmp_path / "cache")}
    config.write_text(yaml.safe_dump(raw))
    log(study, 0, "gpu lease: no GPU\n")
    looks = []

    def told(running, printed: str) -> None:
        looks.append(printed.count("of 4"))
        if "0 of 4" in plain(printed):
            for number in range(4):
                finish(study, number)

    code = (
        "from pipeline.status import run; run.EVERY = 0.2; from pathlib import Path\n"
        f"run.main(Path({str(config)!r}), watch=True)"
    )
    status, printed = on_terminal("-c", code, told=told)
    assert status == 0, printed
    assert "4 of 4 cells finished" in plain(printed)
    assert "━" in printed
    assert printed.count("\x1b[?25l") == printed.count("\x1b[?25h") == 1
