"""Stage: check everything that a study has on disk; list every fault with its remedy.

    snakemake --cores 4 verify
    python -m pipeline verify --configfile FILE.yaml

Both do the same; the second one shows bars on a terminal.

Nothing is changed. The exit status is 1 if there is a fault. Missing outputs of an unfinished study
are not faults.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pipeline.cells.checks import check_cell, check_look, check_spec
from pipeline.config.spelling import CellNameError
from pipeline.config.synthetic import PROTOCOLS
from pipeline.jobs.findings import (
    Absent,
    Checked,
    Fault,
    Findings,
    Note,
    amount,
    removal,
    size_of,
)
from pipeline.jobs.json_files import ADVICE, json_argument, read_json
from pipeline.jobs.progress import Progress
from pipeline.study.browser import browser_specs
from pipeline.study.cell import Cell
from pipeline.study.curve_files import figures_with_curves
from pipeline.study.formats import converted_tables, figure_files
from pipeline.study.outputs import METRICS
from pipeline.study.study import Study
from pipeline.verify.inputs import check_activations, check_assets
from sagsae.files import TEMPORARY_SUFFIXES

FINISHED = "cells of the grid"
SHOWN = 10
"""Names of absent files and left-over temporaries that are listed one by one."""


@dataclass
class Audit:
    """Everything found in one study.

    Attributes:
        study: What is checked; its paths are relative to the working directory.
        options: Snakemake's options that choose the study, for the commands of the remedies.
        faults: In the order in which they are to be mended; their remedies are complete.
        absent: Files that the study has not made yet.
        notes: What is no fault and should be known.
        checked: What was found sound or not, by kind.
        size: Bytes read.
    """

    study: Study
    options: str = ""
    faults: list[Fault] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def add(self, findings: Findings) -> None:
        """Enter what a check yields."""
        for found in findings:
            match found:
                case Fault():
                    remedy = found.remedy.replace("{}", self.command(found))
                    file = str(found.file)
                    problem = str(found.problem).removeprefix(f"{file}: ").removesuffix(ADVICE)
                    self.faults.append(Fault(file, problem, remedy=remedy))
                case Absent(file):
                    self.absent.append(str(file))
                case Note(text):
                    self.notes.append(text)
                case Checked(kind, size, count):
                    self.size += size
                    if kind:
                        self.checked[kind] += count

    def command(self, fault: Fault) -> str:
        """The shell command that makes one file again and nothing that was made from it.

        A deleted file would do as well, but takes with it the cells whose input it is.
        """
        first = f"{removal(fault.delete)} && " if fault.delete else ""
        target = shlex.quote(str(fault.target or fault.file))
        return f"{first}snakemake --cores all{self.options} --force {target}"


def verify(study: Study, options: str = "") -> Audit:
    """Check a study, from its models to its report.

    Args:
        study: Its paths are relative to the working directory.
        options: Snakemake's options that choose the study, for the commands of the remedies.
    """
    audit = Audit(study, options)
    for findings in checks(study).values():
        audit.add(findings)
    return audit


def checks(study: Study) -> dict[str, Findings]:
    """What each wing checks of a study, in the order in which faults are to be mended."""
    return {
        "assets": check_assets(study),
        "activations": check_activations(study),
        "cells": _cells(study),
        "looks": _looks(study),
        "synthetic": _synthetic(study),
        "outputs": _outputs(study),
        "leftovers": _leftovers(study),
    }


def _cells(study: Study) -> Findings:
    """Every cell of the grid, and every other one that this study can make."""
    root, grid, others, strangers = Path(study.cells_root), set(study.cells), [], []
    for metrics in sorted(root.glob(f"*/*/*/*/{METRICS}")):
        name = metrics.parent.relative_to(root).as_posix()
        try:
            cell = study.cell_named(**Cell.from_path(name).words)
        except CellNameError:
            strangers.append(name)
            continue
        if cell not in grid:
            others.append(cell)
    progress = Progress("verify cells", len(grid) + len(others), "cells")
    for done, cell in enumerate([*study.cells, *others], start=1):
        if (file := Path(study.metrics(cell))).exists():
            kind = FINISHED if cell in grid else "cells beside the grid"
            yield from _checked(file, partial(check_cell, study, cell), kind, size_of(file.parent))
        progress.update(done)
    if strangers:
        yield Note(f"folders that are no cells of this study: {_some(strangers)}")


def _looks(study: Study) -> Findings:
    """What steering and probes found."""
    for file in study.look_specs:
        kind = "places steered" if file in study.dials else "places probed"
        if not (path := Path(file)).exists():
            yield Absent(file)
            continue
        yield from _checked(path, partial(check_look, study, file), kind, size_of(path))


def _synthetic(study: Study) -> Findings:
    """Runs of synthetic protocols that are there; no other target makes them."""

    def check(file: Path, protocol: str, seed: int) -> None:
        spec = study.synthetic_spec(protocol, seed)
        check_spec(file, "specification", read_json(file)["spec"], spec)

    for protocol, seed in product(PROTOCOLS, study.config.synthetic.seeds):
        if (file := Path(study.synthetic_run(protocol, seed))).exists():
            found = partial(check, file, protocol, seed)
            yield from _checked(file, found, "synthetic runs", size_of(file))


def _checked(file: Path, check: Callable[[], None], kind: str, size: int) -> Findings:
    """What a check raises about a file.

    Args:
        file: Which.
        check: Raises what is wrong.
        kind: What it is counted as if it is sound.
        size: Bytes that are read.
    """
    yield Checked("", size)
    try:
        check()
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        yield Fault(file, error)
    else:
        yield Checked(kind)


def _outputs(study: Study) -> Findings:
    tables = [*map(study.table, study.every_table), *converted_tables(study)]
    curves = figures_with_curves(study)
    drawn, ends = [*study.figures, *curves], figure_files(study)
    figures = [study.figure(name, end) for name in drawn for end in ends]
    shown = browser_specs(study)
    pages = [*shown, study.browser_page] if shown else []
    for file in (*tables, *figures, study.report, *pages):
        there = Path(file).exists()
        kind = "tables, figures and reports"
        yield Checked(kind, size_of(Path(file))) if there else Absent(file)


def _leftovers(study: Study) -> Findings:
    below = (path for root in (str(study.root), study.cache) for path in Path(root).rglob("*"))
    if found := sorted({str(path) for path in below if path.name.endswith(TEMPORARY_SUFFIXES)}):
        yield Note(
            f"{len(found)} left over by killed jobs; the next job there removes them, or delete "
            f"them while nothing runs: {_some(found)}"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def report(audit: Audit) -> str:
    """Faults, then notes, then what was checked."""
    study, lines = audit.study, []
    if audit.faults:
        lines += [f"{len(audit.faults)} fault(s), to be mended from the first to the last:", ""]
        lines += [
            f"{fault.file}\n  {fault.problem}\n  remedy: {fault.remedy}\n" for fault in audit.faults
        ]
        lines += [f"The commands are for {Path.cwd()}; then run this study as always.", ""]
    lines += [f"note: {note}" for note in audit.notes]
    if audit.absent:
        lines.append(f"not made yet: {_some(audit.absent)}")
    finished = audit.checked[FINISHED]
    counts = [f"{kind} {n:,}" for kind, n in audit.checked.items() if kind != FINISHED]
    verdict = f"{len(audit.faults)} FAULT(S)" if audit.faults else "no fault"
    lines.append(
        f"study {study.config.study}: {verdict}; {finished:,} of {len(study.cells):,} cells "
        f"finished; checked: {', '.join(counts)}; {amount(audit.size)} read"
    )
    return "\n".join(lines)


def _study(config: Any, configfile: Sequence[Path]) -> Study:
    """The study of a configuration, or of the file that holds it."""
    if config is not None:
        return Study.from_dict(config)
    if len(configfile) > 1:
        sys.exit("error: give one --configfile, or ask Snakemake, which merges several")
    return Study.load(*configfile)


def main(
    config: Annotated[Any, json_argument] = None,
    configfile: Sequence[Path] = (),
) -> None:
    """Run the stage.

    Args:
        config: the study's configuration as JSON, or @FILE that holds it; else it is read
        configfile: configuration of the study (default: the local study)
    """
    chosen = f" --configfile {shlex.join(map(str, configfile))}" if configfile else ""
    study = _study(config, configfile)
    audit = verify(study, chosen)
    print(report(audit), flush=True)
    sys.exit(1 if audit.faults else 0)
