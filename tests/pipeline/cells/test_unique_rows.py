"""Recipes that train on the first rows of a store alone."""

from __future__ import annotations

import pytest
import torch

from pipeline.cells.train import opened_trainer, train_cell
from pipeline.data.manifests import open_store
from pipeline.study.specs import TrainSpec
from pipeline.study.study import Study
from sagsae.activations.stream import iterate
from sagsae.training.trainer import Interrupted
from tests.pipeline.study.test_recipes import faults, with_recipes
from tests.pipeline.tiny_study import ROWS, TinyStudy, make_tiny_study

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> TinyStudy:
    return make_tiny_study(tmp_path_factory.mktemp("rows"), "gpt_neox")


@pytest.fixture(scope="module")
def spec(tiny) -> TrainSpec:
    """Of two and a half epochs on the first of two blocks, under a recipe."""
    raw = tiny.study.configuration
    raw["recipes"] = {"half": {"training": {"unique_rows": ROWS, "tokens": 5 * ROWS // 2}}}
    raw["training"] |= {"batch_size": 64, "tokens": 640}
    raw["grid"][0] |= {"recipes": ["half"], "variant": "batchtopk", "lambdas": None, "ks": [4]}
    study = Study.from_dict(raw)
    return study.train_spec(next(cell for cell in study.cells if cell.hookpoint == "resid"))


def test_each_epoch_has_the_rows_of_the_first_blocks_once(tiny, spec):
    with opened_trainer(spec, tiny.manifest("train"), CPU) as trainer:
        epochs = [torch.cat([next(trainer.stream) for _ in range(ROWS // 64)]) for _ in range(2)]
        mean = trainer.sae.params["b_dec"] / trainer.sae.scale
    first = next(iterate(open_store(tiny.manifest("train")), "resid", ROWS))
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == sorted(first.tolist())
    torch.testing.assert_close(mean, first.double().mean(0).float())


def test_a_cell_that_was_stopped_ends_alike(tiny, spec, tmp_path):
    manifest, checkpoint = tiny.manifest("train"), tmp_path / "checkpoint"
    whole, _ = train_cell(spec, manifest, CPU, tmp_path / "none")

    def stop(step: int, row: dict[str, float]) -> None:
        trainer.stop_requested = True

    with opened_trainer(spec, manifest, CPU) as trainer:
        trainer.progress = stop
        with pytest.raises(Interrupted):
            trainer.run(checkpoint)
    found, record = train_cell(spec, manifest, CPU, checkpoint)
    assert record["training"]["tokens"] == 5 * ROWS // 2
    for name, value in found.params.items():
        assert torch.equal(value, whole.params[name])


def test_rows_that_the_store_does_not_give_are_faults():
    many = {"training": {"unique_rows": 5 * 8192}, "by_variant": {"gated": {"unique_rows": 100}}}
    raw = with_recipes({"recipes": ["many"]}, {}, training={"unique_rows": 8192}, many=many)
    raw["dump"] |= {"train_rows": 4 * 8192 + 5, "rows_per_block": 8192}
    text = (
        "give whole blocks of 8192 rows, 32768 rows at most, which is what dump.train_rows stores"
    )
    assert faults(raw) == [
        f"recipes.many.training.unique_rows: 40960: {text}",
        f"recipes.many.by_variant.gated.unique_rows: 100: {text}",
    ]
    raw["recipes"]["many"]["by_variant"]["gated"]["unique_rows"] = 2 * 8192
    raw["recipes"]["many"]["training"]["unique_rows"] = 4 * 8192
    found = [Study.from_dict(raw).training(cell).unique_rows for cell in Study.from_dict(raw).cells]
    assert found == [2 * 8192, 8192]
