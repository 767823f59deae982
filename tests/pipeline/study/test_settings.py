"""Settings: which recipes and widths claims are judged under, and in what these differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.analysis.numbers import BLANK
from pipeline.study.grid import Comparison
from pipeline.study.scope import Scope
from pipeline.study.sections import ConfigError
from pipeline.study.settings import Factor, Setting, differ_in, factors_of, width_pairs
from pipeline.study.study import Study
from tests.helpers.made_studies import settings_configuration

MODELS = {"small": 64, "large": 96}


def compared(candidate: dict, baseline: dict) -> Comparison:
    return Comparison.model_validate({"candidate": candidate, "baseline": baseline})


def tied(**size) -> dict:
    return {"variant": "sagsae_tied", **size}


def gated(**size) -> dict:
    return {"variant": "gated", **size}


class TestWidthPairs:
    def test_the_first_comparison_of_each_pair_of_widths_counts(self):
        found = [
            compared(tied(expansion=2), gated(expansion=2)),
            compared(tied(expansion=8), gated(expansion=16)),
            compared(tied(expansion=2.5), gated(expansion=5)),
            compared({"variant": "sagsae", "expansion": 8}, gated(expansion=16)),
            compared(tied(width=128), gated(width=256)),
        ]
        pairs = {2: "8d vs 16d", 3: "2.5d vs 5d", 5: "128 vs 256"}
        assert width_pairs(found, MODELS) == pairs

    @pytest.mark.parametrize(
        "other",
        [
            compared({"variant": "sagsae_noaux", "expansion": 2}, gated(expansion=4)),
            compared(tied(expansion=2), {"variant": "sagsae", "expansion": 4}),
            compared(gated(expansion=4), tied(expansion=2)),
            compared(tied(expansion=2), gated(expansion=3)),
        ],
    )
    def test_no_other_comparison_does(self, other):
        assert width_pairs([other], MODELS) == {}

    def test_one_model_for_which_it_is_half_the_width_is_enough(self):
        mixed = [compared(tied(expansion=2), gated(width=256))]
        assert width_pairs(mixed, MODELS) == {1: "2d vs 256"}
        assert width_pairs(mixed, {"large": 96}) == {}


def spec_of(folder: Path, **changes) -> Scope:
    study = Study.from_dict(settings_configuration(folder, **changes))
    return study.scope


NARROW, WIDE = "2d vs 4d", "8d vs 16d"
SETTINGS = [
    *(Setting("", 1, NARROW), Setting("", 2, WIDE), Setting("fast", 1, NARROW)),
    *(Setting("zero", 1, NARROW), Setting("zero", 2, WIDE)),
    *(Setting("zero-fast", 1, NARROW), Setting("zero-fast", 2, WIDE)),
]


class TestSettings:
    def test_each_recipe_with_each_pair_of_widths_that_it_compares(self, tmp_path):
        spec = spec_of(tmp_path)
        assert spec.settings == spec.compared == SETTINGS
        assert spec.several_settings
        assert spec.has_effects
        assert spec.several_widths
        assert spec.widths(SETTINGS[1]) == {
            *(("small", 512), ("small", 1024), ("large", 768), ("large", 1536))
        }

    def test_a_place_must_have_both_sides(self, tmp_path):
        raw = settings_configuration(tmp_path)
        raw["grid"][3] |= {"hookpoints": ["resid"], "models": ["small"]}
        spec = spec_of(tmp_path, grid=raw["grid"])
        assert spec.places(SETTINGS[1]) == [("small", "resid")]
        assert len(spec.places(SETTINGS[0])) == 4
        raw["grid"][3] |= {"recipes": ["zero"]}
        assert spec_of(tmp_path, grid=raw["grid"]).settings == [
            setting for i, setting in enumerate(SETTINGS) if i not in (1, 6)
        ]

    def test_a_recipe_of_one_side_stands_with_the_cells_of_the_one_below(self, tmp_path):
        recipes = settings_configuration(tmp_path)["recipes"]
        recipes["shut"] = {
            "extends": "zero",
            "variants": ["gated"],
            "training": {"gate_init": "matched"},
        }
        grid = settings_configuration(tmp_path)["grid"]
        grid[1] = {**grid[1], "recipes": [*grid[1]["recipes"], "shut"], "hookpoints": ["resid"]}
        spec = spec_of(tmp_path, grid=grid, recipes=recipes)
        shut = Setting("shut", 1, NARROW)
        assert [setting for setting in spec.settings if setting.recipe == "shut"] == [shut]
        assert spec.places(shut) == [("large", "resid"), ("small", "resid")]

    def test_a_recipe_that_compares_nothing_of_its_own_is_a_setting_without_comparison(
        self, tmp_path
    ):
        recipes = settings_configuration(tmp_path)["recipes"]
        recipes["plain"] = {"variants": ["sagsae_noaux"], "training": {"beta1": 0.5}}
        entry = {"variant": "sagsae_noaux", "expansion": 2, "lambdas": [0.1], "recipes": ["plain"]}
        grid = [*settings_configuration(tmp_path)["grid"], entry]
        spec = spec_of(tmp_path, grid=grid, recipes=recipes)
        assert Setting("plain") in spec.settings
        assert Setting("plain") not in spec.compared
        assert spec.places(Setting("plain")) == spec.trained["plain"]
        assert spec.widths(Setting("plain")) == set()

    def test_the_level_is_the_first_of_its_own_comparison(self, tmp_path):
        comparisons = settings_configuration(tmp_path)["comparisons"]
        comparisons[1] |= {"matched_l0": [32, 64]}
        spec = spec_of(tmp_path, comparisons=comparisons)
        assert [spec.first_level(setting) for setting in (*SETTINGS[:2], None)] == [64, 32, 64]
        comparisons[1] |= {"matched_l0": []}
        assert spec_of(tmp_path, comparisons=comparisons).first_level(SETTINGS[1]) == 64


def factors(levels: dict[str, dict[str, str]], *settings: Setting) -> dict[str, Factor]:
    return {factor.name: factor for factor in factors_of(settings, levels)}


class TestFactors:
    levels = {
        "": {"tokens": "600", "beta1": "0", "beta2": "0.9"},
        "long": {"tokens": "2000", "beta1": "0", "beta2": "0.9", "budget": "2 k"},
        "peer": {"tokens": "600", "beta1": "0.5", "beta2": "0.9"},
    }

    def test_those_that_change_together_are_one_in_the_words_of_the_recipes(self):
        settings = [Setting(name) for name in self.levels]
        found = factors(self.levels, *settings)
        assert list(found) == ["budget", "beta1"]
        assert found["budget"].together_with == ("tokens",)
        assert list(found["budget"].levels.values()) == ["600", "2 k", "600"]
        assert found["beta1"].together_with == ()
        assert found["budget"].column == "level_budget"

    def test_widths_are_a_factor_and_may_change_with_another(self):
        settings = [Setting("", 1, "a"), Setting("peer", 2, "b")]
        found = factors(self.levels, *settings)
        assert [(name, factor.together_with) for name, factor in found.items()] == [
            ("beta1", ("width",))
        ]
        crossed = [*settings, Setting("", 2, "b")]
        assert [(n, f.together_with) for n, f in factors(self.levels, *crossed).items()] == [
            *(("beta1", ()), ("width", ()))
        ]

    def test_what_only_untrained_recipes_change_is_none(self):
        assert factors(self.levels, Setting(""), Setting("")) == {}
        assert list(factors(self.levels, Setting(""), Setting("peer"))) == ["beta1"]

    def test_numbers_are_ordered_by_size_and_words_as_they_come(self):
        names = ("b", "a", "c")
        settings = [Setting(name) for name in names]
        words = {
            name: {"seen": name, "size": size} for name, size in zip(names, "931", strict=True)
        }
        assert factors(words | {"b": {"seen": "b", "size": "10"}}, *settings)["seen"].ordered == [
            *names
        ]
        sizes = {name: {"size": size} for name, size in zip(names, ("10", "3", "1"), strict=True)}
        assert factors(sizes, *settings)["size"].ordered == ["1", "3", "10"]

    def test_two_settings_differ_in_what_has_other_levels(self, tmp_path):
        spec = spec_of(tmp_path)
        first, wide, fast, zero = SETTINGS[:4]
        differing = [differ_in(spec.factors, first, other) for other in (wide, fast, zero, first)]
        assert [[factor.name for factor in found] for found in differing] == [
            *(["width"], ["learning_rate"], ["b_dec_init"], [])
        ]
        far = differ_in(spec.factors, first, SETTINGS[-1])
        assert len(far) == len(spec.factors) == 3


@pytest.mark.parametrize("name", ["width", "variant"])
def test_a_factor_may_not_have_a_name_that_tables_use(tmp_path, name):
    recipes = settings_configuration(tmp_path)["recipes"]
    recipes["fast"] |= {"factors": {name: "x"}}
    with pytest.raises(ConfigError, match=f"call something else '{name}'; name the factor"):
        spec_of(tmp_path, recipes=recipes)


def test_a_level_without_words_is_a_dash_where_several_settings_stand_behind_it():
    ours, theirs = Setting("", 1, "2d vs 4d"), Setting("peer", 1, "2d vs 4d")
    levels = {
        "": {"batch_size": "1024", "beta1": "0"},
        "peer": {"batch_size": "4096", "beta1": "0.9", "library": "theirs"},
    }
    (found,) = factors_of([ours, theirs], levels)
    assert (found.name, found.together_with) == ("library", ("batch_size", "beta1"))
    assert found.levels == {ours: BLANK, theirs: "theirs"}
