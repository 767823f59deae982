"""Settings: which recipes and widths claims are judged under, and in what these differ."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.config.grid import Comparison
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import SPECIFICATION_FIGURES
from pipeline.study.outputs import CLAIM_TABLES, TABLES
from pipeline.study.settings import Factor, Setting, differ_in, factors_of, width_pairs
from pipeline.study.study import Study
from tests.pipeline.made_settings import settings_configuration

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


def spec_of(folder: Path, **changes) -> ComparisonSpec:
    study = Study.from_dict(settings_configuration(folder, **changes))
    return ComparisonSpec.argument(json.dumps(study.report_spec()))


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
        assert [setting.named for setting in SETTINGS[:3]] == [
            *("default, 2d vs 4d", "default, 8d vs 16d", "fast, 2d vs 4d")
        ]
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


class TestOutputs:
    def test_a_study_of_several_settings_has_their_tables_and_figures_once(self, tmp_path):
        study = Study.from_dict(settings_configuration(tmp_path))
        names = ("effects", "main_effects")
        extra = {f"{name}.{end}" for name in names for end in ("csv", "md", "tex")}
        assert set(study.tables) - set(TABLES) == extra
        assert study.claim_tables == (*CLAIM_TABLES, "claims_matrix.csv")
        assert [name for name in study.figures if "spec" in name] == list(SPECIFICATION_FIGURES)
        assert {"figure_2", "figure_2_variants@zero"} < set(study.figures)


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

    def test_two_settings_differ_in_what_has_other_levels(self, tmp_path):
        spec = spec_of(tmp_path)
        first, wide, fast, zero = SETTINGS[:4]
        differing = [differ_in(spec.factors, first, other) for other in (wide, fast, zero, first)]
        assert [[factor.name for factor in found] for found in differing] == [
            *(["width"], ["learning_rate"], ["b_dec_init"], [])
        ]
        far = differ_in(spec.factors, first, SETTINGS[-1])
        assert len(far) == len(spec.factors) == 3
