"""Steering, probing, signs and the latent browser as targets of the workflow."""

from __future__ import annotations

import json

import pytest
import yaml

from pipeline.analysis.csv_files import read_table
from pipeline.study.dial import DialRun
from pipeline.study.measures import RUNS
from pipeline.study.probe import ProbeRun
from pipeline.study.signs import SignsRun
from pipeline.study.study import Study
from tests.helpers.real_study import CONFIG
from tests.helpers.workflow import Workflow
from tests.pipeline.cells.browser.test_collect import given

pytestmark = pytest.mark.long

SIDES = {
    "candidate": {"variant": "sagsae_tied", "width": 24},
    "baseline": {"variant": "gated", "width": 48},
}
OTHER = "m/resid/topk/w48_k4_seed0"
SMALL = CONFIG | {
    "hookpoints": ["resid"],
    "grid": [
        *(side | {"lambdas": [0.1, 0.2]} for side in SIDES.values()),
        {"variant": "topk", "width": 48, "ks": [4], "seeds": [0, 1]},
        {"variant": "abstopk", "width": 24, "ks": [4]},
    ],
    "comparisons": [SIDES | {"matched_l0": [4]}],
    "dial": {"latents": 2, "pairs": 1, "random": 2, "contexts": 4, "alphas": [0.5, 1]},
    "probe": {"ks": [1, 2], "train_rows": 60, "test_rows": 40, "least_rows": 3},
    "signs": {},
    "browser": {"top": 3},
}

SIGNS = ("consistency", "poles", "starts")


def workflow(folder, **changes) -> Workflow:
    config = folder / f"{'-'.join(['small', *changes])}.yaml"
    config.write_text(yaml.safe_dump(SMALL | changes))
    return Workflow(folder, config)


def test_cells_are_trained_and_looked_into(elsewhere):
    made, folder = workflow(elsewhere.folder), elsewhere.folder
    planned = made.planned("dial")
    assert (planned["cell"], planned["dial_run"], planned["draw_dial"]) == (4, 1, 1)
    assert "cells_tables" not in planned
    done = made.run("dial", "probe", "signs", "browser")
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(made.config)
    dialled, probed, signed = (
        study.look_file(kind, look) for kind in RUNS for look in study.looks[kind]
    )
    steered = read_table(folder / study.table("dial.csv"))
    assert len(steered) == len(DialRun.read(folder / dialled).directions) == 5
    assert [one.cell for one in ProbeRun.read(folder / probed).cells] == study.cells[:-1]
    probing = read_table(folder / study.table("probing.csv"))
    assert set(probing.loc[probing["variant"] == "topk", "cell_k"]) == {4}
    assert len(probing[probing["kind"] == "all"]) == 6 * 2
    assert len(read_table(folder / study.table("absorption.csv"))) == 6
    signs = SignsRun.read(folder / signed)
    assert [one.cell for one in signs.cells] == study.cells
    tables = (read_table(folder / study.table(f"{name}.csv")) for name in SIGNS)
    consistency, poles, starts = tables
    assert consistency[["variant", "k"]].to_numpy().tolist() == [["topk", 4]]
    assert consistency["seeds"].tolist() == [2]
    assert poles["one_sided_seed"].tolist() == [one.one_sided.seed for one in signs.poles] == [1]
    assert len(starts) == sum(not one.collapsed for one in signs.cells) > 0
    for name in ("figure_dial", "figure_probing"):
        assert (folder / study.figure(name)).stat().st_size > 5_000
    page = folder / study.browser_page
    shown = given(page.with_name("catalog.js"))["cells"]
    assert [cell["variant"] for cell in shown] == ["SA-GSAE tied", "Gated"]
    for cell, look in zip(shown, study.looks["browser"], strict=True):
        assert page.parent / cell["folder"] == (folder / study.look_file("browser", look)).parent
        assert len(given(page.parent / cell["folder"] / "index.js")["dials"]) == 2
    assert made.planned("dial", "probe", "signs", "browser") == {}

    other = workflow(
        folder, dial=SMALL["dial"] | {"random": 3}, probe=SMALL["probe"] | {"ks": [1, 3]}
    )
    planned = other.planned("dial", "probe")
    assert (planned["dial_run"], planned["probe_run"]) == (1, 1)
    assert not {"cell", "dump", "baselines"} & set(planned)
    cell = study.metrics(next(iter(study.looks["dial"].values())).candidate[0])
    done = made.run("--force", cell)
    assert done.returncode == 0, done.stdout[-4000:]
    assert made.planned("dial")["dial_run"] == 1
    asked = f"browser={json.dumps({'cells': [OTHER]})}"
    done = made.run("browser", "--config", asked)
    assert done.returncode == 0, done.stdout[-4000:]
    (cell,) = given(page.with_name("catalog.js"))["cells"]
    assert cell["name"] == OTHER
    assert cell["rival"].startswith("m/resid/gated/w48_lam")
