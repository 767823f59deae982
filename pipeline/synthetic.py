"""Stage: one seed of one synthetic protocol.

    python -m pipeline.synthetic --spec JSON --out synthetic/runs/consolidation_seed0.json

The specification is ``Study.synthetic_spec``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.files import write_json
from pipeline.progress import Progress
from pipeline.stage import exclusive, run_stage
from pipeline.study import digest
from pipeline.synthetic_config import Synthetic
from pipeline.synthetic_protocols import MEASURED, Bench


def run_protocol(spec: dict[str, Any]) -> dict[str, Any]:
    """Train and measure every setting, contestant and lambda of a protocol, for one seed.

    Returns:
        protocol, seed, spec (digest) and ``rows``, see ``synthetic_protocols.Row``.
    """
    name, seed = spec["protocol"], spec["seed"]
    synthetic = Synthetic.model_validate(spec["synthetic"])
    section = getattr(synthetic, name)
    progress, done = Progress(f"{name}, seed {seed}", section.runs, "runs"), count(1)
    bench = Bench(
        seed=seed,
        training=synthetic.training,
        rows=synthetic.evaluation_rows,
        tau=synthetic.tau,
        report=lambda: progress.update(next(done)),
    )
    rows = list(MEASURED[name](section, bench))
    return {"protocol": name, "seed": seed, "spec": digest(spec), "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.synthetic")
    parser.add_argument("--spec", required=True, type=json.loads, metavar="JSON")
    parser.add_argument("--out", required=True, type=Path, help="the .json of the runs")
    options = parser.parse_args(arguments)
    with exclusive(options.out.parent, options.out.stem):
        write_json(options.out, run_protocol(options.spec))


if __name__ == "__main__":
    run_stage(main)
