"""``python -m pipeline``: stages are listed, arguments have help, a job prepares its process."""

from __future__ import annotations

import os
import re

import pytest

from pipeline.__main__ import MODULES, STAGES, TOOLS, main, module_of, stage_parser
from pipeline.jobs.stage import SPIN_COUNT, prepare_process
from pipeline.study.study_config import LOOKS
from sagsae.files import signed_json
from tests.helpers.workflow import ROOT

NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def test_every_argument_has_help():
    parsers = {name: stage_parser(name) for name in MODULES}
    assert [name for name, parser in parsers.items() if not parser.description] == []
    silent = [
        (name, a.dest) for name, parser in parsers.items() for a in parser._actions if not a.help
    ]
    assert silent == []


def test_help_shows_a_line_for_each_tool_and_names_the_stages(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    assert len(TOOLS) <= 12
    assert all(f"\n  {name} " in shown and text in shown for name, (_, text) in TOOLS.items())
    assert set(STAGES) <= set(re.findall(r"[\w-]+", shown))
    assert not set(STAGES) & set(TOOLS)


def test_an_unknown_stage_lists_those_there_are():
    with pytest.raises(SystemExit) as stop:
        main(["evaluated"])
    assert str(stop.value).startswith("error: no command 'evaluated'\n\nusage: ")


DAMAGED = pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"cells": []}', "not a JSON object with a content_sha256 key"),
        (signed_json({"colour": 1}).decode(), "colour: unknown key|Field required"),
        (None, "No such file"),
    ],
)


@pytest.mark.parametrize("stage", ["cell", "dial"])
@DAMAGED
def test_a_file_that_is_no_specification_is_named_with_what_is_wrong(
    stage, content, problem, tmp_path, capsys
):
    """Snakemake's log has nothing but this message."""
    file = tmp_path / "spec.json"
    if content is not None:
        file.write_text(content)
    option = next(
        a.option_strings[0] for a in stage_parser(stage)._actions if a.dest.endswith("spec")
    )
    with pytest.raises(SystemExit):
        stage_parser(stage).parse_args([option, f"@{file}"])
    shown = capsys.readouterr().err
    assert re.search(problem, shown)
    assert "Spec: " in shown or str(file) in shown


@pytest.mark.parametrize("stage", ["tables", "report"])
@DAMAGED
def test_measures_without_a_readable_scope_are_named_with_what_is_wrong(
    stage, content, problem, tmp_path
):
    file = tmp_path / "study.json"
    if content is not None:
        file.write_text(content)
    actions = stage_parser(stage)._actions
    options = [a.option_strings[0] for a in actions if a.required]
    assert "--measures" in options
    with pytest.raises((ValueError, FileNotFoundError), match=problem) as stop:
        main([stage, *(part for option in options for part in (option, str(tmp_path)))])
    assert str(file) in str(stop.value)


def test_rules_name_stages_only():
    rules = [*(ROOT / "workflow" / "rules").glob("*.smk"), ROOT / "Snakefile"]
    named = [
        part.split()[0].strip("\"'")
        for path in rules
        for part in path.read_text().split("python -m pipeline")[1:]
    ]
    assert len(set(named)) > 15
    assert set(named) - {"{params.kind:q}"} <= set(MODULES)
    assert all(map(module_of, LOOKS))  # kinds of jobs that look into cells


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [str(SPIN_COUNT), None]),
        ({"GOMP_SPINCOUNT": "7"}, ["7", None]),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, [None, "PASSIVE"]),
    ],
)
def test_a_job_says_how_long_idle_threads_spin(given, expected, monkeypatch):
    monkeypatch.setattr("pipeline.jobs.stage.relax_gc", lambda: None)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(
        "GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT", "")
    )  # put back afterwards
    if "GOMP_SPINCOUNT" not in given:
        del os.environ["GOMP_SPINCOUNT"]
    prepare_process()
    assert list(map(os.environ.get, NAMES)) == expected
