"""Configurations: valid ones plan, faulty ones name the field; specs change when they must."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml

from pipeline.jobs.json_files import canonical
from pipeline.study.grid import Comparison, GridEntry
from pipeline.study.models import Model
from pipeline.study.sections import BELONGS, CellNameError, ConfigError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, Dump, StudyConfig, Text, load_yaml
from pipeline.study.training import Training
from tests.helpers.made_studies import configuration

ROOT = Path(__file__).parents[3]
SMOKE = yaml.safe_load((DEFAULT_CONFIG.parent / "smoke.yaml").read_text())


def changed(**changes) -> dict:
    """The smoke configuration with ``a__b=value`` set at a.b; digits index lists."""
    raw = copy.deepcopy(SMOKE)
    for path, value in changes.items():
        place = raw
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        for part in parents:
            place = place.setdefault(part, {}) if isinstance(part, str) else place[part]
        place[last] = value
    return raw


def test_a_key_that_belongs_elsewhere_is_a_key_there():
    sections = {
        "an entry of models": Model,
        "text": Text,
        "dump": Dump,
        "training": Training,
        "an entry of grid": GridEntry,
        "an entry of comparisons": Comparison,
    }
    assert {*BELONGS.values()} == {*sections}
    assert all(key in sections[where].model_fields for key, where in BELONGS.items())


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"learning_rate": 1e-3}, "learning_rate", "learning_rate belongs to training"),
        ({"colour": "red"}, "colour", "unknown key: allowed are study, note, "),
        ({"training__learning_rat": 1}, "training.learning_rat", "did you mean learning_rate;"),
        ({"grid__0__lambdas": [0.1, 0.1]}, "grid.0.lambdas", "0.1 is listed twice"),
        (
            {"comparisons__0__candidate__expansion": 3},
            "comparisons.0.candidate",
            "no cell of the grid is sagsae_tied of this width; the grid has it with expansion 2",
        ),
        (
            {"comparisons__0__baseline__variant": "relu"},
            "comparisons.0.baseline",
            "the grid has none of this variant",
        ),
        (
            {"text__source": {"kind": "files", "paths": ["a.txt", "./a.txt"]}},
            "text.source.paths.1",
            "is listed by text.source.paths.0 already",
        ),
        ({"grid__0__lambdas": ["3e-3"]}, "grid.0.lambdas.0", "3.0e-3"),
        ({"grid__0__lambdas": [0.1234567]}, "grid.0.lambdas", "round it to 0.123457"),
        ({"grid__0__lambdas": [float("nan")]}, "grid.0.lambdas.0", "finite"),
        ({"grid__0__variant": "gatd"}, "grid.0.variant", "unknown variant 'gatd'"),
        ({"grid__0__width": 12}, "grid.0", "exactly one of expansion and width"),
        ({"grid__0__models": ["gpt5"]}, "grid.0.models", "unknown 'gpt5'"),
        ({"grid__0__hookpoints": ["mlp"]}, "grid.0.hookpoints", "unknown 'mlp'"),
        ({"grid__2": SMOKE["grid"][0]}, "grid.2", "already given by grid.0"),
        ({"hookpoints": ["mlp_out", "router"]}, "models.0.hookpoints", "'router'"),
        ({"models__1__name": "tiny-gpt-neox"}, "models", "listed twice"),
        ({"models__0__name": "../up"}, "models.0.name", "pattern"),
        ({"training__tokens": 10}, "training", "less than one batch"),
        ({"dump__rows_per_chunk": 300}, "dump", "not a multiple"),
        ({"dump__train_rows": 10}, "dump", "less than one block"),
        ({"formats": {"figures": ["eps"]}}, "formats.figures.0", "should be 'svg' or 'pdf'"),
        ({"tracking": ["comet"]}, "tracking.0", "should be 'wandb', 'tensorboard' or"),
    ],
)
def test_faults_name_the_field(change, where, what):
    with pytest.raises(ConfigError) as caught:
        Study.from_dict(changed(**change))
    lines = [line for line in str(caught.value).splitlines() if f"  {where}" in line]
    assert any(what in line for line in lines), str(caught.value)


def test_a_file_that_is_not_yaml_or_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Study.load(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("study: [unclosed")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not readable as YAML"):
        Study.load(bad)
    for text in ("study: !!python/object/apply:os.getcwd []", "[" * 5_000):
        bad.write_text(text)
        with pytest.raises(ConfigError, match="not readable as YAML"):
            load_yaml(bad)


def test_canonical_json_is_one_text_per_value():
    assert canonical({"b": 1, "a": [1.5]}) == canonical({"a": [1.5], "b": 1}) == '{"a":[1.5],"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


def test_the_exported_schema_is_the_codes():
    import json

    exported = json.loads((DEFAULT_CONFIG.parent / "schema.json").read_text())
    assert exported == StudyConfig.model_json_schema()


def test_every_field_is_documented():
    schema = StudyConfig.model_json_schema()
    sections = {**schema["$defs"], "StudyConfig": schema}
    undocumented = [
        f"{name}.{field}"
        for name, section in sections.items()
        for field, value in section["properties"].items()
        if "description" not in value and "const" not in value
    ]
    assert len(sections) > 12
    assert undocumented == []


@pytest.mark.parametrize("name", ["text.txt", "*.txt", "."])
def test_a_plan_needs_the_local_files_that_it_reads(tmp_path, name):
    text = {"name": "a", "source": {"kind": "files", "paths": [str(tmp_path / name)]}}
    raw = changed(text={"sources": [text]}, models__0__source={"kind": "path", "path": "nowhere"})
    assert Study.from_dict(raw).cells
    with pytest.raises(ConfigError, match=r"text\.sources\.0\.source\.paths\.0: no file of") as e:
        Study.from_dict(raw, plan=True)
    assert "models.0.source.path: nowhere is not there" in str(e.value)
    (tmp_path / "text.txt").touch()
    raw["models"] = SMOKE["models"]
    assert Study.from_dict(raw, plan=True).cells


def test_autoencoders_that_documents_load_are_made_by_the_local_study():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    loaded = set(re.findall(r"results/local/cells/(\S+)/sae.safetensors", text))
    loaded |= set(re.findall(r"saes\", \"(\S+?)\"", text))
    assert loaded
    assert loaded <= {cell.path for cell in Study.load().cells}


def test_faults_within_sections_and_across_them_come_in_one_round():
    raw = changed(grid__0__models=["gpt5"], study="a/b", hookpoints=["residual"])
    raw |= {"training": raw["training"] | {"learning_rat": 1}, "browser": {"models": ["gpt5"]}}
    with pytest.raises(ConfigError) as refused:
        Study.from_dict(raw)
    across = ("models.0.hookpoints", "grid.0.models.0", "browser.models.0")
    for place in ("study", "training.learning_rat", *across):
        assert f"\n  {place}: " in str(refused.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("topk/w16_k32_seed0", "32 active latents of 16"),
        ("gated/w99999999999999_lam0.1_seed0", "1,000,000,000 latents at most"),
    ],
)
def test_a_name_off_the_grid_is_checked_as_the_grid_is(name, problem):
    study = Study.from_dict(SMOKE)
    with pytest.raises(CellNameError, match=problem):
        study.cell_named(f"tiny-gpt-neox/resid/{name}")


def test_a_key_that_is_given_twice_is_refused(tmp_path):
    (tmp_path / "study.yaml").write_text("a: {b: 1, c: 2}\nd: 1\na: 3\n")
    with pytest.raises(ConfigError, match="key 'a' is given twice"):
        load_yaml(tmp_path / "study.yaml")


def test_a_plan_refuses_a_layer_that_the_model_does_not_have():
    raw = configuration()
    raw["models"][0] = raw["models"][0] | {"layer": 2}
    assert Study.from_dict(raw), "it does not run here"
    with pytest.raises(ConfigError, match=r"models\.0\.layer: 2: the model has layers 0 to 1"):
        Study.from_dict(raw, plan=True)
