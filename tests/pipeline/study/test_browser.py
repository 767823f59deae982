"""Which cells the latent browser shows, what its jobs read, and what cannot be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.browser import browser_specs, read_by_browser
from pipeline.study.outputs import WEIGHTS
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.pipeline.made_grid import LAMBDAS, configuration

TIED = "small/resid/sagsae_tied/w128_lam0.1_seed1"
OFF_GRID = "small/resid/sagsae_sym/w128_lam0.3_seed0"


def study(browser: dict[str, Any] | None = None, **changes: Any) -> Study:
    asked = {} if browser is None else {"browser": browser}
    return Study.from_dict(configuration(results="results") | asked | changes)


def shown(study: Study) -> list[str]:
    return [
        Path(file).parent.relative_to(study.path("browser/data")).as_posix()
        for file in browser_specs(study)
    ]


def test_both_sides_of_the_first_comparison_are_shown_each_beside_the_other():
    asked = study({})
    assert len(browser_specs(asked)) == 2 * 2 * 3
    names = ["large/resid/sagsae_tied/w192_seed0", "large/resid/gated/w384_seed0"]
    ours, theirs = (asked.look_spec(asked.browser_cell(name)) for name in names)
    assert (ours.shown, ours.rival) == (theirs.rival, theirs.shown)
    assert {(c.variant, c.width, c.recipe) for c in ours.shown} == {("sagsae_tied", 192, "")}
    assert len(ours.shown) == len(ours.rival) == 3 * len(LAMBDAS)
    assert (ours.level, ours.by_level, ours.seed, ours.model) == (64, True, 0, "large")
    assert {(c.lam, c.seed) for c in ours.weights_of} == {(lam, 0) for lam in LAMBDAS}
    assert ours.store == digest(asked.dump_spec("large", "heldout"))


def test_recipes_are_places_of_their_own():
    recipes = {"zero": {"training": {"b_dec_init": "zero"}}}
    grid = [
        {
            "variant": "sagsae_tied",
            "expansion": 2,
            "lambdas": [0.1],
            "recipes": ["default", "zero"],
        },
        {"variant": "gated", "expansion": 4, "lambdas": [0.1], "recipes": ["default", "zero"]},
    ]
    changes = {"recipes": recipes, "grid": grid, "hookpoints": ["resid"]}
    assert len(shown(study({"models": ["small"]}, **changes))) == 4
    only = shown(study({"models": ["small"], "recipes": ["zero"]}, **changes))
    assert only == [
        f"small/resid/{v}@zero/{w}_seed0" for v, w in (("sagsae_tied", "w128"), ("gated", "w256"))
    ]


def test_named_cells_are_shown_on_the_grid_or_off_it():
    asked = study({"cells": [TIED, OFF_GRID, "small/resid/gated/w256_lam0.1_seed0"]})
    ours, off, theirs = browser_specs(asked).values()
    assert [one.shown[0].path for one in (ours, off, theirs)] == list(shown(asked))
    assert not ours.by_level
    assert ours.seed == 1
    assert {(c.variant, c.width) for c in ours.rival} == {("gated", 256)}
    assert ours.rival == off.rival
    assert {(c.variant, c.width) for c in theirs.rival} == {("sagsae_tied", 128)}
    assert {c.seed for c in ours.weights_of} == {1}


@pytest.mark.parametrize(
    ("browser", "changes", "words"),
    [
        ({"cells": ["small/resid"]}, {}, "browser.cells.0: 'small/resid' is not <model>"),
        ({"hookpoints": ["nowhere"]}, {}, "browser.hookpoints.0: unknown 'nowhere'"),
        ({"recipes": ["default", "x"]}, {}, "browser.recipes.1: unknown 'x'"),
        ({}, {"comparisons": []}, "browser: it shows the two sides of the first comparison"),
        ({"top": 0}, {}, "browser.top"),
    ],
)
def test_what_cannot_be_shown_is_refused(browser, changes, words):
    with pytest.raises(ConfigError, match=words):
        study(browser, **changes)


def test_a_job_reads_the_metrics_that_choose_and_the_weights_that_may_be_chosen():
    asked = study({"models": ["small"], "hookpoints": ["resid"]}, dial={"hookpoints": ["resid"]})
    name = "small/resid/gated/w256_seed0"
    found, spec = read_by_browser(asked, name), asked.look_spec(asked.browser_cell(name))
    assert found["metrics"] == [asked.metrics(cell) for cell in spec.shown + spec.rival]
    assert found["weights"] == [asked.cell_file(cell, WEIGHTS) for cell in spec.weights_of]
    assert found["dials"] == [asked.dial_run("small", "resid", 0, "")]
    assert found["tokens"] == asked.tokens("small", "heldout")
    assert found["heldout"] == asked.manifest("small", "heldout")
