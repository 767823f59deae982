"""Probing as a target of the workflow."""

from __future__ import annotations

import pytest
import yaml

from pipeline.analysis.csv_files import read_table
from pipeline.study.probe import read_probe_run
from pipeline.study.study import Study
from tests.e2e.conftest import Workflow
from tests.pipeline.whole_study import CONFIG

pytestmark = pytest.mark.long

SMALL = CONFIG | {
    "hookpoints": ["resid"],
    "grid": [
        {"variant": "sagsae_tied", "width": 24, "lambdas": [0.1]},
        {"variant": "topk", "width": 48, "ks": [4]},
    ],
    "probe": {"ks": [1, 2], "train_rows": 60, "test_rows": 40, "least_rows": 5, "test_share": 0.4},
}


def workflow(folder, **changes) -> Workflow:
    config = folder / f"{'-'.join(['probed', *changes])}.yaml"
    config.write_text(yaml.safe_dump({k: v for k, v in (SMALL | changes).items() if v}))
    return Workflow(folder, config)


def test_it_trains_the_cells_and_probes_them(elsewhere):
    made = workflow(elsewhere.folder)
    planned = made.planned("probe")
    assert (planned["cell"], planned["probe_run"], planned["draw_figure"]) == (2, 1, 2)
    done = made.run("probe")
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(made.config)
    (file,) = study.probes
    run = read_probe_run(elsewhere.folder / file)
    assert [one.cell for one in run.cells] == study.cells
    table = read_table(elsewhere.folder / study.table("probing.csv"))
    assert len(table[table["kind"] == "all"]) == 2 * 2
    assert set(table.loc[table["variant"] == "topk", "cell_k"]) == {4}
    assert len(read_table(elsewhere.folder / study.table("absorption.csv"))) == 2
    assert (elsewhere.folder / study.figure("figure_probing")).stat().st_size > 5_000
    assert made.planned("probe") == {}

    other = workflow(elsewhere.folder, probe=SMALL["probe"] | {"seed": 3})
    planned = other.planned("probe")
    assert planned["probe_run"] == 1
    assert not {"cell", "dump", "baselines"} & set(planned)
