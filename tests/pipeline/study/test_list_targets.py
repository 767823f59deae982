"""What a study can be asked for: cells by every axis, targets by name, completed by real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline.jobs.json_files import digest, write_json
from pipeline.study.list_cells import main as list_cells
from pipeline.study.study import Study
from pipeline.tools.list_targets import main as list_targets
from pipeline.tools.list_targets import targets
from tests.e2e.conftest import ROOT
from tests.pipeline.made_grid import configuration

SHELLS = {
    "bash": (["bash", "--norc", "-i"], ""),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -U compinit bashcompinit && compinit -u && bashcompinit; ",
    ),
}
"""Shell -> how it is started without anybody's settings, and what completion needs."""


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


def test_targets_of_cells_are_files_that_snakemake_makes(config, capsys):
    study = Study.load(config)
    every = cells(config, capsys, targets=True)
    assert every == [study.metrics(cell) for cell in study.cells]


def test_a_cell_is_missing_until_it_has_metrics_of_its_configuration(config, capsys):
    study = Study.load(config)
    finished, outdated, *rest = study.cells
    evaluate = digest(study.evaluate_spec(finished))
    for cell in (finished, outdated):
        made_from = {"train": digest(study.train_spec(finished)), "evaluate": evaluate}
        Path(study.metrics(cell)).parent.mkdir(parents=True)
        write_json(study.metrics(cell), {"made_from": made_from})
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
    assert {"probe", "figure_probing"} <= set(targets(Study.from_dict(configuration(probe={}))))
    assert "browser" in set(targets(plain))


def completes(shell: str, line: str, rest: str) -> bool:
    """Whether a shell adds the rest of a word once the tab key is pressed behind a line."""
    command, prepare = SHELLS[shell]
    ours, theirs = pty.openpty()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    names = {"TERM": "dumb", "PATH": path, "PYTHONPATH": str(ROOT), "PS1": "> ", "PROMPT": "> "}
    running = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=os.environ | names,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        os.write(ours, f"{prepare}source workflow/completion.bash; echo rea''dy\n".encode())
        assert shown(ours, "ready\n")
        os.write(ours, line.encode() + b"\t")
        return shown(ours, rest)
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def shown(terminal: int, text: str) -> bool:
    """Whether a text appears within two minutes."""
    printed, end = b"", time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([terminal], [], [], 1.0)[0]:
            printed += os.read(terminal, 65536)
        seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x00-\x08\r]", "", printed.decode(errors="replace"))
        if text in seen:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_names_and_cells(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    assert completes(shell, "snakemake --cores 1 figure_cur", "ves")
    before = "snakemake --configfile workflow/configs/smoke.yaml --cores 1"
    assert completes(shell, f"{before} results/smoke/cells/tiny-smollm3/re", "sid/")
