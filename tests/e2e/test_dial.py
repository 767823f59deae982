"""Steering as a target of the workflow."""

from __future__ import annotations

import yaml

from pipeline.study.dial_runs import read_dial_run
from pipeline.study.study import Study
from pipeline.text.csv_files import read_table
from tests.e2e.conftest import ROOT, Workflow
from tests.pipeline.whole_study import CONFIG

SIDES = {
    "candidate": {"variant": "sagsae_tied", "width": 24},
    "baseline": {"variant": "gated", "width": 48},
}
SECOND = {
    "candidate": {"variant": "sagsae", "width": 24},
    "baseline": SIDES["baseline"],
    "matched_l0": [4],
}
MORE = {"comparisons": 2}
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


def test_another_comparison_steers_and_the_first_stays(elsewhere):
    assert workflow(elsewhere.folder).run("dial").returncode == 0
    several = {"comparisons": [*SMALL["comparisons"], SECOND], "dial": SMALL["dial"] | MORE}
    made = workflow(elsewhere.folder, **several)
    planned = made.planned("dial")
    assert (planned["cell"], planned["dial_run"], planned["draw_figure"]) == (1, 1, 2)
    done = made.run("dial")
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(made.config)
    first, second = study.dials
    assert second == first.replace("seed0", "seed0_comparison2")
    assert read_dial_run(elsewhere.folder / second).candidate.cell.variant == "sagsae"
    table = read_table(elsewhere.folder / study.table("dial.csv"))
    latents = table[table["kind"] == "latent"]
    assert set(zip(latents["comparison"], latents["variant"], strict=True)) == {
        (1, "sagsae_tied"),
        (2, "sagsae"),
    }
    drawn = read_table(elsewhere.folder / study.figure("figure_dial", "csv"))
    assert set(drawn["comparison"]) == {1}


def test_the_whole_study_has_it_only_where_the_configuration_asks(elsewhere):
    planned = workflow(elsewhere.folder).planned()
    assert (planned["cell"], planned["dial_run"], planned["dial_tables"]) == (5, 1, 1)
    without = workflow(elsewhere.folder, dial=None)
    assert not {"dial_run", "dial_tables"} & set(without.planned())
    done = without.run("dial", "--dry-run")
    assert done.returncode != 0
    assert "this study steers with no latents: see section `dial`" in done.stdout


def test_a_figure_and_a_single_place_have_names(elsewhere):
    made = Workflow(elsewhere.folder, ROOT / "workflow/configs/smoke.yaml")
    planned = made.planned("figure_dial")
    assert (planned["draw_figure"], planned["dial_run"], planned["cell"]) == (1, 6, 24)
    planned = made.planned("results/smoke/dial/tiny-smollm3/resid/seed0.json")
    assert (planned["dial_run"], planned["cell"]) == (1, 4)
    done = made.run("results/smoke/dial/tiny-smollm3/resid/seed1.json", "--dry-run")
    assert done.returncode != 0
    assert "this study does not steer there; it has " in done.stdout
