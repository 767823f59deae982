"""Which jobs look into cells, which cells each may take, and what of a configuration is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.cell import Cell
from pipeline.study.inputs import Inputs
from pipeline.study.outputs import WEIGHTS
from pipeline.study.sections import ConfigError
from pipeline.study.signs import one_sided_forms
from pipeline.study.study import Study
from tests.helpers.made_studies import LAMBDAS, configuration

PLACES = [f"{model}/{at}" for model in ("large", "small") for at in ("mlp_out", "attn", "resid")]
TIED = "small/resid/sagsae_tied/w128_lam0.1_seed1"
OFF_GRID = "small/resid/sagsae_sym/w128_lam0.3_seed0"


def study(**changes: Any) -> Study:
    return Study.from_dict(configuration(results="results") | changes)


def grid(candidate: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    return {
        "grid": [
            {"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.1]} | candidate,
            {"variant": "gated", "expansion": 4, "lambdas": [0.1]} | baseline,
        ],
        "hookpoints": ["resid"],
    }


class TestDial:
    def test_each_place_is_steered_with_both_sides_of_the_first_comparison(self):
        asked = study(dial={})
        assert list(asked.scope.jobs("dial")) == [f"{place}/seed0" for place in PLACES]
        look = "large/resid/seed0"
        spec = asked.look_spec("dial", look)
        assert asked.look_file("dial", look) == f"results/made-grid/dial/{look}.json"
        assert (spec.model, spec.hookpoint, spec.recipe, spec.seed) == ("large", "resid", "", 0)
        assert {(c.variant, c.width) for c in spec.candidate} == {("sagsae_tied", 192)}
        assert {(c.variant, c.width) for c in spec.baseline} == {("gated", 384)}
        assert len(spec.candidate) == len(spec.baseline) == 3 * len(LAMBDAS)
        assert {(c.lam, c.seed) for c in spec.weights_of} == {(lam, 0) for lam in LAMBDAS}
        assert len(spec.weights_of) == 2 * len(LAMBDAS)
        assert spec.level == 64
        assert spec.losses == digest(asked.baseline_spec("large"))

    def test_a_job_depends_on_its_own_settings_alone(self):
        small, other, further = (
            digest(study(dial=dial).look_spec("dial", "small/attn/seed0"))
            for dial in ({}, {"seeds": 3, "models": ["small"]}, {"random": 9})
        )
        assert small == other != further
        asked, without = study(dial={}), study()
        cell = asked.cells[0]
        assert asked.evaluate_spec(cell) == without.evaluate_spec(cell)
        assert asked.compared == without.compared

    @pytest.mark.parametrize("kind", ["dial", "probe", "signs", "browser"])
    def test_it_depends_on_what_its_cells_are_trained_by(self, kind):
        """And on nothing that another cell is trained by."""
        extra = {"variant": "gated", "width": 9, "lambdas": [0.5], "models": ["large"]}
        raw = configuration(results="results")
        others = raw | {"grid": [*raw["grid"], extra]}
        faster = raw | {"training": raw["training"] | {"learning_rate": 0.0014}}
        first, other, fast = (
            {name: digest(spec) for name, spec in Study.from_dict(x).looks[kind].items()}
            for x in (given | {kind: {"models": ["small"]}} for given in (raw, others, faster))
        )
        assert first == other
        assert first.keys() == fast.keys()
        assert not {*first.values()} & {*fast.values()}

    def test_a_seed_that_one_side_lacks_is_replaced_by_its_lowest(self):
        asked = study(
            dial={"models": ["small"], "seeds": 2},
            **grid({"lambdas": [0.1, 0.2], "seeds": [3, 5]}, {"seeds": [4, 2]}),
        )
        first, second = asked.looks["dial"].values()
        assert (first.seed, second.seed) == (3, 5)
        assert [(c.variant, c.lam, c.seed) for c in second.weights_of] == [
            ("sagsae_tied", 0.1, 5),
            ("sagsae_tied", 0.2, 5),
            ("gated", 0.1, 2),
        ]


def test_a_job_of_probes_has_the_cells_of_one_place_and_seed():
    asked = study(probe={"hookpoints": ["attn", "resid"]})
    assert list(asked.looks["probe"]) == [
        f"{place}/seed0" for place in PLACES if "mlp_out" not in place
    ]
    for spec in asked.looks["probe"].values():
        place = (spec.model, spec.hookpoint, 0)
        assert spec.cells == [c for c in asked.cells if (c.model, c.hookpoint, c.seed) == place]
        assert spec.store == digest(asked.dump_spec(spec.model, "heldout"))
        assert spec.probe.ks == [1, 2, 5]


class TestSigns:
    def test_a_job_has_the_cells_of_all_seeds_of_one_place(self):
        asked = study(signs={"models": ["small"]})
        assert list(asked.scope.jobs("signs")) == [p for p in PLACES if "small" in p]
        for spec in asked.looks["signs"].values():
            place = spec.model, spec.hookpoint
            assert spec.cells == [c for c in asked.cells if (c.model, c.hookpoint) == place]
            assert spec.store == digest(asked.dump_spec("small", "heldout"))

    def test_a_recipe_of_two_sided_cells_alone_has_the_one_sided_ones_of_its_home(self):
        recipes = {
            "zero": {"training": {"b_dec_init": "zero"}},
            "open": {
                "extends": "zero",
                "variants": ["sagsae_tied"],
                "training": {"theta_init": 0.3},
            },
        }
        blocks = grid(
            {"recipes": ["zero", "open"]}, {"recipes": ["default", "zero"], "seeds": [0, 1]}
        )
        asked = study(recipes=recipes, signs={"models": ["small"]}, **blocks)
        cells = {
            look: [(c.variant, c.recipe) for c in spec.cells]
            for look, spec in asked.looks["signs"].items()
        }
        assert cells == {
            "small/resid": [("gated", "")] * 2,
            "small/resid@open": [("gated", "zero"), ("sagsae_tied", "open")],
            "small/resid@zero": [("gated", "zero")] * 2 + [("sagsae_tied", "zero")],
        }

    @pytest.mark.parametrize(
        ("trained", "sought_in"),
        [([0, 1, 2], [[1], [2], [0]]), ([1, 2], [[1], [2], [1]]), ([2], [[2], [2], []])],
    )
    def test_poles_are_sought_in_a_cell_of_the_next_seed_and_never_of_the_same(
        self, trained, sought_in
    ):
        place = {"model": "small", "hookpoint": "attn", "k": 8}
        cells = [Cell(**place, variant="batchtopk", width=64, seed=seed) for seed in trained]
        for seed, expected in enumerate(sought_in):
            two = Cell(**place, variant="absbatchtopk", width=32, seed=seed)
            assert [form.seed for form in one_sided_forms(two, cells)] == expected
        assert one_sided_forms(cells[0], cells) == []


class TestBrowser:
    def test_both_sides_of_the_first_comparison_are_shown_each_beside_the_other(self):
        asked = study(browser={})
        assert len(asked.looks["browser"]) == 2 * 2 * 3
        names = ["large/resid/sagsae_tied/w192_seed0", "large/resid/gated/w384_seed0"]
        ours, theirs = (asked.look_spec("browser", name) for name in names)
        assert (ours.shown, ours.rival) == (theirs.rival, theirs.shown)
        assert {(c.variant, c.width, c.recipe) for c in ours.shown} == {("sagsae_tied", 192, "")}
        assert len(ours.shown) == len(ours.rival) == 3 * len(LAMBDAS)
        assert (ours.level, ours.by_level, ours.seed, ours.model) == (64, True, 0, "large")
        assert {(c.lam, c.seed) for c in ours.weights_of} == {(lam, 0) for lam in LAMBDAS}
        assert ours.store == digest(asked.dump_spec("large", "heldout"))

    def test_recipes_are_places_of_their_own(self):
        recipes = {"zero": {"training": {"b_dec_init": "zero"}}}
        named = {"recipes": ["default", "zero"]}
        changes = {"recipes": recipes, **grid(named, named)}
        assert len(study(browser={"models": ["small"]}, **changes).looks["browser"]) == 4
        only = study(browser={"models": ["small"], "recipes": ["zero"]}, **changes)
        assert list(only.looks["browser"]) == [
            "small/resid/sagsae_tied@zero/w128_seed0",
            "small/resid/gated@zero/w256_seed0",
        ]

    def test_named_cells_are_shown_on_the_grid_or_off_it(self):
        cells = [TIED, OFF_GRID, "small/resid/gated/w256_lam0.1_seed0"]
        asked = study(browser={"cells": cells})
        assert list(asked.looks["browser"]) == cells
        ours, off, theirs = asked.looks["browser"].values()
        assert [spec.shown[0].path for spec in (ours, off, theirs)] == cells
        assert not ours.by_level
        assert ours.seed == 1
        assert {(c.variant, c.width) for c in ours.rival} == {("gated", 256)}
        assert ours.rival == off.rival
        assert {(c.variant, c.width) for c in theirs.rival} == {("sagsae_tied", 128)}
        assert {c.seed for c in ours.weights_of} == {1}

    def test_a_job_reads_the_metrics_that_choose_and_the_weights_that_may_be_chosen(self):
        asked = study(
            browser={"models": ["small"], "hookpoints": ["resid"]}, dial={"hookpoints": ["resid"]}
        )
        look = "small/resid/gated/w256_seed0"
        inputs = Inputs(asked, "marker", is_forced=bool)
        read, spec = inputs.look("browser", look), asked.look_spec("browser", look)
        assert read["configuration"] == "marker", "it is not there yet"
        assert read["metrics"] == [asked.metrics(cell) for cell in spec.shown + spec.rival]
        assert read["weights"] == [asked.cell_file(cell, WEIGHTS) for cell in spec.weights_of]
        assert read["dials"] == [asked.look_file("dial", "small/resid/seed0")]
        assert read["heldout_tokens"] == asked.tokens("small", "heldout")
        assert read["heldout"] == asked.manifest("small", "heldout")


@pytest.mark.parametrize("kind", ["dial", "probe", "signs", "browser"])
@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"models": ["gpt5"]}, r"models\.0: unknown 'gpt5'; known are small, large"),
        ({"hookpoints": ["attn", "x"]}, r"hookpoints\.1: unknown 'x'"),
        ({"recipes": ["default", "x"]}, r"recipes\.1: unknown 'x'; known are default"),
    ],
)
def test_a_section_names_places_of_the_study_alone(kind, section, words):
    with pytest.raises(ConfigError, match=rf"{kind}\.{words}"):
        study(**{kind: section})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dial": {"contexts": 65}}, r"dial\.contexts: 65 are more than evaluation\.lr_contexts"),
        ({"dial": {"alphas": [1, 0.5]}}, r"dial\.alphas: .*does not ascend"),
        ({"dial": {}, "comparisons": []}, "comparisons: empty, and section dial"),
        ({"probe": {"ks": [2, 1]}}, r"probe\.ks.*does not ascend"),
        ({"probe": {"labels": ["letter", "letter"]}}, r"probe\.labels.*listed twice"),
        ({"probe": {"labels": ["source"]}}, r"probe\.labels: source alone, and the text has one"),
        ({"probe": {"test_rows": 50}}, r"probe\.test_rows: 50 rows.*least_rows 30 asks for"),
        ({"browser": {"cells": ["small/resid"]}}, "browser.cells.0: 'small/resid' is not <model>"),
        ({"browser": {"cells": [TIED.replace("small", "huge")]}}, "unknown model 'huge'"),
        ({"browser": {}, "comparisons": []}, "browser: it shows the two sides of the first"),
    ],
)
def test_faults_name_the_field(changes, message):
    with pytest.raises(ConfigError, match=message):
        study(**changes)
