"""Steering as a target of the workflow."""

from __future__ import annotations

import pytest
import yaml

from pipeline.analysis.csv_files import read_table
from pipeline.study.dial import read_dial_run
from pipeline.study.study import Study
from tests.e2e.conftest import Workflow
from tests.pipeline.whole_study import CONFIG

pytestmark = pytest.mark.long

SIDES = {
    "candidate": {"variant": "sagsae_tied", "width": 24},
    "baseline": {"variant": "gated", "width": 48},
}
SMALL = CONFIG | {
    "hookpoints": ["resid"],
    "grid": [
        *(side | {"lambdas": [0.1, 0.2]} for side in SIDES.values()),
        {"variant": "sagsae", "width": 24, "lambdas": [0.1]},
    ],
    "comparisons": [SIDES | {"matched_l0": [4]}],
    "dial": {"latents": 2, "pairs": 1, "random": 2, "contexts": 4, "alphas": [0.5, 1]},
}


def workflow(folder, **changes) -> Workflow:
    config = folder / f"{'-'.join(['small', *changes])}.yaml"
    config.write_text(yaml.safe_dump({k: v for k, v in (SMALL | changes).items() if v}))
    return Workflow(folder, config)


def test_it_trains_the_two_sides_and_steers(elsewhere):
    made = workflow(elsewhere.folder)
    planned = made.planned("dial")
    assert (planned["cell"], planned["dial_run"], planned["draw_figure"]) == (4, 1, 2)
    assert "make_tables" not in planned
    done = made.run("dial")
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(made.config)
    (file,) = study.dials
    run = read_dial_run(elsewhere.folder / file)
    table = read_table(elsewhere.folder / study.table("dial.csv"))
    assert len(table) == len(run.directions) == 5
    assert table["l0"].dropna().nunique() == 2
    assert (elsewhere.folder / study.figure("figure_dial")).stat().st_size > 5_000
    assert made.planned("dial") == {}

    other = workflow(elsewhere.folder, dial=SMALL["dial"] | {"tokens": 3})
    planned = other.planned("dial")
    assert planned["dial_run"] == 1
    assert not {"cell", "dump", "baselines"} & set(planned)
    cell = study.metrics(next(iter(study.dials.values())).candidate[0])
    done = made.run("--force", cell)
    assert done.returncode == 0, done.stdout[-4000:]
    assert made.planned("dial")["dial_run"] == 1
