"""The stage that probes, against the whole store and a plain loop over its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from pipeline.cells.probe import chosen_tasks
from pipeline.cells.probe import main as probe
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.json_files import digest, read_json, sha256_of
from pipeline.study.outputs import METRICS, WEIGHTS
from pipeline.study.probe import ProbeRun, ProbeSpec
from pipeline.study.study import Study
from sagsae.activations.language_models import load_tokenizer
from sagsae.activations.stream import iterate
from sagsae.autoencoders.weights import load
from tests.pipeline.cells.test_dial import with_cells
from tests.pipeline.tiny_study import TinyStudy, make_tiny_study

GRID = [
    {"variant": "sagsae_tied", "width": 48, "lambdas": [0.1, 0.3]},
    {"variant": "gated", "width": 96, "lambdas": [0.1]},
]
PLAN = {"hookpoints": ["resid"], "ks": [1, 3], "least_rows": 4, "train_rows": 80, "test_rows": 40}


@dataclass
class Probed:
    """A tiny study with metrics and weights at resid, and its probes."""

    tiny: TinyStudy
    study: Study
    arguments: dict[str, Any]

    @property
    def spec(self) -> ProbeSpec:
        return self.arguments["spec"]

    @property
    def tokenizer(self):
        return load_tokenizer(self.tiny.root / "model")

    def run(self, **changes: Any) -> dict[str, Any]:
        out = self.tiny.root / "probe.json"
        probe(**self.arguments | {"device": "cpu", "out": out} | changes)
        return read_json(out)


@pytest.fixture(scope="module")
def probed(tmp_path_factory) -> Probed:
    tiny = make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox", {"one": 0, "two": 12})
    study, arguments = with_cells(tiny, {"grid": GRID, "probe": PLAN})
    (spec,) = study.looks["probe"].values()
    return Probed(tiny, study, arguments | {"spec": spec, "heldout_tokens": tiny.tokens})


@pytest.fixture(scope="module")
def run(probed) -> ProbeRun:
    return ProbeRun.model_validate(probed.run())


def test_every_cell_and_every_label_with_enough_rows_is_there(probed, run):
    assert run.spec == digest(probed.spec)
    assert [one.cell for one in run.cells] == probed.spec.cells
    assert run.ks == [1, 3]
    assert run.labels
    names = [label.name for label in run.labels]
    assert not set(names) & set(run.left_out)
    assert any(name.startswith("letter.") for name in names)
    assert "source.one" in names
    assert "source.two" not in names + run.left_out
    for label in run.labels:
        assert 8 <= label.train <= 80
        assert 8 <= label.test <= 40
    for one in run.cells:
        metrics = read_json(probed.arguments["cells_root"] / one.cell.path / METRICS)
        assert one.l0 == metrics["l0"]
        assert one.weights_sha256 == sha256_of(
            probed.arguments["cells_root"] / one.cell.path / WEIGHTS
        )


def test_accuracies_follow_from_the_sides_that_are_named(probed, run):
    """The columns of the named sides separate rows as well as is said, by a plain fit."""
    tokens = open_tokens(probed.tiny.tokens)
    rows, tasks, _ = chosen_tasks(probed.spec, probed.tiny.store(), tokens, probed.tokenizer)
    x = torch.cat(list(iterate(probed.tiny.store(), "resid", 100)))[rows].float()
    one = run.cells[-1]
    sae = load(probed.arguments["cells_root"] / one.cell.path / WEIGHTS)
    with torch.no_grad():
        z = sae.code(x * sae.scale).double()
    sides = torch.cat([z.clamp(min=0), (-z).clamp(min=0)], 1)
    assert one.live_sides == int((sides > 0).any(0).sum())
    assert one.live_latents == int((z != 0).any(0).sum())
    for task, found in zip(tasks, one.labels, strict=True):
        own = sides[task.train]
        difference = own[task.train_labels].mean(0) - own[~task.train_labels].mean(0)
        order = difference.abs().argsort(descending=True, stable=True)[:3]
        assert found.sides == [i for i in order.tolist() if difference[i] != 0]
        column, labels = sides[task.test][:, found.sides[0]], task.test_labels
        cuts = [-1.0, *column.unique().tolist()]
        reachable = {
            share
            for cut in cuts
            for share in (
                float(((column > cut) == labels).double().mean()),
                float(((column <= cut) == labels).double().mean()),
            )
        }
        assert any(found.accuracy[0] == pytest.approx(share) for share in reachable)
        assert found.latents[1] == len({side % sae.width for side in found.sides})


def test_equal_inputs_give_equal_bytes_whatever_the_threads(probed, run):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert ProbeRun.model_validate(probed.run()) == run
    finally:
        torch.set_num_threads(before)
