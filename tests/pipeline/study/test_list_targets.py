"""What a study can be asked for: cells by every axis, targets by name, completed by bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.jobs.json_files import write_json
from pipeline.study.list_cells import main as list_cells
from pipeline.study.study import Study
from pipeline.tools.list_targets import main as list_targets
from pipeline.tools.list_targets import targets
from tests.helpers.made_studies import configuration
from tests.helpers.workflow import ROOT


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "study.yaml"
    raw = configuration(results=str(tmp_path / "results"), dial={"models": ["small"]})
    path.write_text(yaml.safe_dump(raw))
    return path


def cells(config: Path, capsys, **options) -> list[str]:
    list_cells(config, **options)
    return capsys.readouterr().out.splitlines()


def test_cells_are_listed_by_every_axis(config, capsys):
    study = Study.load(config)
    assert cells(config, capsys) == [cell.path for cell in study.cells]
    for axis, value in {
        "model": "small",
        "hookpoint": "resid",
        "variant": "sagsae_sym",
        "recipe": "default",
        "width": 128,
        "lam": 0.05,
        "seed": 2,
    }.items():
        own = "" if axis == "recipe" else value
        expected = [cell.path for cell in study.cells if getattr(cell, axis) == own]
        assert cells(config, capsys, **{axis: str(value)}) == expected
        assert expected, axis


def test_a_cell_is_missing_until_it_has_metrics_of_its_configuration(config, capsys):
    study = Study.load(config)
    finished, outdated, *rest = study.cells
    for cell in (finished, outdated):
        Path(study.metrics(cell)).parent.mkdir(parents=True)
        write_json(study.metrics(cell), {"made_from": study.cell_made_for(finished)})
    missing = [study.metrics(cell) for cell in (outdated, *rest)]
    assert cells(config, capsys, targets=True, missing=True) == missing


def test_targets_are_what_the_study_has(config, capsys):
    study = Study.load(config)
    list_targets(config)
    found = capsys.readouterr().out.splitlines()
    assert found == list(targets(study))
    assert {"all", "verify", "dial", "figure_r2", "figure_curves", "figure_9"} <= set(found)
    assert "browser" not in found
    assert found[-len(study.cells) :] == [study.metrics(cell) for cell in study.cells]
    plain = Study.from_dict(configuration(browser={}))
    assert not {"dial", "probe"} & set(targets(plain))
    asked = set(targets(Study.from_dict(configuration(probe={}, signs={}))))
    assert {"probe", "signs", "figure_probing"} <= asked
    assert "browser" in set(targets(plain))


def completions(*words: str) -> list[str]:
    """What bash is told once the tab key is pressed behind some words."""
    asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
    bound = "source workflow/completion.bash; complete -p snakemake >&2 && _sagsae_targets"
    command = f"{asked}; {bound} && printf '%s\\n' \"${{COMPREPLY[@]}}\""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().split()


@pytest.mark.slow
def test_a_shell_completes_names_and_cells():
    assert "figure_curves" in completions("snakemake", "--cores", "1", "figure_cur")
    start = "results/smoke/cells/tiny-smollm3/re"
    for chosen in (("--configfile",), ("--configfile", "=")):  # bash takes "=" for a word
        before = ("snakemake", *chosen, "workflow/configs/smoke.yaml", "--cores", "1")
        found = completions(*before, start)
        assert found
        assert all(name.startswith(start) and name.endswith("metrics.json") for name in found)
        assert completions("snakemake", *chosen, "w") == []
