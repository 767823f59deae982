"""Checks of what steering found: made for this configuration, with the weights that cells have."""

from __future__ import annotations

from pathlib import Path

from pipeline.jobs.findings import Absent, Checked, Fault, Findings, made_for, size_of
from pipeline.jobs.json_files import digest, read_json
from pipeline.study.cell import Cell
from pipeline.study.dial_runs import DialRun, read_dial_run
from pipeline.study.metrics import MetricsError
from pipeline.study.study import Study


def faults(study: Study) -> Findings:
    """Check every job of the dial that the study asks for."""
    for file, spec in study.dials.items():
        if not Path(file).exists():
            yield Absent(file)
            continue
        yield Checked("", size_of(Path(file)))
        try:
            found = read_dial_run(Path(file))
        except MetricsError as error:
            yield Fault(file, error)
            continue
        yield Checked("places steered")
        yield from made_for(file, "specification", found.spec, digest(spec))
        yield from _weights(study, file, found)


def _weights(study: Study, file: str, found: DialRun) -> Findings:
    """Faults where a cell has been trained to other weights since."""
    for side in filter(None, (found.candidate, found.baseline)):
        now = weights_of(study, side.cell)
        if now not in (None, side.weights_sha256):
            yield Fault(file, f"steered with weights that {side.cell.path} no longer has")


def weights_of(study: Study, cell: Cell) -> str | None:
    """Digest of the weights that a cell was measured with; None where that cannot be known."""
    try:
        return str(read_json(study.metrics(cell))["made_from"]["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
