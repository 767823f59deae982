"""Tables, figures, claims and report of a study from the metrics of its cells alone.

    python -m pipeline rebuild --from results/reference/local --out DIR [--tables-only]

No store and no weights: Snakemake runs the rules after the metrics, and those after steering and
probes, on what ``pipeline publish`` keeps. The same input gives the same bytes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from pipeline.config.study_config import StudyConfig
from pipeline.config.synthetic import PROTOCOLS
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import Progress
from pipeline.study.figures import SYNTHETIC_FIGURES
from pipeline.study.formats import converted_synthetic
from pipeline.study.outputs import CONFIGURATION, DIAL_RUNS, ENVIRONMENT, PROBE_RUNS, RUNS
from pipeline.study.study import Study

SNAKEFILE = Path(__file__).resolve().parents[2] / "Snakefile"
RULES = (
    *("tables", "make_tables", "claims", "figures", "draw_figure", "report", "synthetic"),
    *("dial_tables", "probe_tables", "ranking_tables", "draw_curves", "convert_table"),
    *(f"synthetic_table_{name}" for name in ("summary", *PROTOCOLS)),
    *SYNTHETIC_FIGURES,
)
"""All that make something of metrics, of what steering and probes found and of synthetic runs; the
others would want a store."""
GIVEN = ("cells", DIAL_RUNS, PROBE_RUNS, RUNS, ENVIRONMENT)
"""What is taken of a published study."""
KEPT = ("cells", DIAL_RUNS, PROBE_RUNS, PurePath(RUNS).name)
UNKEPT = (*KEPT, "logs", "specs", ".*", ENVIRONMENT)
"""Names of what is not a result."""


STEPS = re.compile(r"(\d+) of (\d+) steps .* done$")
"""How Snakemake says how far it is."""


class RebuildError(RuntimeError):
    """A study that could not be made again; what Snakemake printed says why."""


def rebuild(source: Path, out: Path, *, tables_only: bool = False) -> Study:
    """Write tables, figures, synthetic tables and the report of a published study into ``out``.

    Args:
        source: The published study: configuration, environment, metrics, synthetic runs if any.
        out: Folder of the results; may be ``source``.
        tables_only: Without figures and report, most of the time of a study of many recipes.

    Raises:
        RebuildError: Snakemake failed.
    """
    config = read_json(source / CONFIGURATION) | {"results": "results"}
    drop_unknown_keys(config)
    study = Study.from_dict(config, str(source / CONFIGURATION))
    targets = ["tables"] if tables_only else ["tables", "figures", study.report]
    with TemporaryDirectory() as scratch:
        root = Path(scratch, study.root)
        for part in filter(lambda part: (source / part).exists(), GIVEN):
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            (root / part).symlink_to((source / part).absolute())
        if (source / RUNS).exists():
            targets += _synthetic_tables(study) if tables_only else ["synthetic"]
            figures = () if tables_only else map(study.figure, SYNTHETIC_FIGURES)
            for name in (study.synthetic_table("summary"), *figures):
                placed = Path(scratch, name)  # for rules that read what is there; made before them
                placed.parent.mkdir(parents=True, exist_ok=True)
                placed.touch()
        Path(scratch, CONFIGURATION).write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory"]
        command += [scratch, "--configfile", str(Path(scratch, CONFIGURATION)), "--cores", "all"]
        command += ["--quiet", "rules", "--forceall", "--allowed-rules", *RULES, "--"]
        command += targets
        if _run(command, f"rebuild {study.config.study}"):
            raise RebuildError(f"{source}: not made again; the lines above say why")
        shutil.copytree(root, out, ignore=shutil.ignore_patterns(*UNKEPT), dirs_exist_ok=True)
    return study


def drop_unknown_keys(config: dict[str, Any]) -> None:
    """Remove keys of earlier versions from a published configuration."""
    try:
        StudyConfig.model_validate(config)
    except ValidationError as error:
        for fault in error.errors():
            if "unknown key" in fault["msg"]:
                *path, key = fault["loc"]
                section: dict[Any, Any] = reduce(getitem, path, config)
                del section[key]


def _synthetic_tables(study: Study) -> list[str]:
    made = [study.synthetic_table(name) for name in ("summary", *PROTOCOLS)]
    return [*made, *converted_synthetic(study)]


def _run(command: Sequence[str], title: str) -> int:
    """Run Snakemake and show how far it is; what it said else is printed if it fails."""
    said, progress = [], Progress(title, 1, "steps")
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if found := STEPS.match(line):
                done, progress.total = map(int, found.groups())
                progress.update(done)
            else:
                said.append(line)
    if running.returncode:
        sys.stderr.write("".join(said))
    return running.returncode


def main(from_: Path, out: Path, tables_only: bool = False) -> None:
    """Run the stage.

    Args:
        from_: published study
        out: where the results go
        tables_only: no figures and no report
    """
    rebuild(from_, out, tables_only=tables_only)
