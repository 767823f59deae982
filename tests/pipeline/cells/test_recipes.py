"""A recipe trains: to the same bits as a study whose training has its settings."""

from __future__ import annotations

import pytest
import torch

from pipeline.jobs.json_files import read_json
from pipeline.study.outputs import WEIGHTS
from pipeline.study.study import Study
from sagsae.autoencoders.storage import load
from tests.pipeline.whole_study import CONFIG, WholeStudy, make_whole_study

SETTINGS = {"b_dec_init": "zero", "gate_init": "matched", "clip_gradient_norm": 0.5}
GRID = [{"variant": name, "width": 24, "lambdas": [0.1]} for name in ("gated", "sagsae_tied")]
PLACE = {"grid": GRID, "hookpoints": ["resid"]}


@pytest.mark.slow
def test_cells_of_a_recipe_equal_those_of_a_study_whose_training_has_its_settings(tmp_path):
    entries = [entry | {"recipes": ["default", "zero-bias"]} for entry in GRID]
    recipes = {"zero-bias": {"training": SETTINGS}}
    study = make_whole_study(tmp_path, **PLACE | {"grid": entries, "recipes": recipes})
    weights, found = {}, {}
    for cell in study.study.cells:
        sae = load(study.cell(cell) / WEIGHTS)
        weights[cell.variant, cell.recipe] = sae.state_dict()
        found[cell.variant, cell.recipe] = read_json(study.study.metrics(cell))
        assert sae.provenance.get("recipe_name", "") == cell.recipe
        assert found[cell.variant, cell.recipe]["cell"].get("recipe", "") == cell.recipe
    changed = CONFIG | PLACE | {"training": CONFIG["training"] | SETTINGS}
    other = WholeStudy(Study.from_dict(changed | {"results": str(tmp_path)}))
    for cell in other.study.cells:
        other.make(other.study.metrics(cell))
        alone = load(other.cell(cell) / WEIGHTS).state_dict()
        of_recipe, of_default = (weights[cell.variant, name] for name in ("zero-bias", ""))
        assert all(torch.equal(value, of_recipe[name]) for name, value in alone.items())
        assert not torch.equal(alone["b_dec"], of_default["b_dec"])
        same = read_json(other.study.metrics(cell))
        for metric in ("l0", "r2", "dead_fraction", "loss_recovered", "parameters"):
            assert same[metric] == found[cell.variant, "zero-bias"][metric]
