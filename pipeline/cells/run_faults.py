"""Checks of what steering and probes found: made for this configuration, with weights of now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel

from pipeline.jobs.findings import Absent, Checked, Fault, Findings, made_for, size_of
from pipeline.jobs.json_files import digest, read_json
from pipeline.study.cell import Cell
from pipeline.study.dial_runs import DialRun, read_dial_run
from pipeline.study.metrics import MetricsError
from pipeline.study.probe_runs import ProbeRun, read_probe_run
from pipeline.study.study import Study


class Used(Protocol):
    """A cell whose weights a run has used."""

    @property
    def cell(self) -> Cell: ...

    @property
    def weights_sha256(self) -> str: ...


Run = TypeVar("Run", DialRun, ProbeRun)


def dial_run_faults(study: Study) -> Findings:
    """Check every job of the dial that the study asks for."""

    def used(run: DialRun) -> Iterable[Used]:
        return filter(None, (run.candidate, run.baseline))

    return _faults(study, study.dials, read_dial_run, used, "steered", "steered with")


def probe_run_faults(study: Study) -> Findings:
    """Check every job of the probes that the study asks for."""

    def used(run: ProbeRun) -> Iterable[Used]:
        return run.cells

    return _faults(study, study.probes, read_probe_run, used, "probed", "probed")


def _faults(
    study: Study,
    specs: Mapping[str, BaseModel],
    read: Callable[[Path], Run],
    used: Callable[[Run], Iterable[Used]],
    done: str,
    did: str,
) -> Findings:
    """Check the files of runs.

    Args:
        study: Whose runs they are.
        specs: File of each run -> its specification.
        read: Raises MetricsError for a file that is damaged.
        used: The cells of a run.
        done: What was done to its place.
        did: The same before the weights.
    """
    for file, spec in specs.items():
        if not Path(file).exists():
            yield Absent(file)
            continue
        yield Checked("", size_of(Path(file)))
        try:
            found = read(Path(file))
        except MetricsError as error:
            yield Fault(file, error)
            continue
        yield Checked(f"places {done}")
        yield from made_for(file, "specification", found.spec, digest(spec))
        for one in used(found):
            if _weights_of(study, one.cell) not in (None, one.weights_sha256):
                yield Fault(file, f"{did} weights that {one.cell.path} no longer has")


def _weights_of(study: Study, cell: Cell) -> str | None:
    """Digest of the weights that a cell was measured with; None where that cannot be known."""
    try:
        return str(read_json(study.metrics(cell))["made_from"]["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
