"""Properties of configurations: what reaches which stage, and what a file may hold."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.config.sections import RESERVED
from pipeline.study.config.study_config import ConfigError, load_yaml
from pipeline.study.config.yaml_files import LARGEST_FILE, MOST_VALUES
from pipeline.study.grid import COMMAND_BYTES, MOST_CELLS
from pipeline.study.study import Study
from sagsae.activations.layout import TOKEN_ARRAYS
from tests.pipeline.study.test_study import SMOKE

Config = dict[str, Any]


def stage_digests(config: Config) -> dict[str, str]:
    """What the stages of a cell of the first model depend on, and the report."""
    study = Study.from_dict(config)
    model = config["models"][0]["name"]
    cell = replace(study.cells[0], model=model, recipe="")
    specs = {
        "asset": study.asset_spec(model),
        "text": study.text_spec(),
        "tokens": study.token_spec(model, "train"),
        "dump": study.dump_spec(model, "train"),
        "baselines": study.baseline_spec(model),
        "train": study.train_spec(cell),
        "evaluate": study.evaluate_spec(cell),
        # Levels repeat settings, for readers.
        "report": study.scope.model_dump(exclude={"levels"}),
    }
    return {stage: digest(spec) for stage, spec in specs.items()}


CELL = {"train", "evaluate"}
DUMPED = {"dump", "baselines", *CELL}
TOKENS = {"tokens", *DUMPED}
CHANGES: dict[str, tuple[str, Any, set[str]]] = {
    "model source": ("models.0.source", {"kind": "path", "path": "another"}, {"asset", *TOKENS}),
    "text source": ("text.source", {"kind": "files", "paths": ["another"]}, {"text", *TOKENS}),
    "context length": ("text.context_length", 77_777, TOKENS),
    "held out": ("text.heldout_fraction", 0.123, TOKENS),
    "seed of the text": ("text.seed", 77_777, TOKENS),
    "start token": ("models.0.start_token", "none", TOKENS),
    "slack": ("dump.slack", 0.0123, TOKENS),
    "layer": ("models.0.layer", 77_777, DUMPED),
    "arithmetic": ("models.0.dtype", "float32", DUMPED),
    "norm": ("dump.max_norm_ratio", 1.23, DUMPED),
    "profile": ("dump.profile", "disk", set()),
    "calibration": ("dump.calibration_contexts", 77_777, DUMPED),
    "contexts": ("evaluation.lr_contexts", 77_777, {"baselines", "evaluate"}),
    "learning rate": ("training.learning_rate", 0.0123, {"train"}),
    "beta1": ("training.beta1", 0.123, {"train"}),
    "beta2": ("training.beta2", 0.123, {"train"}),
    "warm-up": ("training.lr_warmup_steps", 77_777, {"train"}),
    "decay": ("training.lr_decay_fraction", 0.123, {"train"}),
    "warm-up of lambda": ("training.lambda_warmup_steps", 77_777, {"train"}),
    "threshold": ("training.theta_init", 0.123, {"train"}),
    "bias": ("training.b_dec_init", "zero", {"train"}),
    "gate": ("training.gate_init", "matched", {"train"}),
    "clipping": ("training.clip_gradient_norm", 0.123, {"train"}),
    "rows": ("training.decoder_norm", "free", {"train"}),
    "auxiliary": ("training.auxiliary_decoder", "trained", {"train"}),
    "resets": ("training.reset_window_tokens", 77_777, {"train"}),
    "products": ("training.matmul_dtype", "float32", {"train"}),
    "groups": ("training.group_chunks", 77_777, {"train"}),
    "steps": ("training.tokens", 10**9, {"train"}),
    "note": ("note", "another note", {"report"}),
    "recipes": ("recipes.added", {"training": {"beta2": 0.0123}}, {"report"}),
    "name": ("study", "another-study", {"report"}),
    "device": ("device", "cuda", set()),
    "jobs": ("jobs_per_gpu", 77_777, set()),
    "checkpoints": ("checkpoint_seconds", 77_777, set()),
    "results": ("results", "another folder", set()),
    "cache": ("cache", "another folder", set()),
    "tracker": ("tracking.wandb", {"project": "another"}, set()),
    "formats": ("formats.tables", ["latex", "parquet"], set()),
    "shards": ("dump.sharded", True, set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_field_changes_the_digests_that_depend_on_it(change):
    path, value, stages = CHANGES[change]
    changed = copy.deepcopy(SMOKE)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = changed
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(part, str) else place[part]
    place[last] = value
    before, after = stage_digests(SMOKE), stage_digests(changed)
    assert {stage for stage in before if before[stage] != after[stage]} == stages


def test_reserved_hookpoint_names_are_the_arrays_of_a_store():
    assert RESERVED == TOKEN_ARRAYS


def test_the_largest_specification_fits_into_a_command():
    longest = "x" * COMMAND_BYTES
    shell = ["bash", "-c", f"exec {sys.executable} -c 'import sys; print(len(sys.argv[1]))' "]
    done = subprocess.run([*shell[:2], shell[2] + longest], capture_output=True, text=True)
    assert done.stdout.strip() == str(COMMAND_BYTES)


def study_with(seeds: int) -> Config:
    return {
        "study": "s",
        "models": [
            {"name": "m", "source": {"kind": "path", "path": "p"}, "d_model": 8, "layer": 0}
        ],
        "hookpoints": ["resid"],
        "text": {"source": {"kind": "random"}},
        "dump": {"train_rows": 8192, "heldout_rows": 8192},
        "grid": [{"variant": "gated", "width": 8, "lambdas": [0.1], "seeds": list(range(seeds))}],
        "training": {"tokens": 2048},
    }


def test_a_grid_is_as_large_as_a_plan_may_be():
    assert len(Study.from_dict(study_with(5000)).cells) == 5000
    with pytest.raises(ConfigError, match=f"  grid: 100,000 cells, and {MOST_CELLS:,} at most"):
        Study.from_dict(study_with(100_000))


def test_settings_that_no_command_line_holds_are_refused():
    config = study_with(1)
    config["text"]["source"] = {"kind": "files", "paths": ["p" * 90 + str(i) for i in range(1000)]}
    assert Study.from_dict(config).cells
    config["text"]["source"]["paths"] *= 2
    with pytest.raises(ConfigError, match=r"1 error.*\n  text: .* command line"):
        Study.from_dict(config)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{b}: &{b}\n  <<: [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, f"values, aliases followed; {MOST_VALUES} at most"),
        (MERGES, f"values, aliases followed; {MOST_VALUES} at most"),
        ("a: &a [*a]", "an alias inside itself"),
        ("[" * 5_000, "nested too deeply"),
        ("- " * 5_000, "nested too deeply"),
        ("{a: " * 5_000, "nested too deeply"),
        ("a: 1\n" * (LARGEST_FILE // 5 + 1), f"more than {LARGEST_FILE} bytes"),
        ("a: 1\nb: 2\na: 3", "key 'a' is given again in line 3"),
        ("a: {b: 1, c: 2, b: 1}", "key 'b' is given again in line 1"),
        ("a: " + "9" * 5000, "digits"),
        ("a: 2001-99-99", "month"),
        ('a: !!int "x"', "not readable as YAML"),
        ('a: !!int ""', "not readable as YAML"),
        ('a: !!bool "x"', "not readable as YAML"),
        ('a: !!timestamp "x"', "not readable as YAML"),
        ("a: !!python/object/apply:os.system ['touch INJECTED']", "not readable as YAML"),
        ("a: !!python/name:os.system", "not readable as YAML"),
        ("a: !!python/object/new:os.system ['touch INJECTED']", "not readable as YAML"),
        ("a: !!python/module:antigravity", "not readable as YAML"),
        ("\0", "not readable as YAML"),
    ],
    ids=lambda text: text[:20],
)
def test_hostile_yaml_ends_in_a_message(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_yaml(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_aliases_and_merges_of_a_sound_file_are_read(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a: &a {k: 1, l: 2}\nb: {<<: *a, l: 3}\nc: [*a, *a]\n")
    assert load_yaml(file) == {
        "a": {"k": 1, "l": 2},
        "b": {"k": 1, "l": 3},
        "c": [{"k": 1, "l": 2}] * 2,
    }
