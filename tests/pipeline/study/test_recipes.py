"""Recipes: which cells they make, what each trains by, and what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline.study.cell import Cell
from pipeline.study.recipes import levels_of
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.helpers.made_studies import configuration

ROOT = Path(__file__).resolve().parents[3]
FAST = {"training": {"learning_rate": 3e-3}}
"""The simplest recipe."""


def with_recipes(*grid: dict, training: dict | None = None, **recipes: dict) -> dict:
    """A configuration of two cells and some recipes, whose names have _ for -."""
    raw = configuration(recipes={name.replace("_", "-"): value for name, value in recipes.items()})
    raw["models"], raw["hookpoints"] = raw["models"][:1], ["resid"]
    raw["training"] |= training or {}
    base = [
        {"variant": "gated", "expansion": 4, "lambdas": [0.1]},
        {"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.1]},
    ]
    raw["grid"] = [one | more for one, more in zip(base, grid or ({}, {}), strict=True)]
    return raw


def faults(raw: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Study.from_dict(raw)
    head, *lines = str(caught.value).splitlines()
    assert f"{len(lines)} error(s)" in head
    return [line.strip() for line in lines]


def test_each_recipe_of_an_entry_has_cells_of_its_own():
    both = {"recipes": ["default", "fast"]}
    study = Study.from_dict(with_recipes(both, {"recipes": ["fast"]}, fast=FAST))
    assert [cell.path for cell in study.cells] == [
        "small/resid/gated/w256_lam0.1_seed0",
        "small/resid/gated@fast/w256_lam0.1_seed0",
        "small/resid/sagsae_tied@fast/w128_lam0.1_seed0",
    ]
    assert [Cell.from_path(cell.path) for cell in study.cells] == study.cells
    assert [study.training(cell).learning_rate for cell in study.cells] == [1e-3, 3e-3, 3e-3]
    assert {study.training(cell).tokens for cell in study.cells} == {819200}


def test_recipes_change_what_they_extend_and_leave_other_variants_alone():
    recipes = {
        "fast": FAST,
        "gated_fast": {"extends": "fast", "variants": ["gated"], "training": {"beta1": 0.5}},
        "long": {"extends": "gated-fast", "training": {"tokens": 10**6, "learning_rate": 1e-3}},
    }
    study = Study.from_dict(with_recipes({"recipes": ["gated-fast"]}, {}, **recipes))

    def settings(variant: str, recipe: str) -> tuple[float, float, int]:
        path = f"small/resid/{variant}@{recipe}/w8_lam0.1_seed0"
        found = study.training(Cell.from_path(path))
        return found.learning_rate, found.beta1, found.tokens

    assert settings("gated", "gated-fast") == (3e-3, 0.5, 819200)
    assert settings("gated", "long") == (1e-3, 0.5, 10**6)
    assert settings("sagsae_tied", "long") == (1e-3, 0.0, 10**6)


def test_levels_follow_from_the_settings_and_from_what_recipes_say():
    shut = {"extends": "zero", "factors": {"gate": "shut"}, "training": {"beta2": 0.9}}
    raw = with_recipes(zero={"training": {"beta1": 0.5}}, shut=shut)
    config = Study.from_dict(raw).config
    assert levels_of(config.training, config.recipes) == {
        "": {"beta1": "0", "beta2": "0.999"},
        "zero": {"beta1": "0.5", "beta2": "0.999"},
        "shut": {"beta1": "0.5", "beta2": "0.9", "gate": "shut"},
    }


def test_every_fault_of_the_recipes_is_reported_at_once():
    raw = with_recipes(
        {"recipes": ["default", "slow"]},
        {"recipes": ["tied-only", "gated-only"]},
        default=FAST,
        lost={"extends": "nowhere", "training": {"beta1": 0.1}},
        round_a={"extends": "round-b"},
        round_b={"extends": "round-a"},
        gated_only={"extends": "fast", "variants": ["gated"], "training": {"beta1": 0.2}},
        tied_only={"variants": ["sagsae_tied"], "training": {"beta1": 0.2}},
        fast=FAST,
        tiny={"training": {"tokens": 100}},
    )
    known = "lost, round-a, round-b, gated-only, tied-only, fast, tiny"
    assert sorted(faults(raw)) == sorted(
        [
            "recipes.default: the recipe of section training has this name; choose another",
            "recipes.lost.extends: unknown 'nowhere'; known are default, "
            + known.removeprefix("lost, "),
            "recipes.round-a.extends: in the end it extends itself",
            "recipes.round-b.extends: in the end it extends itself",
            f"grid.0.recipes.1: unknown 'slow'; known are default, {known}",
            "grid.1.recipes.1: 'gated-only' does not concern sagsae_tied, whose cells under it are "
            "those of 'fast'; name that one",
            "recipes.tiny.training.tokens: 100 is less than one batch of 2048",
        ]
    )


@pytest.mark.parametrize("page", ["docs/method.md", "config/README.md"])
def test_the_recipes_of_the_documentation_are_valid(page):
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(), flags=re.M | re.S)
    (found,) = [yaml.safe_load(block) for block in blocks if "recipes:" in block]
    assert Study.from_dict(with_recipes() | found).config.recipes
