"""Which jobs look into signs, and which cells each is given."""

from __future__ import annotations

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.cell import Cell
from pipeline.study.sections import ConfigError
from pipeline.study.signs import one_sided_forms
from pipeline.study.study import Study
from tests.pipeline.made_grid import configuration


def test_a_job_has_the_cells_of_all_seeds_of_one_place():
    study = Study.from_dict(configuration(signs={"models": ["small"]}))
    hookpoints = study.config.hookpoints
    assert list(study.scope.jobs("signs")) == [f"small/{name}" for name in hookpoints]
    assert next(iter(study.signs)) == "results/made-grid/signs/small/mlp_out.json"
    for spec in study.signs.values():
        place = spec.model, spec.hookpoint
        assert spec.cells == [c for c in study.cells if (c.model, c.hookpoint) == place]
        assert spec.store == digest(study.dump_spec("small", "heldout"))


def test_a_recipe_of_two_sided_cells_alone_has_the_one_sided_ones_of_its_home():
    recipes = {
        "zero": {"training": {"b_dec_init": "zero"}},
        "open": {"extends": "zero", "variants": ["sagsae_tied"], "training": {"theta_init": 0.3}},
    }
    grid = [
        {
            "variant": "gated",
            "expansion": 4,
            "lambdas": [0.1],
            "recipes": ["default", "zero"],
            "seeds": [0, 1],
        },
        {"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.1], "recipes": ["zero", "open"]},
    ]
    asked = {"grid": grid, "recipes": recipes, "signs": {"models": ["small"]}}
    study = Study.from_dict(configuration(**asked, hookpoints=["attn"]))
    given = {one.place: [(c.variant, c.recipe) for c in one.cells] for one in study.signs.values()}
    assert given == {
        "attn": [("gated", "")] * 2,
        "attn@open": [("gated", "zero"), ("sagsae_tied", "open")],
        "attn@zero": [("gated", "zero")] * 2 + [("sagsae_tied", "zero")],
    }


@pytest.mark.parametrize(
    ("trained", "sought_in"),
    [([0, 1, 2], [[1], [2], [0]]), ([1, 2], [[1], [2], [1]]), ([2], [[2], [2], []])],
)
def test_poles_are_sought_in_a_cell_of_the_next_seed_and_never_of_the_same(trained, sought_in):
    place = {"model": "small", "hookpoint": "attn", "k": 8}
    cells = [Cell(**place, variant="batchtopk", width=64, seed=seed) for seed in trained]
    for seed, expected in enumerate(sought_in):
        two = Cell(**place, variant="absbatchtopk", width=32, seed=seed)
        assert [one.seed for one in one_sided_forms(two, cells)] == expected
    assert one_sided_forms(cells[0], cells) == []


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match=r"signs\.recipes\.0: unknown 'zero'; known are default"):
        Study.from_dict(configuration(signs={"recipes": ["zero"]}))
