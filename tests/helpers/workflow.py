"""Real Snakemake on real folders, and what runs of a study have in common."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd
import yaml

from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study
from tests.helpers import warm
from tests.helpers.real_study import COSTS

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workflow:
    """The project's workflow in a folder of its own."""

    folder: Path
    config: Path | None = None

    def start(
        self,
        *arguments: str,
        output: int | IO[str] = subprocess.PIPE,
        python: str | Path = sys.executable,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Start Snakemake as the leader of a process group; errors go where ``output`` goes.

        It and its jobs start by themselves, as a user's do, unless ``python`` is a warm one.
        """
        snakemake = [str(python), "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        configuration = ["--configfile", str(self.config)] if self.config else []
        options = [*configuration, "--directory", str(self.folder), "--cores", "2"]
        return subprocess.Popen(
            [*snakemake, *options, *arguments],
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""} | environment,
            cwd=ROOT,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end; output and errors together in ``stdout``.

        It and its jobs start warm.
        """
        variables = warm.environment() | environment
        return ended(self.start(*arguments, python=warm.python(), **variables))

    def changed(self, **sections: dict[str, object]) -> Workflow:
        """The same folder under a configuration with some keys of some sections replaced."""
        assert self.config is not None
        raw = yaml.safe_load(self.config.read_text())
        for name, keys in sections.items():
            raw[name] |= keys
        config = self.folder / f"changed-{'-'.join(sections)}.yaml"
        config.write_text(yaml.safe_dump(raw))
        return Workflow(self.folder, config)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs of a dry run by rule; empty when there is nothing to do."""
        done = self.run(*arguments, "--dry-run")
        assert done.returncode == 0, done.stdout
        print(done.stdout)  # the reasons, for whom an assertion on the plan fails
        table = done.stdout.split("Job stats:")[-1] if "Job stats:" in done.stdout else ""
        rows = [line.split() for line in table.splitlines()]
        jobs = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
        if marked := jobs.pop("configuration", 0):  # what says that others are to run
            jobs["total"] -= marked
        return jobs


def workflow_of(folder: Path, configuration: dict[str, Any]) -> Workflow:
    """The workflow in a folder, under a configuration that is written there."""
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(configuration))
    return Workflow(folder, config)


def ended(running: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What a Snakemake printed, and how it ended."""
    output, _ = running.communicate()
    return subprocess.CompletedProcess(running.args, running.returncode, output)


@dataclass(frozen=True, kw_only=True)
class Finished(Workflow):
    """A study that ran to its end."""

    study: Study
    output: str

    def path(self, relative: str) -> Path:
        return self.folder / relative

    def entry(self, record: str) -> Path:
        """The cache's folder that a record of the study names."""
        return entry_folder(self.path(record), read_json(self.path(record)))


RECORDS = ("metrics.json", "training.json", "trained.json")
"""Files of a cell that say what its training cost."""
_JOB = re.compile(r"^(?:local)?rule (\w+):\n.*?^Shell command: ([^\n]*)", re.M | re.S)
_STAGE = re.compile(r".*python -m pipeline (.*) --log \S+")


def reduced_smoke(folder: Path, **sections: Any) -> Path:
    """The smoke study with one model and two cells; ``sections`` are merged into it."""
    raw = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    raw["models"] = raw["models"][1:]
    del raw["dial"]
    raw["grid"] = [
        {"variant": variant, "expansion": expansion, "lambdas": [0.1], "hookpoints": ["resid"]}
        for variant, expansion in (("gated", 4), ("sagsae_tied", 2))
    ]
    raw["checkpoint_seconds"] = 1
    for name, value in sections.items():
        raw[name] = raw[name] | value if isinstance(value, dict) else value
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(raw))
    return config


def planned_stages(output: str) -> list[tuple[str, list[str]]]:
    """Rule, and name with options, of every stage in a dry run that prints its commands.

    Stages that nobody watches need no log.
    """
    stages = [(rule, _STAGE.fullmatch(command)) for rule, command in _JOB.findall(output)]
    return [(rule, shlex.split(stage[1])) for rule, stage in stages if stage]


def content(path: Path, without: tuple[str, ...] = ()) -> bytes:
    """What all runs share of a file; of a cell's records ``without`` some fields, too."""
    if path.name == "cells.csv":
        table = pd.read_csv(path, dtype=str)
        return table.drop(columns=[f"training_{name}" for name in COSTS]).to_csv().encode()
    if path.name == "report.html":
        return _report(path).encode()
    if path.name == "cells.jsonl":
        records = [json.loads(line) for line in path.read_text().splitlines()]
    elif path.name in RECORDS:
        records = [read_json(path)]
    else:
        return path.read_bytes()
    for value in records:
        value.pop("content_sha256", None)  # it covers the costs
        for section in (value, value.get("training", {})):
            for name in COSTS + without:
                section.pop(name, None)
    return json.dumps(records, sort_keys=True).encode()


def _report(path: Path) -> str:
    """A report without the sum of its costs."""
    return re.sub(r"(Training time, all cells\D+)[\d.]+ h", r"\1", path.read_text())


def digest_of(root: Path, names: list[str]) -> str:
    """sha256 over the names below ``root`` and what runs share of the files."""
    assert names, f"nothing to compare in {root}"
    state = hashlib.sha256()
    for name in names:
        shared = content(root / name)
        state.update(f"{name} {len(shared)}\n".encode() + shared)
    return state.hexdigest()


def result_names(study: Path, parts: tuple[str, ...] = ("",)) -> list[str]:
    """Files of parts of a study; logs, hidden files and digests of costs are left out."""
    paths = [path for part in parts for path in (study / part, *(study / part).rglob("*"))]
    names = [path.relative_to(study).as_posix() for path in paths if path.is_file()]
    return sorted(n for n in names if not re.search(r"(^|/)\.|^(logs|cache/studies)/|\.sha256$", n))


def results_digest(study: Path, parts: tuple[str, ...] = ("",)) -> str:
    """sha256 over everything in parts of a study; costs, logs and hidden files are left out."""
    return digest_of(study, result_names(study, parts))


def differences(study: Path, other: Path) -> list[str]:
    """Files that two studies do not share, for whoever reads that their digests differ."""
    names, others = set(result_names(study)), set(result_names(other))
    differing = names ^ others
    differing |= {n for n in names & others if content(study / n) != content(other / n)}
    return sorted(differing)
