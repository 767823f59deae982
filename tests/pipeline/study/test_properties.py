"""Properties of configurations: what reaches which stage."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.sections import RESERVED
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
    "start token": ("models.0.start_token", "none", TOKENS),
    "slack": ("dump.slack", 0.0123, TOKENS),
    "layer": ("models.0.layer", 77_777, DUMPED),
    "arithmetic": ("models.0.dtype", "float32", DUMPED),
    "norm": ("dump.max_norm_ratio", 1.23, DUMPED),
    "profile": ("dump.profile", "disk", set()),
    "contexts": ("evaluation.lr_contexts", 77_777, {"baselines", "evaluate"}),
    "learning rate": ("training.learning_rate", 0.0123, {"train"}),
    "bias": ("training.b_dec_init", "zero", {"train"}),
    "steps": ("training.tokens", 10**9, {"train"}),
    "note": ("note", "another note", {"report"}),
    "recipes": ("recipes.added", {"training": {"beta2": 0.0123}}, {"report"}),
    "name": ("study", "another-study", {"report"}),
    "device": ("device", "cuda", set()),
    "cache": ("cache", "another folder", set()),
    "tracker": ("tracking", ["wandb"], set()),
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
