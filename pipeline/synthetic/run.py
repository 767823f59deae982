"""Stage: one seed of one synthetic protocol.

    python -m pipeline synthetic-run --spec JSON --out synthetic/runs/consolidation_seed0.json

The specification is ``Study.synthetic_spec``.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest, write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import locked
from pipeline.study.synthetic import SyntheticSpec
from pipeline.synthetic.protocols import MEASURED, Bench


def run_protocol(spec: SyntheticSpec) -> dict[str, Any]:
    """Train and measure every setting, contestant and lambda of a protocol, for one seed.

    Returns:
        protocol, seed, spec (digest) and ``rows``, see ``pipeline.synthetic.protocols``.
    """
    name, seed, synthetic = spec.protocol, spec.seed, spec.synthetic
    section = getattr(synthetic, name)
    progress, done = Progress(f"{name}, seed {seed}", section.runs, "runs"), count(1)
    bench = Bench(seed=seed, settings=synthetic, report=lambda: progress.update(next(done)))
    rows = list(MEASURED[name](section, bench))
    return {"protocol": name, "seed": seed, "spec": digest(spec), "rows": rows}


def main(spec: SyntheticSpec, out: Path) -> None:
    """Run the stage.

    Args:
        spec: SyntheticSpec as JSON
        out: the .json of the runs
    """
    with locked(out.parent, out.stem):
        write_json(out, run_protocol(spec))
