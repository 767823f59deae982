"""What ends a run that failed, and where no cores are given: under a scheduler."""

from __future__ import annotations

from pathlib import Path

from pipeline.__main__ import stage_parser
from pipeline.study.study import Study
from pipeline.tools import planning
from tests.helpers.real_study import configuration


def no_cores() -> int:
    raise RuntimeError("Workflow requires a total number of cores to be defined")


def test_a_failure_under_a_scheduler_ends_with_what_is_there(monkeypatch, tmp_path, capsys):
    study, log = Study.from_dict(configuration(tmp_path)), tmp_path / "snakemake.log"
    monkeypatch.setattr(planning, "preview", lambda _, cores: Path(f"report-{cores}.html"))
    log.write_text("a job failed")
    planning.after_failure(study, [str(log)], no_cores)
    assert "report-1.html" in capsys.readouterr().out
    log.write_text("terminating at user request")
    planning.after_failure(study, [str(log)], no_cores)
    assert not capsys.readouterr().out


def test_no_option_is_short_for_another():
    options = stage_parser("cost").parse_args(["--configfile", "a.yaml", "--config", "cache=/c"])
    assert (options.configfile, options.config) == (Path("a.yaml"), ["cache=/c"])
