"""A study small enough to run again and again: the command of each stage, and what it makes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.study.study import Study
from sagsae.activations.store import Store
from sagsae.training.checkpoint import load_checkpoint
from tests.helpers.real_study import CONFIG
from tests.helpers.small_disk import Stages
from tests.helpers.workflow import ROOT, content, digest_of, planned_stages

RULES = ("asset", "documents", "tokens", "dump", "baselines", "cell")
RULES += ("measures", "cells_tables", "claims_tables", "draw_cells", "draw_cells_curves", "report")
"""Rules whose stages make something, each after those it needs."""
ASIDE = r"(^|/)(logs/|specs/configuration-|cache/studies/|\.run\.lock$)"
STUDY = Path("results/small")
CONFIGURATION: dict[str, Any] = CONFIG | {
    "claims": "sa_gsae",
    "cache": "results/small/cache",
    "checkpoint_seconds": 1,
    "text": CONFIG["text"]
    | {"source": {"kind": "random", "documents": 200, "words": 40}, "heldout_fraction": 0.25},
    "dump": CONFIG["dump"] | {"train_rows": 2048, "heldout_rows": 512, "slack": 0.3},
    "grid": [
        {"variant": "sagsae_tied", "width": 64, "lambdas": [0.1, 0.2], "hookpoints": ["resid"]}
    ],
    "training": {"tokens": 16384, "batch_size": 256},
    "evaluation": {"lr_contexts": 8},
    "comparisons": [
        {
            "candidate": {"variant": "sagsae_tied", "width": 64},
            "baseline": {"variant": "sagsae_tied", "width": 64},
            "matched_l0": [8],
        }
    ],
}


@dataclass(frozen=True)
class Stage:
    """One stage of the study.

    Attributes:
        arguments: Its module and command line; paths are relative to the folder it runs in.
        makes: The files of an undisturbed run, relative to the study's folder.
    """

    arguments: list[str]
    makes: frozenset[str]


def commands(
    folder: Path, configuration: dict[str, Any], rules: tuple[str, ...]
) -> dict[str, list[list[str]]]:
    """Module and command line of every stage by rule, as the workflow would start them.

    Each of ``rules`` has one at least.
    """
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(configuration))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores=1"]
    options = ["--configfile", config, "--directory", folder, "--dry-run", "--printshellcmds"]
    plan = subprocess.run([*snakemake, *options], cwd=ROOT, capture_output=True, text=True)
    planned: dict[str, list[list[str]]] = {rule: [] for rule in RULES}
    for rule, arguments in planned_stages(plan.stdout + plan.stderr):
        planned[rule].append(arguments)
    assert all(planned[rule] for rule in rules), f"{plan.stdout}\n{plan.stderr}"
    study = Study.from_dict(configuration)
    study.write_shared_specs(folder)
    scope = folder / STUDY / "measures/study.json"  # a copy, and no stage
    scope.parent.mkdir(parents=True)
    shutil.copy(folder / study.shared_specs["scope"], scope)
    return planned


@dataclass(frozen=True)
class Reference:
    """The study as it comes out when nothing is amiss.

    Attributes:
        folder: Where it lies.
        stages: By rule.
    """

    folder: Path
    stages: dict[str, list[Stage]]

    @property
    def study(self) -> Path:
        return self.folder / STUDY

    def prepare(self, folder: Path, stage: Stage) -> None:
        """Put what a stage reads in ``folder``, as links, and nothing of what it makes."""
        (folder / STUDY).mkdir(parents=True)
        self._link(folder, self.study, stage)

    def _link(self, folder: Path, shared: Path, stage: Stage) -> None:
        """Link what other stages made in a folder, one by one where this one makes more."""
        mine = {parent for name in stage.makes for parent in (self.study / name).parents}
        for entry in shared.iterdir():
            name = entry.relative_to(self.study)
            if entry in mine:
                if any(file not in stage.makes for file in self._files(entry)):
                    (folder / STUDY / name).mkdir()
                    self._link(folder, entry, stage)
            elif name.as_posix() not in stage.makes:
                (folder / STUDY / name).symlink_to(entry)

    def _files(self, below: Path) -> set[str]:
        paths = (path for path in below.rglob("*") if path.is_file())
        return {path.relative_to(self.study).as_posix() for path in paths}

    def differences(self, folder: Path, stage: Stage) -> list[str]:
        """What a finished run in ``folder`` made otherwise, left out or left behind."""
        files = files_below(folder / STUDY)
        strange = [f"{name}: left behind" for name in sorted(files - stage.makes)]
        absent = [f"{name}: missing" for name in sorted(stage.makes - files)]
        return strange + absent + self._altered(folder, files & stage.makes)

    def digest(self, folder: Path, stage: Stage) -> str:
        """sha256 over what a run in ``folder`` made, costs left out."""
        return digest_of(folder / STUDY, sorted(stage.makes))

    def torn(self, folder: Path, stage: Stage) -> list[str]:
        """Files of a run that failed in ``folder`` which are not whole, or temporary ones."""
        study = folder / STUDY
        files = files_below(study)
        faults = self._altered(folder, files & stage.makes, without=("evaluated", "orphaned"))
        for name in sorted(files - stage.makes):
            if "/checkpoint-" in name:
                load_checkpoint(study / name)  # or it raises
            else:
                faults.append(f"{name}: not a file of this stage")
        for commits in study.glob("cache/stores/*/commits"):
            if any(commits.glob("*.json")):
                Store.open(commits.parent, require_sealed=False)  # or it raises
        return faults

    def _altered(self, folder: Path, names: set[str], without: tuple[str, ...] = ()) -> list[str]:
        return [
            f"{name}: altered"
            for name in sorted(names)
            if content(folder / STUDY / name, without) != content(self.study / name, without)
        ]


def files_below(folder: Path) -> set[str]:
    """Files that are really there, relative to ``folder``.

    Logs and the run's lock aside, and the configuration, which names the folder of the results.
    """
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(folder).as_posix() for path in paths}
    return {name for name in names if not re.search(ASIDE, name)}


def ancient_if_current(folder: Path) -> dict[Path, int]:
    """Work that no later run has to do again, and when it was done: blocks, trained weights."""
    commits = folder.glob(f"{STUDY}/cache/stores/*/commits/*.json")
    trained = folder.glob(f"{STUDY}/cells/*/*/*/*/.state/trained.json")
    weights = (path.with_name("sae.safetensors") for path in trained)
    return {path: path.stat().st_mtime_ns for path in (*commits, *weights)}


def run_study(
    stages: Stages,
    folder: Path,
    configuration: dict[str, Any] = CONFIGURATION,
    rules: tuple[str, ...] = RULES,
) -> Reference:
    """Run the stages of ``rules`` in ``folder``."""
    made: dict[str, list[Stage]] = {}
    planned = commands(folder, configuration, rules)
    before = files_below(folder / STUDY)
    for rule in rules:
        for arguments in planned[rule]:
            done = stages.run(folder, *arguments)
            assert done.status == 0, done.output
            after = files_below(folder / STUDY)
            made.setdefault(rule, []).append(Stage(arguments, frozenset(after - before)))
            before = after
    return Reference(folder, made)
