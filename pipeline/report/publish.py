"""Keep a study without its stores and weights: what can be committed and rebuilt.

    python -m pipeline publish --configfile FILE.yaml --out results/reference/local

The folder gets the metrics of every cell, the training curves that are drawn and what steering and
probes found as they are, the resolved configuration, what it was run with, and tables, figures and
claims rebuilt from those; they must equal the study's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from filecmp import cmpfiles
from pathlib import Path, PurePath
from typing import Any

from pipeline.jobs.json_files import write_json
from pipeline.report.environment import installed, machine
from pipeline.report.rebuild import rebuild
from pipeline.study import outputs
from pipeline.study.cell import Cell
from pipeline.study.curve_files import drawn_cells
from pipeline.study.dial_runs import read_dial_run
from pipeline.study.metrics import CellMetrics, read_all
from pipeline.study.probe_runs import read_probe_run
from pipeline.study.study import Study
from sagsae.files import write_atomic

RECORDS = Path(".snakemake", "metadata")
"""Where Snakemake keeps a record of each file that a job made."""


class PublishError(ValueError):
    """A study that cannot be kept as it is; the message says what to do."""


def publish(study: Study, out: Path, workdir: Path = Path()) -> None:
    """Collect a finished study in ``out``, which is replaced.

    Args:
        study: Its paths are relative to ``workdir``.
        out: Folder of the published study.
        workdir: Where Snakemake ran.

    Raises:
        MetricsError: a cell of the grid has no usable metrics, or a place no steering or probes.
        PublishError: a table, a figure or the report of the study does not follow from them.
    """
    root, partial = workdir / study.root, out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _collect(study, root, partial, workdir, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def _collect(study: Study, root: Path, partial: Path, workdir: Path, out: Path) -> None:
    """Fill ``partial`` with all that ``out`` shall have."""
    cells = _keep_cells(study, study.cells, root, partial)
    _keep_looks(study, study.look_specs, root, partial)
    environment = _environment(study, cells.values(), workdir)
    write_json(partial / outputs.ENVIRONMENT, environment)
    if (root / outputs.SYNTHETIC_SUMMARY).exists():
        shutil.copytree(
            root / outputs.RUNS, partial / outputs.RUNS, ignore=shutil.ignore_patterns(".*")
        )
    rebuild(partial, partial)
    _must_agree(root, partial)
    (partial / outputs.REPORT).unlink()  # megabytes of images that lie beside it
    write_atomic(partial / outputs.README, _readme(study, environment, out).encode())


def _keep_cells(
    study: Study, cells: Iterable[Cell], root: Path, out: Path
) -> dict[Cell, CellMetrics]:
    """Copy the metrics of some cells, the curves of those that are drawn, the configuration."""
    found = read_all(root / "cells", cells)
    drawn = set(drawn_cells(study))
    for cell in found:
        folder, own = out / "cells" / cell.path, root / "cells" / cell.path
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / outputs.METRICS, (own / outputs.METRICS).read_bytes())
        if cell in drawn and (own / outputs.CURVE).exists():
            write_atomic(folder / outputs.CURVE, (own / outputs.CURVE).read_bytes())
    write_json(out / outputs.CONFIGURATION, study.config.model_dump())
    return found


def _keep_looks(study: Study, files: Iterable[str], root: Path, out: Path) -> None:
    """Copy some results of steering and of probes."""
    for path in files:
        file = PurePath(path).relative_to(study.root)
        (read_dial_run if path in study.dials else read_probe_run)(root / file)
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out / file, (root / file).read_bytes())


def _must_agree(root: Path, rebuilt: Path) -> None:
    results = (rebuilt / part for part in ("tables", "figures", outputs.SYNTHETIC))
    made = [path for folder in results if folder.exists() for path in folder.glob("*.*")]
    names = [outputs.REPORT, *(path.relative_to(rebuilt).as_posix() for path in sorted(made))]
    _, differing, absent = cmpfiles(root, rebuilt, names, shallow=False)
    if stale := differing + absent:
        raise PublishError(
            f"{root}: {', '.join(stale)} do not follow from the metrics of the cells: "
            "run the study to its end with this version first"
        )


def _environment(study: Study, cells: Iterable[CellMetrics], workdir: Path) -> dict[str, Any]:
    seconds = [cell.training.seconds for cell in cells]
    return {
        "versions": installed(),
        "machine": machine(),
        "busy_seconds": busy_seconds(workdir / RECORDS, study.path("logs")),
        "training_seconds": sum(seconds),
        "cells": len(seconds),
    }


def busy_seconds(records: Path, logs: str) -> float:
    """Wall time in which at least one job of a study ran, from Snakemake's records of its jobs.

    A job that made several files has a record for each; jobs made again count as their last run.
    """
    spans = set()
    for path in records.rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text())
            if any(log.startswith(logs) for log in record.get("log") or []):
                spans.add((record["starttime"], record["endtime"]))
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _readme(study: Study, environment: dict[str, Any], out: Path) -> str:
    versions = ", ".join(f"{name} {found}" for name, found in environment["versions"].items())
    hours = environment["busy_seconds"] / 3600
    training = environment["training_seconds"] / 3600
    steered = "`dial/` what steering found at each place,\n" if study.dials else ""
    steered += "`probe/` what probes found of the codes at each place,\n" if study.probes else ""
    return f"""# Study `{study.config.study}`

{study.config.note}

| | |
|---|---|
| cells | {environment["cells"]} |
| machine | {environment["machine"]} |
| wall time in which a job ran on this machine | {hours:.2f} h |
| training, summed over cells | {training:.2f} h |
| versions | {versions} |

`tables/claims.md` is the claims page, `tables/comparison.md` the main comparison; each figure lies
beside the numbers that it draws. `cells/` holds the metrics of every cell as evaluation wrote them,
{steered}`configuration.json` the resolved configuration. Everything else here follows from these:
`python -m pipeline rebuild --from {out} --out FOLDER` makes it again, and the report.
"""


def main(configfile: Path, out: Path) -> None:
    """Run the stage.

    Args:
        configfile: configuration of the study
        out: the published folder
    """
    publish(Study.load(configfile), out)
