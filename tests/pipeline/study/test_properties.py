"""Properties of configurations: what reaches which stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.sections import RESERVED, Section
from pipeline.study.sources import LARGE_FILE, FileDigests, content_of
from pipeline.study.study import Study
from sagsae.activations.layout import TOKEN_ARRAYS
from tests.pipeline.study.test_study import SMOKE, changed

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
        # Levels repeat settings, for readers; what measures must be made for follows from the rest.
        "report": study.scope.model_dump(exclude={"levels", "made_for"}),
    }
    return {stage: digest(spec) for stage, spec in specs.items()}


CELL = {"train", "evaluate"}
DUMPED = {"dump", "baselines", *CELL}
TOKENS = {"tokens", *DUMPED}
CHANGES: dict[str, tuple[str, Any, set[str]]] = {
    "model source": ("models__0__source", {"kind": "path", "path": "another"}, {"asset", *TOKENS}),
    "text source": ("text__source", {"kind": "files", "paths": ["another"]}, {"text", *TOKENS}),
    "context length": ("text__context_length", 77_777, TOKENS),
    "held out": ("text__heldout_fraction", 0.123, TOKENS),
    "start token": ("models__0__start_token", "none", TOKENS),
    "slack": ("dump__slack", 0.0123, TOKENS),
    "layer": ("models__0__layer", 77_777, DUMPED),
    "arithmetic": ("models__0__dtype", "float32", DUMPED),
    "norm": ("dump__max_norm_ratio", 1.23, DUMPED),
    "profile": ("dump__profile", "disk", set()),
    "contexts": ("evaluation__lr_contexts", 77_777, {"baselines", "evaluate"}),
    "learning rate": ("training__learning_rate", 0.0123, {"train"}),
    "bias": ("training__b_dec_init", "zero", {"train"}),
    "steps": ("training__tokens", 10**9, {"train"}),
    "note": ("note", "another note", {"report"}),
    "recipes": ("recipes__added", {"training": {"beta2": 0.0123}}, {"report"}),
    "order of hookpoints": ("hookpoints", ["resid", "attn", "mlp_out"], {"report"}),
    "name": ("study", "another-study", {"report"}),
    "device": ("device", "cuda", set()),
    "cache": ("cache", "another folder", set()),
    "tracker": ("tracking", ["wandb"], set()),
    "formats": ("formats__tables", ["latex", "parquet"], set()),
    "shards": ("dump__sharded", True, set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_field_changes_the_digests_that_depend_on_it(change):
    path, value, stages = CHANGES[change]
    before, after = stage_digests(SMOKE), stage_digests(changed(**{path: value}))
    assert {stage for stage in before if before[stage] != after[stage]} == stages


def test_reserved_hookpoint_names_are_the_arrays_of_a_store():
    assert RESERVED == TOKEN_ARRAYS


def test_terms_of_use_are_in_no_specification():
    wheel = {"package": "a", "version": "1", "sha256": "1" * 64, "member": "b"}
    source = {"kind": "wheels", "sha256": "0" * 64, "wheels": [wheel]}
    plain, other = (
        stage_digests(changed(text={"source": one}, models__0__source=one))
        for one in (source, source | {"terms": "others"})
    )
    assert plain == other


@pytest.mark.parametrize("name", ["text.txt", "*.txt"])
def test_the_content_of_local_text_and_models_is_in_their_specifications(tmp_path, name):
    text, model = tmp_path / "text.txt", tmp_path / "model"
    model.mkdir()
    text.write_text("one")
    (model / "config.json").write_text("{}")
    raw = changed(
        text={"source": {"kind": "files", "paths": [str(tmp_path / name)]}},
        models__0__source={"kind": "path", "path": str(model)},
    )
    cells = {"variant": "gated", "width": 8, "lambdas": [0.1]}
    raw["grid"] = [cells | {"models": [raw["models"][0]["name"]]}]
    del raw["comparisons"], raw["dial"]
    before = stage_digests(raw)
    text.write_text("other")
    after = stage_digests(raw)
    differing = {stage for stage in before if before[stage] != after[stage]}
    assert differing == {"text", *TOKENS}
    (model / "config.json").write_text("{ }")
    assert stage_digests(raw)["asset"] != after["asset"]


def test_where_a_text_and_a_model_lie_is_in_no_specification(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digests = []
    for place, config in (("here", "{}"), ("there", "{}"), ("there", "{ }")):
        (folder := tmp_path / place).mkdir(exist_ok=True)
        (folder / "config.json").write_text(config)
        (folder / "LICENSE.txt").write_text(f"A licence that lies {place}.")
        (folder / "text.txt").write_text("one")
        for given in (place, str(folder)):
            source = {"kind": "files", "paths": [f"{given}/text.txt"]}
            raw = changed(
                text={"source": source}, models__0__source={"kind": "path", "path": given}
            )
            digests.append(stage_digests(raw))
    assert digests[0] == digests[1] == digests[2] == digests[3]
    assert digests[4]["asset"] != digests[0]["asset"]


def test_a_plan_reads_a_large_file_once(tmp_path, monkeypatch):
    file = tmp_path / "model" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"1" * LARGE_FILE)
    source = {"kind": "path", "path": str(file.parent)}
    raw = changed(models__0__source=source) | {"cache": str(tmp_path / "cache")}
    model = raw["models"][0]["name"]
    first = Study.from_dict(raw)
    before = first.asset_spec(model)
    assert not (tmp_path / "cache").exists(), "a plan writes nothing"
    first.digests.keep()
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.study.sources.sha256_of", None)
        assert Study.from_dict(raw).asset_spec(model) == before
    file.write_bytes(b"2" * LARGE_FILE)
    assert Study.from_dict(raw).asset_spec(model) != before


def test_a_new_kind_of_source_cannot_pass_unseen(tmp_path):
    class Gopher(Section):
        kind: str = "gopher"

    with pytest.raises(TypeError, match="Gopher: say in content_of"):
        content_of(Gopher(), FileDigests(tmp_path))
