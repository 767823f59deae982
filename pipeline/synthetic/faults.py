"""Checks of the runs of synthetic protocols on disk."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from pipeline.config.synthetic import PROTOCOLS
from pipeline.jobs.findings import Checked, Findings, made_for, read_record
from pipeline.jobs.json_files import digest
from pipeline.study.study import Study


def faults(study: Study) -> Findings:
    """Check the runs that are there; no other target makes them."""
    for protocol, seed in product(PROTOCOLS, study.config.synthetic.seeds):
        file = study.synthetic_run(protocol, seed)
        if not Path(file).exists():
            continue
        if (found := (yield from read_record(file, "spec", "rows"))) is None:
            continue
        expected = digest(study.synthetic_spec(protocol, seed))
        yield from made_for(file, "specification", found["spec"], expected)
        if found["spec"] == expected:
            yield Checked("synthetic runs")
