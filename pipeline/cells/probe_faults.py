"""Checks of what probes found: made for this configuration, with the weights that cells have."""

from __future__ import annotations

from pathlib import Path

from pipeline.cells.dial_faults import weights_of
from pipeline.jobs.findings import Absent, Checked, Fault, Findings, made_for, size_of
from pipeline.jobs.json_files import digest
from pipeline.study.metrics import MetricsError
from pipeline.study.probe_runs import ProbeRun, read_probe_run
from pipeline.study.study import Study


def faults(study: Study) -> Findings:
    """Check every job of the probes that the study asks for."""
    for file, spec in study.probes.items():
        if not Path(file).exists():
            yield Absent(file)
            continue
        yield Checked("", size_of(Path(file)))
        try:
            found = read_probe_run(Path(file))
        except MetricsError as error:
            yield Fault(file, error)
            continue
        yield Checked("places probed")
        yield from made_for(file, "specification", found.spec, digest(spec))
        yield from _weights(study, file, found)


def _weights(study: Study, file: str, found: ProbeRun) -> Findings:
    """Faults where cells have been trained to other weights since."""
    for one in found.cells:
        if weights_of(study, one.cell) not in (None, one.weights_sha256):
            yield Fault(file, f"probed weights that {one.cell.path} no longer has")
